//! Sharded checkpoints: the same results as from one file, refusals, and what is on the disk at any moment.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::{self, Mounted, Run, contents, fixture, json_difference, read_json, run};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use tempfile::TempDir;

const INDEX: &str = "model.safetensors.index.json";

fn tiny() -> PathBuf {
    fixture("checkpoints/resnet-tiny.safetensors")
}

/// A merge of [`tiny`] that changes something, and its output.
const FLAGS: [&str; 3] = ["--skip-shallow=0", "--tau=0.6", "--no-sync"];

fn expected() -> PathBuf {
    fixture("golden/eligible.safetensors")
}

fn shard_name(number: usize, count: usize) -> String {
    format!("model-{:05}-of-{count:05}.safetensors", number + 1)
}

/// Splits a checkpoint into `count` files and their index, or into as many as it has tensors. Neighbours go to different
/// files, the metadata to the last.
fn split(file: &Path, folder: &Path, count: usize) {
    fs::create_dir_all(folder).unwrap();
    let bytes = fs::read(file).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    let count = count.min(tensors.len());
    let total: usize = tensors.iter().map(|(_, view)| view.data().len()).sum();
    let mut map = BTreeMap::new();
    for number in 0..count {
        let own = tensors.iter().skip(number).step_by(count);
        let own: Vec<_> = own
            .map(|(name, view)| (name.clone(), view.clone()))
            .collect();
        let name = shard_name(number, count);
        map.extend(own.iter().map(|(tensor, _)| (tensor.clone(), name.clone())));
        let metadata = header.metadata().clone().filter(|_| number + 1 == count);
        let shard = safetensors::serialize(own, metadata).unwrap();
        fs::write(folder.join(name), shard).unwrap();
    }
    let index = json!({"metadata": {"total_size": total}, "weight_map": map});
    // As transformers writes it, so that it must be kept as it stands.
    let text = serde_json::to_string_pretty(&index).unwrap() + "\n";
    fs::write(folder.join(INDEX), text).unwrap();
}

/// The values of all tensors in the shards of a folder, without looking at its index.
fn tensors(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for (path, bytes) in contents(folder) {
        if path.extension().is_some_and(|end| end == "safetensors") {
            found.extend(tensors_of(&bytes));
        }
    }
    found
}

fn tensors_of(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let tensors = SafeTensors::deserialize(bytes).unwrap().tensors();
    tensors
        .into_iter()
        .map(|(name, view)| (name, view.data().to_vec()))
        .collect()
}

/// The names in a folder, hidden ones too.
fn names(folder: &Path) -> Vec<String> {
    contents(folder)
        .into_keys()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect()
}

/// A folder with a sharded `in` of three files.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        split(&tiny(), &folder.path().join("in"), 3);
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Merges `input` into `output`.
    fn merge(&self, input: &str, output: &str, more: &[&str]) -> Run {
        let mut args = args!["merge", self.path(input), self.path(output)];
        args.extend(FLAGS.iter().chain(more).map(Into::into));
        run(args)
    }

    /// Fails unless the merge is refused with a message that holds these words, and nothing has happened.
    fn refuses(&self, input: &str, output: &str, more: &[&str], words: &[&str]) {
        let before = self.everything();
        let run = self.merge(input, output, more);
        refused(&run, words);
        assert!(self.everything() == before, "something was changed\n{run}");
    }

    fn everything(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for (path, bytes) in contents(&folder) {
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path.clone());
                }
                found.insert(path, bytes);
            }
        }
        found
    }

    /// The names beside the inputs and outputs.
    fn names(&self) -> Vec<String> {
        names(self.folder.path())
    }

    fn edit_index(&self, edit: impl Fn(&mut Value)) {
        let path = self.path("in").join(INDEX);
        let mut index = read_json(&path);
        edit(&mut index);
        fs::write(path, index.to_string()).unwrap();
    }
}

fn refused(run: &Run, words: &[&str]) {
    assert_eq!(run.code, Some(1), "{run}");
    assert_eq!(run.stderr.trim_end().lines().count(), 1, "{run}");
    for word in words {
        assert!(run.stderr.contains(word), "no {word:?}\n{run}");
    }
}

fn is_merged(folder: &Path) {
    let expected = tensors_of(&fs::read(expected()).unwrap());
    assert!(tensors(folder) == expected, "{}", folder.display());
}

// -------------------------------------------------------------------------------------------------------- round trips

#[test]
fn shards_give_the_same_tensors_and_merges_as_one_file() {
    let table = read_json(&fixture("golden/cases.json"));
    let fixtures = fixture("").display().to_string();
    for case in table.as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let checkpoint = fixture("checkpoints").join(case["checkpoint"].as_str().unwrap());
        let golden = fs::read(fixture(&format!("golden/{name}.safetensors"))).unwrap();
        let golden_plan = read_json(&fixture(&format!("golden/{name}.plan.json")));
        for count in [1, 3, 50] {
            let folder = TempDir::new().unwrap();
            let [source, out, again, plan] =
                ["in", "out", "again", "plan.json"].map(|name| folder.path().join(name));
            split(&checkpoint, &source, count);
            let mut args = args!["merge", &source, &out, "--plan", &plan, "--no-sync", "-q"];
            let flags = case["args"].as_array().unwrap().iter();
            args.extend(flags.map(|flag| {
                let flag = flag.as_str().unwrap();
                flag.replace("{fixtures}/", &fixtures).into()
            }));
            let merged = run(args).done();
            assert!(tensors(&out) == tensors_of(&golden), "{name}\n{merged}");
            assert_eq!(names(&out), names(&source), "{name}");
            assert!(
                fs::read(out.join(INDEX)).unwrap() == fs::read(source.join(INDEX)).unwrap(),
                "{name}"
            );
            let found = read_json(&plan);
            for key in ["layers", "skipped", "parameters"] {
                let difference = json_difference(key, &golden_plan[key], &found[key]);
                assert_eq!(difference, None, "{name} in {count} shards");
            }
            assert_eq!(found["source"]["file"], "in");

            let index = source.join(INDEX);
            run(args!["apply", &plan, index, again.join(INDEX), "--no-sync"]).done();
            assert!(
                contents(&again).values().eq(contents(&out).values()),
                "{name}"
            );
        }
    }
}

#[test]
fn fifty_shards_are_fifty_files() {
    let folder = TempDir::new().unwrap();
    let [source, out] = ["in", "out"].map(|name| folder.path().join(name));
    split(&fixture("checkpoints/demo.safetensors"), &source, 50);
    run(args!["merge", &source, &out, "--tau=0.9"]).done();
    assert_eq!(names(&out).len(), 51);
    let golden = fs::read(fixture("golden/demo.safetensors")).unwrap();
    assert!(tensors(&out) == tensors_of(&golden));
    assert_eq!(names(folder.path()), ["in", "out"]);
}

#[test]
fn inspect_and_diff_read_any_layout() {
    let desk = Desk::new();
    let (one, many) = (tiny(), desk.path("in"));
    let single = run(args!["inspect", &one, "--json"]).done().json();
    for path in [many.clone(), many.join(INDEX)] {
        let sharded = run(args!["inspect", &path, "--json"]).done().json();
        for key in ["layers", "tensors", "parameters", "dtypes", "order_source"] {
            assert_eq!(sharded[key], single[key]);
        }
        assert_eq!(sharded["file"], path.display().to_string());
        let sizes = (0..3).map(|number| many.join(shard_name(number, 3)));
        let sizes: u64 = sizes.map(|path| fs::metadata(path).unwrap().len()).sum();
        assert_eq!(sharded["bytes"], sizes);
    }
    let diff = |a: &Path, b: &Path| run(args!["diff", a, b, "--json"]).done().json();
    let same = diff(&many, &many.join(INDEX));
    assert_eq!(same["identical"], true);
    let layouts = diff(&one, &many);
    assert_eq!(layouts["identical"], false);
    assert_eq!(layouts["header_identical"], false);
    assert_eq!(layouts["tensors"], json!([]));

    desk.merge("in", "out", &[]).done();
    let merged = diff(&many, &desk.path("out"));
    assert_eq!(merged["header_identical"], true);
    assert_eq!(merged["tensors"], diff(&one, &expected())["tensors"]);
    assert_eq!(merged["tensors"], diff(&one, &desk.path("out"))["tensors"]);
}

#[test]
fn a_plan_of_another_layout_is_refused() {
    let desk = Desk::new();
    let plan = fixture("golden/eligible.plan.json");
    let run = run(args!["apply", plan, desk.path("in"), desk.path("out")]);
    refused(&run, &["made for another checkpoint"]);
}

#[test]
fn a_wrong_total_size_is_put_right_and_nothing_else_of_the_index() {
    let desk = Desk::new();
    let path = desk.path("in").join(INDEX);
    let right = fs::read_to_string(&path).unwrap();
    let total = read_json(&path)["metadata"]["total_size"].to_string();
    for wrong in ["1", "\"many\"", "null", "-3.5"] {
        let text = right.replace(&format!(" {total}\n"), &format!(" {wrong}\n"));
        assert_ne!(text, right);
        fs::write(&path, text).unwrap();
        let run = desk.merge("in", "out", &["--force"]).done();
        assert!(
            run.stderr.contains("total_size") && run.stderr.contains(&total),
            "{run}"
        );
        assert_eq!(
            fs::read_to_string(desk.path("out").join(INDEX)).unwrap(),
            right
        );
    }
    // Right, if oddly spelt; or not there at all.
    for kept in [
        right.replace(&format!(" {total}\n"), &format!(" {total}.0\n")),
        right.replace("total_size", "size"),
    ] {
        fs::write(&path, &kept).unwrap();
        let run = desk.merge("in", "out", &["--force"]).done();
        assert_eq!(run.stderr, "");
        assert_eq!(
            fs::read_to_string(desk.path("out").join(INDEX)).unwrap(),
            kept
        );
    }
}

// --------------------------------------------------------------------------------------------------------- bad inputs

#[test]
fn a_missing_shard_is_refused_by_name() {
    let desk = Desk::new();
    fs::remove_file(desk.path("in").join(shard_name(1, 3))).unwrap();
    desk.refuses("in", "out", &[], &["model-00002-of-00003", INDEX, "fetch"]);
}

#[test]
fn a_damaged_shard_is_refused_by_name() {
    let desk = Desk::new();
    let shard = desk.path("in").join(shard_name(1, 3));
    let bytes = fs::read(&shard).unwrap();
    fs::write(&shard, &bytes[..bytes.len() - 1]).unwrap();
    desk.refuses("in", "out", &[], &["model-00002-of-00003", "truncated"]);
    fs::write(&shard, "version https://git-lfs.github.com/spec/v1\n").unwrap();
    desk.refuses("in", "out", &[], &["model-00002-of-00003", "git lfs pull"]);
    fs::remove_file(&shard).unwrap();
    fs::create_dir(&shard).unwrap();
    desk.refuses("in", "out", &[], &["model-00002-of-00003", "regular file"]);
}

#[test]
fn a_tensor_of_the_index_that_no_shard_holds_is_refused() {
    let desk = Desk::new();
    desk.edit_index(|index| index["weight_map"]["ghost.weight"] = json!(shard_name(1, 3)));
    let words = [
        "model-00002-of-00003",
        "`ghost.weight`",
        "does not hold",
        INDEX,
    ];
    desk.refuses("in", "out", &[], &words);
}

#[test]
fn a_tensor_of_a_shard_that_the_index_does_not_list_is_refused() {
    let desk = Desk::new();
    let words = [
        "`conv1.weight`",
        "does not list",
        INDEX,
        "of-00003.safetensors",
    ];
    desk.edit_index(|index| {
        drop(
            index["weight_map"]
                .as_object_mut()
                .unwrap()
                .remove("conv1.weight"),
        );
    });
    desk.refuses("in", "out", &[], &words);
    // Listed, but for another shard.
    let desk = Desk::new();
    desk.edit_index(|index| {
        let place = index["weight_map"]["conv1.weight"]
            .as_str()
            .unwrap()
            .to_owned();
        let other = (0..3)
            .map(|number| shard_name(number, 3))
            .find(|name| *name != place);
        index["weight_map"]["conv1.weight"] = json!(other.unwrap());
    });
    desk.refuses("in", "out", &[], &words);
}

#[test]
fn a_name_in_two_shards_is_refused() {
    let desk = Desk::new();
    fs::copy(
        desk.path("in").join(shard_name(0, 3)),
        desk.path("in").join(shard_name(2, 3)),
    )
    .unwrap();
    let words = [
        "model-00003-of-00003",
        "model-00001-of-00003",
        "so does",
        "tensor `",
    ];
    desk.refuses("in", "out", &[], &words);
}

/// What refuses a shard that is given alone: every command, naming the index.
#[test]
fn a_shard_given_alone_is_refused_with_the_name_of_its_index() {
    let desk = Desk::new();
    let shard = desk.path("in").join(shard_name(1, 3));
    let (whole, out) = (tiny(), desk.path("out"));
    let plan = fixture("golden/eligible.plan.json");
    for args in [
        args!["inspect", &shard],
        args!["merge", &shard, &out],
        args!["apply", &plan, &shard, &out],
        args!["analyze", &shard, "--report", &out],
        args!["analyze", &whole, &shard, "--report", &out],
        args!["diff", &shard, &whole],
        args!["diff", &whole, &shard],
        args!["sensitivity", &shard, "--report", &out, "--vary", "layers"],
    ] {
        let run = run(args);
        assert_eq!(run.code, Some(1), "{run}");
        for word in ["model-00002-of-00003.safetensors", INDEX, "name", "folder"] {
            assert!(run.stderr.contains(word), "no {word:?}\n{run}");
        }
        assert!(!out.exists(), "{run}");
    }
}

#[test]
fn a_shard_is_known_by_its_name_or_by_an_index_that_names_it() {
    let desk = Desk::new();
    let folder = desk.path("in");
    let inspect = |name: &str| run(args!["inspect", folder.join(name), "--quiet"]);
    let refused = |name: &str, words: &[&str]| {
        let run = inspect(name);
        assert_eq!(run.code, Some(1), "{run}");
        for word in words {
            assert!(run.stderr.contains(word), "no {word:?}\n{run}");
        }
    };
    // A whole checkpoint beside an index that does not name it.
    fs::copy(tiny(), folder.join("whole.safetensors")).unwrap();
    inspect("whole.safetensors").done();
    fs::copy(tiny(), folder.join(shard_name(0, 1))).unwrap();
    inspect(&shard_name(0, 1)).done();
    // Named by the index, whatever it is called.
    fs::rename(
        folder.join(shard_name(1, 3)),
        folder.join("second.safetensors"),
    )
    .unwrap();
    let renamed = fs::read_to_string(folder.join(INDEX))
        .unwrap()
        .replace(&shard_name(1, 3), "second.safetensors");
    fs::write(folder.join(INDEX), &renamed).unwrap();
    refused("second.safetensors", &[INDEX]);
    // Where the index cannot be read, or is not there, the name alone decides.
    fs::write(folder.join(INDEX), "{").unwrap();
    inspect("second.safetensors").done();
    refused(&shard_name(0, 3), &[INDEX]);
    fs::remove_file(folder.join(INDEX)).unwrap();
    refused(&shard_name(0, 3), &[INDEX, "one shard of 3", "rename"]);
    inspect("whole.safetensors").done();
    // An index of this one file is no reason to refuse it.
    let whole = renamed.replace("second.safetensors", "whole.safetensors");
    let whole = [0, 2].iter().fold(whole, |text, &number| {
        text.replace(&shard_name(number, 3), "whole.safetensors")
    });
    fs::write(folder.join(INDEX), whole).unwrap();
    inspect("whole.safetensors").done();
}

#[test]
fn a_path_that_leaves_the_folder_is_refused() {
    let desk = Desk::new();
    fs::create_dir(desk.path("in/sub")).unwrap();
    for place in ["in/sub", "."] {
        fs::copy(
            desk.path("in").join(shard_name(0, 3)),
            desk.path(place).join("x.safetensors"),
        )
        .unwrap();
    }
    let absolute = desk.path("x.safetensors").display().to_string();
    for name in [
        "../x.safetensors",
        "sub/x.safetensors",
        &absolute,
        "..",
        ".",
        "",
        "a\\b",
        "a\0b",
    ] {
        desk.edit_index(|index| index["weight_map"]["conv1.weight"] = json!(name));
        desk.refuses("in", "out", &[], &[INDEX, "`conv1.weight`", "plain name"]);
    }
}

#[test]
fn an_index_that_is_none_is_refused() {
    let desk = Desk::new();
    let index = desk.path("in").join(INDEX);
    let right = fs::read_to_string(&index).unwrap();
    let twice = right.replacen(
        "\"weight_map\": {",
        "\"weight_map\": {\"conv1.weight\": \"x\",",
        1,
    );
    for (text, words) in [
        ("", &["no valid index"][..]),
        ("[]", &["no valid index"]),
        ("{}", &["weight_map"]),
        (&right[..right.len() / 2], &["no valid index"]),
        (r#"{"weight_map": {}}"#, &["lists no tensors"]),
        (r#"{"weight_map": {"a": 1}}"#, &["tensor `a`"]),
        (&twice, &["`conv1.weight` twice"]),
        (
            "version https://git-lfs.github.com/spec/v1\n",
            &["git lfs pull"],
        ),
    ] {
        fs::write(&index, text).unwrap();
        desk.refuses("in", "out", &[], &[&[INDEX], words].concat());
        desk.refuses(&format!("in/{INDEX}"), "out", &[], words);
    }
}

#[test]
fn a_folder_must_hold_one_index() {
    let desk = Desk::new();
    fs::copy(
        desk.path("in").join(INDEX),
        desk.path("in/other.safetensors.index.json"),
    )
    .unwrap();
    let both = ["several checkpoints", INDEX, "other.safetensors.index.json"];
    desk.refuses("in", "out", &[], &both);
    desk.merge(&format!("in/{INDEX}"), "out", &[]).done();
    assert_eq!(names(&desk.path("out")).len(), 4);

    fs::remove_file(desk.path("in").join(INDEX)).unwrap();
    fs::remove_file(desk.path("in/other.safetensors.index.json")).unwrap();
    desk.refuses(
        "in",
        "new",
        &[],
        &[
            "without model.safetensors",
            "model-00001-of-00003.safetensors",
        ],
    );
    fs::create_dir(desk.path("empty")).unwrap();
    desk.refuses("empty", "new", &[], &["empty", "check the path"]);
    desk.refuses("nowhere", "new", &[], &["no such file"]);
    desk.refuses(&format!("empty/{INDEX}"), "new", &[], &["no such file"]);
}

// ------------------------------------------------------------------------------------------------------------ outputs

#[test]
fn an_output_of_another_kind_is_refused() {
    let desk = Desk::new();
    fs::create_dir(desk.path("folder")).unwrap();
    fs::write(desk.path("file"), "x").unwrap();
    symlink(desk.path("folder"), desk.path("link")).unwrap();
    for force in [&[][..], &["--force"]] {
        for out in [
            "out.safetensors",
            "folder/other.safetensors.index.json",
            "file",
            "out.json",
        ] {
            desk.refuses("in", out, force, &["is a folder", "name a folder"]);
        }
        for out in ["link", "link/", &format!("link/{INDEX}")] {
            desk.refuses("in", out, force, &["symbolic link"]);
        }
        desk.refuses("in", "missing/out", force, &["missing", "create"]);
        desk.refuses("in", "folder/..", force, &["own name"]);
        desk.refuses("in", "in/out", force, &["inside the input"]);
        let run = run(args!["merge", tiny(), desk.path(INDEX), "--skip-shallow=0"]);
        refused(&run, &["single file"]);
    }
    desk.refuses("in", "folder", &[], &["exists", "--force"]);
    desk.refuses("in", "in", &[], &["is the input itself", "--force"]);
    desk.refuses("in", "in/", &[], &["is the input itself", "--force"]);
    // The folder around everything holds the input, and more.
    desk.refuses("in", "", &["--force"], &["would be lost", "in/", "file"]);
}

#[test]
fn a_plan_goes_neither_into_a_folder_that_is_replaced_nor_over_an_input() {
    let desk = Desk::new();
    let plan = |name: &str| format!("--plan={}", desk.path(name).display());
    desk.refuses(
        "in",
        "out",
        &[&plan("out/plan.json")],
        &["plan.json", "output's folder"],
    );
    for name in [INDEX.to_owned(), shard_name(2, 3)] {
        let plan = plan(&format!("in/{name}"));
        desk.refuses(
            "in",
            "out",
            &["--force", &plan],
            &["input file of this run"],
        );
    }
    // In the input's own folder it is kept with everything else.
    desk.merge("in", "in", &["--force", &plan("in/plan.json")])
        .done();
    is_merged(&desk.path("in"));
    assert_eq!(
        read_json(&desk.path("in/plan.json"))["source"]["file"],
        "in"
    );
}

#[test]
fn companions_come_along_and_what_does_not_is_named() {
    let desk = Desk::new();
    let input = desk.path("in");
    fs::write(input.join("config.json"), "{}").unwrap();
    fs::write(input.join(".gitattributes"), "x").unwrap();
    fs::write(desk.path("blob"), "words").unwrap();
    symlink("../blob", input.join("tokenizer.model")).unwrap();
    fs::write(input.join("pytorch_model.bin"), "x").unwrap();
    fs::write(input.join("pytorch_model.bin.index.json"), "{}").unwrap();
    symlink("nowhere", input.join("dangling")).unwrap();
    fs::create_dir(input.join("sub")).unwrap();
    // More than a copy in one call takes, and with a weights' ending, but the trainer's.
    File::create(input.join("optimizer.pt"))
        .unwrap()
        .set_len((64 << 20) + 1)
        .unwrap();
    let run = desk.merge("in", "out", &[]).done();
    for name in ["pytorch_model.bin", "dangling", "sub/"] {
        assert!(run.stderr.contains(name), "no {name}\n{run}");
    }
    assert_eq!(run.stderr.lines().count(), 1, "{run}");
    let out = contents(&desk.path("out"));
    assert_eq!(out.len(), 4 + 4);
    assert_eq!(out[&desk.path("out/optimizer.pt")].len(), (64 << 20) + 1);
    assert_eq!(out[&desk.path("out/config.json")], b"{}");
    assert_eq!(out[&desk.path("out/tokenizer.model")], b"words");
    assert!(!desk.path("out/tokenizer.model").is_symlink());
    is_merged(&desk.path("out"));
    assert_eq!(desk.names(), ["blob", "in", "out"]);
}

#[test]
fn shards_are_read_through_links_as_the_hub_s_cache_has_them() {
    let desk = Desk::new();
    fs::rename(desk.path("in"), desk.path("blobs")).unwrap();
    fs::create_dir_all(desk.path("snapshots/1")).unwrap();
    for name in names(&desk.path("blobs")) {
        let link = desk.path("snapshots/1").join(&name);
        symlink(Path::new("../../blobs").join(&name), link).unwrap();
    }
    desk.merge("snapshots/1", "out", &[]).done();
    is_merged(&desk.path("out"));
    assert!(
        contents(&desk.path("out"))
            .keys()
            .all(|path| !path.is_symlink())
    );
    // In place, what changes becomes a file and the rest stays a link.
    let blobs = contents(&desk.path("blobs"));
    desk.merge("snapshots/1", "snapshots/1", &["--force"])
        .done();
    is_merged(&desk.path("snapshots/1"));
    assert!(desk.path("snapshots/1").join(INDEX).is_symlink());
    assert!(contents(&desk.path("blobs")) == blobs);
}

#[test]
fn no_file_has_two_names_where_both_folders_stay() {
    let desk = Desk::new();
    fs::write(desk.path("in/config.json"), "{}").unwrap();
    desk.merge("in", "out", &["--exclude=*"]).done();
    for path in contents(&desk.path("out")).into_keys() {
        assert_eq!(
            fs::metadata(&path).unwrap().nlink(),
            1,
            "{}",
            path.display()
        );
    }
    assert!(tensors(&desk.path("out")) == tensors(&desk.path("in")));
}

#[test]
fn an_older_output_is_replaced_as_a_whole() {
    let desk = Desk::new();
    fs::write(desk.path("in/config.json"), "new").unwrap();
    // Of other shards, which go with their index.
    split(&tiny(), &desk.path("out"), 5);
    fs::write(desk.path("out/config.json"), "old").unwrap();
    fs::set_permissions(desk.path("out"), Permissions::from_mode(0o750)).unwrap();
    fs::set_permissions(desk.path("out/config.json"), Permissions::from_mode(0o600)).unwrap();
    desk.refuses("in", "out", &[], &["exists", "--force"]);

    fs::write(desk.path("out/notes.txt"), "x").unwrap();
    fs::create_dir(desk.path("out/logs")).unwrap();
    desk.refuses(
        "in",
        "out",
        &["--force"],
        &["would be lost", "notes.txt", "logs/"],
    );
    fs::remove_file(desk.path("out/notes.txt")).unwrap();
    fs::remove_dir(desk.path("out/logs")).unwrap();

    desk.merge("in", "out", &["--force"]).done();
    is_merged(&desk.path("out"));
    assert_eq!(names(&desk.path("out")), names(&desk.path("in")));
    assert_eq!(fs::read(desk.path("out/config.json")).unwrap(), b"new");
    assert_eq!(
        fs::metadata(desk.path("out")).unwrap().mode() & 0o777,
        0o750
    );
    assert_eq!(desk.names(), ["in", "out"]);
    // Again, over its own output.
    desk.merge("in", &format!("out/{INDEX}"), &["--force"])
        .done();
    is_merged(&desk.path("out"));
    assert_eq!(desk.names(), ["in", "out"]);
}

#[test]
fn a_folder_that_is_no_older_output_is_not_replaced() {
    let desk = Desk::new();
    fs::create_dir(desk.path("out")).unwrap();
    fs::copy(tiny(), desk.path("out/precious.safetensors")).unwrap();
    desk.refuses(
        "in",
        "out",
        &["--force"],
        &["would be lost", "precious.safetensors"],
    );
    // An index that cannot be read says nothing of what belongs to it.
    split(&tiny(), &desk.path("old"), 5);
    fs::write(desk.path("old").join(INDEX), "{").unwrap();
    desk.refuses(
        "in",
        "old",
        &["--force"],
        &["would be lost", "of-00005.safetensors"],
    );
}

#[test]
fn in_place_everything_else_is_kept() {
    let desk = Desk::new();
    let input = desk.path("in");
    fs::write(input.join("config.json"), "{}").unwrap();
    fs::write(input.join("optimizer.pt"), "weights").unwrap();
    fs::create_dir_all(input.join("sub/deep")).unwrap();
    fs::write(input.join("sub/deep/file"), "deep").unwrap();
    fs::set_permissions(input.join("sub/deep"), Permissions::from_mode(0o700)).unwrap();
    symlink("sub/deep/file", input.join("link")).unwrap();
    symlink("nowhere", input.join("dangling")).unwrap();
    let inode = |name: &str| fs::symlink_metadata(input.join(name)).unwrap().ino();
    let kept = ["config.json", "optimizer.pt", "sub/deep/file", INDEX];
    let before: Vec<u64> = kept.iter().map(|name| inode(name)).collect();
    let shards: HashMap<String, u64> = (0..3)
        .map(|number| shard_name(number, 3))
        .map(|name| (name.clone(), inode(&name)))
        .collect();
    let sources: HashMap<String, Vec<u8>> = shards
        .keys()
        .map(|name| (name.clone(), fs::read(input.join(name)).unwrap()))
        .collect();

    let run = desk.merge("in", "in", &["--force"]).done();
    assert_eq!(run.stderr, "");
    is_merged(&input);
    assert_eq!(
        kept.iter().map(|name| inode(name)).collect::<Vec<_>>(),
        before
    );
    for name in shards.keys() {
        let is_same = fs::read(input.join(name)).unwrap() == sources[name];
        assert_eq!(inode(name) == shards[name], is_same, "{name}");
    }
    assert_eq!(
        fs::read_link(input.join("dangling")).unwrap(),
        Path::new("nowhere")
    );
    assert_eq!(fs::read(input.join("link")).unwrap(), b"deep");
    assert_eq!(
        fs::metadata(input.join("sub/deep")).unwrap().mode() & 0o777,
        0o700
    );
    assert!(contents(&input).keys().all(|path| path.is_dir()
        || path.is_symlink()
        || fs::metadata(path).unwrap().nlink() == 1));
    assert_eq!(desk.names(), ["in"]);

    // A run that merges nothing leaves every file the one it was.
    let all = || -> Vec<u64> { names(&input).iter().map(|name| inode(name)).collect() };
    for name in ["sub", "link", "dangling"] {
        let path = input.join(name);
        if path.is_symlink() {
            fs::remove_file(path).unwrap();
        } else {
            fs::remove_dir_all(path).unwrap();
        }
    }
    let before = (all(), contents(&input));
    for flag in ["--prob=0", "--exclude=*"] {
        desk.merge("in", "in", &["--force", flag]).done();
        assert!((all(), contents(&input)) == before, "{flag}");
    }
}

#[test]
fn nothing_is_written_where_merges_are_required_and_there_are_none() {
    let desk = Desk::new();
    let before = desk.everything();
    let run = run(args![
        "merge",
        desk.path("in"),
        desk.path("out"),
        "--tau=1",
        "--require-merges"
    ]);
    assert_eq!(run.code, Some(3), "{run}");
    assert!(desk.everything() == before);
    common::run(args!["merge", desk.path("in"), "--dry-run"]).done();
    assert!(desk.everything() == before);
}

#[test]
fn a_full_disk_leaves_what_was_there() {
    let Some(disk) = Mounted::tmpfs("size=64k") else {
        return;
    };
    let desk = Desk::new();
    split(
        &fixture("checkpoints/demo.safetensors"),
        &desk.path("large"),
        3,
    );
    let place = disk.0.path().join("out");
    split(&tiny(), &place, 3);
    let before = contents(&place);
    for (out, force) in [("new", &[][..]), ("out", &["--force"])] {
        let mut args = args![
            "merge",
            desk.path("large"),
            disk.0.path().join(out),
            "--tau=0.9"
        ];
        args.extend(force.iter().map(Into::into));
        let run = run(args);
        refused(&run, &[out, "no space"]);
        assert_eq!(names(disk.0.path()), ["out"], "{run}");
        assert!(contents(&place) == before, "{run}");
    }
}

#[test]
fn a_read_only_disk_is_refused_by_the_name_of_the_output() {
    let Some(disk) = Mounted::tmpfs("ro") else {
        return;
    };
    let desk = Desk::new();
    let run = run(args!["merge", desk.path("in"), disk.0.path().join("out")]);
    refused(&run, &["/out: ", "read-only"]);
    assert!(!run.stderr.contains(".inmerge-"), "{run}");
}

#[test]
fn where_disks_are_mounted_nothing_is_replaced() {
    let Some(disk) = Mounted::tmpfs("size=1m") else {
        return;
    };
    let desk = Desk::new();
    let before = desk.everything();
    let out = disk.0.path();
    let to_mount = run(args!["merge", desk.path("in"), out, "--force"]);
    refused(&to_mount, &["mounted"]);
    assert_eq!(names(out), [""; 0]);
    assert!(desk.everything() == before);
    // A folder that holds such a place would be emptied with what it replaced.
    let Some(inner) = Mounted::tmpfs_in(&desk.path("in"), "size=1m") else {
        return;
    };
    fs::write(inner.0.path().join("precious"), "x").unwrap();
    desk.refuses("in", "in", &["--force"], &["mounted"]);
}

#[test]
fn a_reader_finds_a_folder_that_is_replaced_at_any_moment() {
    let desk = Desk::new();
    desk.merge("in", "out", &[]).done();
    let index = desk.path("out").join(INDEX);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut looks = 0;
            while !is_over.load(Ordering::Relaxed) {
                assert!(index.exists(), "missing after {looks} looks");
                looks += 1;
            }
        });
        for _ in 0..20 {
            desk.merge("in", "out", &["--force"]).done();
        }
        is_over.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
}

// ------------------------------------------------------------------------------------------------------- interruption

#[test]
fn remains_of_killed_runs_are_removed_and_those_of_living_ones_are_not() {
    let desk = Desk::new();
    let [dead, living, other] = [
        ".out.inmerge-dead01.tmp",
        ".out.inmerge-alive1.tmp",
        ".in.inmerge-dead01.tmp",
    ];
    for name in [dead, living, other] {
        fs::create_dir(desk.path(name)).unwrap();
        fs::write(
            desk.path(name).join("model-00001-of-00003.safetensors"),
            "x",
        )
        .unwrap();
    }
    let run = ".out.inmerge-alive1.run";
    let lock = File::create(desk.path(run)).unwrap();
    lock.lock().unwrap();
    desk.merge("in", "out", &[]).done();
    assert_eq!(desk.names(), [other, run, living, "in", "out"]);
    drop(lock);
    desk.merge("in", "out", &["--force"]).done();
    assert_eq!(desk.names(), [other, "in", "out"]);
    is_merged(&desk.path("out"));
}

/// Some megabytes in eight files, of which six change.
fn some_megabytes(folder: &Path) {
    fs::create_dir(folder).unwrap();
    let mut state = 1u64;
    let mut random = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        // Positive, so that all kernels are alike.
        ((state >> 40) as f32 / (1u64 << 24) as f32).to_le_bytes()
    };
    let mut map = BTreeMap::new();
    for number in 0..8 {
        let name = format!("layer{number}.weight");
        let shape = if number < 6 {
            vec![64, 64, 3, 3]
        } else {
            vec![64 * 64 * 9]
        };
        let values: Vec<u8> = (0..64 * 64 * 9).flat_map(|_| random()).collect();
        let view = TensorView::new(Dtype::F32, shape, &values).unwrap();
        let file = shard_name(number, 8);
        fs::write(
            folder.join(&file),
            safetensors::serialize([(&name, view)], None).unwrap(),
        )
        .unwrap();
        map.insert(name, file);
    }
    let index = json!({"metadata": {"total_size": 8 * 64 * 64 * 9 * 4}, "weight_map": map});
    fs::write(folder.join(INDEX), index.to_string()).unwrap();
    fs::write(folder.join("config.json"), "{}").unwrap();
}

/// How a run that may be killed finds the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Way {
    /// The output does not exist.
    New,
    /// The output is an older one.
    Replaced,
    /// The output is the input.
    InPlace,
}

struct Killing {
    desk: TempDir,
    random: u64,
    /// How long a run may live at most, by its way and whether it syncs: drawn out after kills that came before the end, and
    /// shortened after others, so that there are many of both.
    lives: HashMap<(Way, bool), Duration>,
    /// Kills that left a hidden folder behind, and those after which the output was complete.
    midway: usize,
    complete: usize,
}

impl Killing {
    fn path(&self, name: &str) -> PathBuf {
        self.desk.path().join(name)
    }

    fn command(&self, input: &str, out: &str, sync: bool) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_inmerge-ckpt"));
        command
            .arg("merge")
            .args([self.path(input), self.path(out)]);
        command.args([
            "--force",
            "--quiet",
            "--threads=1",
            "--skip-shallow=0",
            "--tau=0.7",
        ]);
        if !sync {
            command.arg("--no-sync");
        }
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Starts a run and kills it at a random moment of its life.
    fn kill(&mut self, input: &str, out: &str, sync: bool, life: Duration) {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let share = (self.random % 1000) as f64 / 1000.0;
        let mut child = self.command(input, out, sync).spawn().unwrap();
        std::thread::sleep(life.mul_f64(share));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn hidden(&self) -> usize {
        let names = names(self.desk.path());
        names.iter().filter(|name| name.starts_with('.')).count()
    }

    /// Kills a run, checks what it leaves, and clears it away by a run that is not killed now and then.
    fn once(
        &mut self,
        way: Way,
        round: usize,
        old: &BTreeMap<String, Vec<u8>>,
        new: &BTreeMap<String, Vec<u8>>,
    ) {
        let (input, out) = match way {
            Way::InPlace => ("place", "place"),
            _ => ("in", "out"),
        };
        let place = self.path(out);
        let restore = |to: Option<&BTreeMap<String, Vec<u8>>>| {
            if found(&place).as_ref() == to {
                return;
            }
            let _ = fs::remove_dir_all(&place);
            if let Some(files) = to {
                fs::create_dir(&place).unwrap();
                for (name, bytes) in files {
                    fs::write(place.join(name), bytes).unwrap();
                }
            }
        };
        let before = (way != Way::New).then_some(old);
        restore(before);
        let hidden = self.hidden();
        let sync = round.is_multiple_of(4);
        let life = self.lives.get(&(way, sync)).copied();
        let life = life.unwrap_or(Duration::from_millis(100));
        self.kill(input, out, sync, life);
        let after = found(&place);
        // A run removes what those before it have left, so there may be fewer.
        self.midway += usize::from(self.hidden() >= hidden.max(1));
        let is_complete = after.as_ref() == Some(new);
        if is_complete {
            self.complete += 1;
        } else {
            assert!(
                after.as_ref() == before,
                "round {round}, {way:?}: half an output"
            );
        }
        let factor = if is_complete { 0.9 } else { 1.08 };
        self.lives.insert((way, sync), life.mul_f64(factor));
        if round.is_multiple_of(10) {
            restore(before);
            self.clear_up(input, out);
            assert!(
                found(&place).as_ref() == Some(new),
                "round {round}, {way:?}"
            );
        }
    }

    /// A run that is not killed. It removes what those that were left, but for folders that it names: where the place was made
    /// anew meanwhile, what was replaced before that may be the only copy.
    fn clear_up(&self, input: &str, out: &str) {
        let mut command = self.command(input, out, false);
        let run = command.stderr(Stdio::piped()).output().unwrap();
        assert!(run.status.success());
        let said = String::from_utf8_lossy(&run.stderr);
        let mut left: Vec<String> = names(self.desk.path());
        left.retain(|name| name.starts_with(&format!(".{out}.inmerge-")));
        for name in left {
            assert!(
                name.ends_with(".old") && said.contains(&name),
                "{name}: {said}"
            );
            fs::remove_dir_all(self.desk.path().join(name)).unwrap();
        }
    }
}

/// All files of a folder, by name; `None` where there is none.
fn found(folder: &Path) -> Option<BTreeMap<String, Vec<u8>>> {
    folder.is_dir().then(|| {
        let files = contents(folder).into_iter();
        files
            .map(|(path, bytes)| {
                (
                    path.file_name().unwrap().to_str().unwrap().to_owned(),
                    bytes,
                )
            })
            .collect()
    })
}

#[test]
fn a_run_killed_at_any_moment_leaves_the_old_or_the_new() {
    let desk = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    some_megabytes(&desk.path().join("in"));
    let mut killing = Killing {
        desk,
        random: 0x9E37_79B9_7F4A_7C15,
        lives: HashMap::new(),
        midway: 0,
        complete: 0,
    };
    let old = found(&killing.path("in")).unwrap();
    assert!(
        killing
            .command("in", "out", true)
            .status()
            .unwrap()
            .success()
    );
    let new = found(&killing.path("out")).unwrap();
    assert_eq!(
        old.keys().collect::<Vec<_>>(),
        new.keys().collect::<Vec<_>>()
    );
    assert_eq!(
        old.iter()
            .filter(|(name, bytes)| new[*name] != **bytes)
            .count(),
        6
    );
    for round in 0..200 {
        let way = [Way::New, Way::Replaced, Way::InPlace][round % 3];
        killing.once(way, round, &old, &new);
    }
    eprintln!(
        "of 200 kills {} left a hidden folder and {} a complete output; {:?}",
        killing.midway, killing.complete, killing.lives
    );
    assert!(
        killing.midway > 0 && killing.complete > 0,
        "no kill came midway, or all did"
    );
    for (input, out) in [("in", "out"), ("place", "place")] {
        if killing.path(input).is_dir() {
            killing.clear_up(input, out);
        }
    }
    assert_eq!(names(killing.desk.path()), ["in", "out", "place"]);
}

#[test]
fn a_folder_that_a_killed_run_moved_away_is_named_with_all_that_it_may_be() {
    let desk = Desk::new();
    for name in [".in.inmerge-a1.old", ".in.inmerge-b2.old"] {
        fs::create_dir(desk.path(name)).unwrap();
        let run = desk.merge("gone", "out", &[]);
        assert!(
            !run.stderr.contains("moved") && run.code == Some(1),
            "{run}"
        );
    }
    fs::remove_dir_all(desk.path("in")).unwrap();
    for input in ["in".to_owned(), format!("in/{INDEX}")] {
        let run = desk.merge(&input, "out", &[]);
        assert_eq!(run.code, Some(1), "{run}");
        for word in [".in.inmerge-a1.old", ".in.inmerge-b2.old", "move that back"] {
            assert!(run.stderr.contains(word), "{run}");
        }
    }
}
