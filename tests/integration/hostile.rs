//! What must be refused: with a sentence that names the culprit and a remedy, and without touching anything.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::common::{Mounted, Run, contents, fixture, read_json, run};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Words of which a message must hold one; case does not matter. Several stand where wording is free.
type AnyOf<'a> = &'a [&'a str];

/// Fails unless the run was refused with that code and a message that holds a word of each group.
fn refused(run: &Run, code: i32, words: &[AnyOf]) {
    assert_eq!(run.code, Some(code), "{run}");
    assert!(!run.stderr.contains("panicked"), "{run}");
    assert_eq!(run.stdout, "", "a refusal belongs on stderr\n{run}");
    let message = run.stderr.to_lowercase();
    for group in words {
        assert!(
            group
                .iter()
                .any(|word| message.contains(&word.to_lowercase())),
            "the message holds none of {group:?}\n{run}"
        );
    }
    // Usage errors come with clap's usage lines; everything else is one sentence.
    if code == 1 {
        assert_eq!(run.stderr.trim_end().lines().count(), 1, "{run}");
    }
}

/// A folder with an output from an earlier day in it.
struct Desk {
    folder: TempDir,
}

const EARLIER: &[u8] = b"an earlier output that must survive";

impl Desk {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("earlier.safetensors"), EARLIER).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file beside the outputs.
    fn with(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Runs the command towards a new output and, with `--force`, towards the earlier one. Both must be refused, and
    /// the folder be as it was: no output, no temporary file, the earlier output whole.
    fn refuses(&self, args: Vec<OsString>, code: i32, words: &[AnyOf]) {
        let before = contents(self.folder.path());
        for (out, force) in [("new.safetensors", false), ("earlier.safetensors", true)] {
            let mut args = args.clone();
            // The output comes after the command's inputs, which come first.
            let inputs = if args[0] == "apply" { 3 } else { 2 };
            args.insert(inputs, self.path(out).into());
            if force {
                args.push("--force".into());
            }
            let run = run(args);
            refused(&run, code, words);
            assert!(
                contents(self.folder.path()) == before,
                "files were changed or left behind\n{run}"
            );
        }
    }
}

fn tiny() -> PathBuf {
    fixture("checkpoints/resnet-tiny.safetensors")
}

// --------------------------------------------------------------------------------------------------------- bad inputs

/// For each file in `fixtures/hostile` what the message must hold beside the file's name.
const FILES: &[(&str, &[AnyOf])] = &[
    ("empty", &[&["empty"], &["again"]]),
    ("seven-bytes", &[&["truncated", "too short"]]),
    ("header-truncated", &[&["truncated", "header"], &["again"]]),
    (
        "header-length-beyond-file",
        &[&["truncated", "header"], &["again"]],
    ),
    (
        "header-length-beyond-limit",
        &[&["100,000,001", "100000001"], &["limit", "100 MB"]],
    ),
    (
        "header-length-greatest",
        &[&["header"], &["limit", "100 MB"]],
    ),
    ("header-not-json", &[&["json"]]),
    ("header-not-utf8", &[&["utf-8"]]),
    ("header-not-an-object", &[&["object"]]),
    ("header-entry-not-an-object", &[&["conv1.weight"]]),
    (
        "data-truncated",
        &[&["conv2.weight"], &["truncated"], &["again"]],
    ),
    ("data-trailing", &[&["3 bytes", "3 more bytes", "trailing"]]),
    ("offsets-overlap", &[&["conv2.weight"], &["overlap"]]),
    ("offsets-same", &[&["conv2.weight"], &["overlap"]]),
    (
        "offsets-hole",
        &[&["conv2.weight"], &["no tensor", "hole", "gap"]],
    ),
    (
        "offsets-hole-in-front",
        &[&["conv1.weight"], &["no tensor", "hole", "gap"]],
    ),
    (
        "offsets-out-of-range",
        &[&["conv2.weight"], &["out of range", "truncated"]],
    ),
    ("offsets-beyond-u64", &[&["conv1.weight"]]),
    ("begin-after-end", &[&["conv1.weight"], &["offset"]]),
    (
        "duplicate-name",
        &[&["conv1.weight"], &["twice", "duplicate"]],
    ),
    (
        "dtype-unknown",
        &[&["conv1.weight"], &["FLOAT32"], &["dtype"]],
    ),
    ("shape-overflow", &[&["conv1.weight"], &["overflow"]]),
    (
        "shape-size-mismatch",
        &[&["conv1.weight"], &["384"], &["shape"]],
    ),
    ("shape-negative", &[&["conv1.weight"], &["-4"]]),
    ("shape-fraction", &[&["conv1.weight"], &["4.5"]]),
    (
        "git-lfs-pointer",
        &[&["git-lfs", "git lfs"], &["git lfs pull"]],
    ),
    (
        "torch-legacy",
        &[&["pytorch 1.6"], &["pickle"], &["torch.save"]],
    ),
    ("torch-truncated", &[&["truncated"], &["again"]]),
    ("torch-directory-damaged", &[&["damaged"], &["again"]]),
    ("torch-directory-elsewhere", &[&["truncated"], &["again"]]),
    (
        "torch-local-header-damaged",
        &[&["archive/byteorder"], &["again"]],
    ),
    ("torch-entry-twice", &[&["archive/data/0"], &["twice"]]),
    (
        "torch-entries-overlap",
        &[&["archive/data/0"], &["archive/data/1"], &["overlap"]],
    ),
    ("torch-encrypted", &[&["archive/data.pkl"], &["decrypt"]]),
    (
        "torch-compressed",
        &[&["archive/data.pkl"], &["compressed"], &["torch.save"]],
    ),
    (
        "torch-pickle-damaged",
        &[&["archive/data.pkl"], &["checksum"]],
    ),
    (
        "torch-storage-damaged",
        &[&["archive/data/0"], &["checksum"]],
    ),
    ("torch-no-pickle", &[&["data.pkl"], &["no pytorch file"]]),
    ("torch-script", &[&["torchscript"], &["state_dict()"]]),
    ("torch-big-endian", &[&["big-endian"]]),
    (
        "torch-module",
        &[&["torch.nn.modules.conv.Conv2d"], &["state_dict()"]],
    ),
    (
        "torch-no-state-dict",
        &[&["no state dict"], &["state_dict()"]],
    ),
    ("torch-no-storage", &[&["conv2.weight"], &["storage 1"]]),
    (
        "torch-beyond-storage",
        &[&["conv1.weight"], &["storage 0"], &["576"]],
    ),
    ("torch-shape-overflow", &[&["conv1.weight"], &["storage 0"]]),
    ("torch-shape-negative", &[&["conv1.weight"], &["no tensor"]]),
    ("torch-name-twice", &[&["conv1.weight"], &["twice"]]),
    ("torch-instruction", &[&["0x97"], &["pickle_protocol"]]),
    ("torch-stack-empty", &[&["byte 3"], &["data.pkl"]]),
    ("torch-mark-missing", &[&["byte 4"], &["data.pkl"]]),
    ("torch-memo-missing", &[&["byte 4"], &["data.pkl"]]),
    ("torch-length-beyond-end", &[&["byte 7"], &["data.pkl"]]),
    ("torch-never-ends", &[&["byte 1002"], &["data.pkl"]]),
    ("torch-holds-itself", &[&["no state dict"]]),
    ("torch-deep", &[&["no state dict"]]),
    (
        "nan",
        &[&["conv1.weight"], &["1 "], &["nan"], &["--allow-nonfinite"]],
    ),
    (
        "inf",
        &[&["conv2.weight"], &["1 "], &["inf"], &["--allow-nonfinite"]],
    ),
];

#[test]
fn every_hostile_file_is_refused_by_name() {
    let desk = Desk::new();
    for (name, words) in FILES {
        let file = format!("{name}.safetensors");
        let path = fixture("hostile").join(&file);
        let named = [file.as_str()];
        let words = [&[&named[..]], *words].concat();
        desk.refuses(args!["merge", path, "--skip-shallow=0"], 1, &words);
    }
}

#[test]
fn every_hostile_file_has_its_line_in_the_table() {
    let mut listed: Vec<_> = FILES
        .iter()
        .map(|(name, _)| format!("{name}.safetensors"))
        .collect();
    let mut present: Vec<_> = fs::read_dir(fixture("hostile"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    listed.sort();
    present.sort();
    assert_eq!(listed, present);
}

#[test]
fn inspect_refuses_the_same_headers_and_reads_no_weights() {
    for (name, words) in FILES {
        let path = fixture(&format!("hostile/{name}.safetensors"));
        let run = run(args!["inspect", path]);
        // Only the weights of these are at fault, and inspect does not look at weights.
        if ["nan", "inf", "torch-storage-damaged"].contains(name) {
            assert_eq!(run.code, Some(0), "{run}");
        } else {
            refused(&run, 1, words);
        }
    }
}

#[test]
fn a_missing_input_is_refused() {
    let desk = Desk::new();
    let words: &[AnyOf] = &[
        &["nowhere.safetensors"],
        &["no such file", "not found", "does not exist"],
    ];
    desk.refuses(args!["merge", "nowhere.safetensors"], 1, words);
    desk.refuses(
        args![
            "apply",
            fixture("golden/eligible.plan.json"),
            "nowhere.safetensors"
        ],
        1,
        words,
    );
}

#[test]
fn a_device_as_input_is_refused() {
    Desk::new().refuses(
        args!["merge", "/dev/null"],
        1,
        &[&["/dev/null"], &["regular file"]],
    );
}

/// The claim is honest here, 110 MB of header in a sparse file, and still beyond what the format allows.
#[test]
fn a_header_beyond_the_limit_is_refused_without_reading_it() {
    let desk = Desk::new();
    let path = desk.with("long.safetensors", 110_000_000_u64.to_le_bytes());
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(120_000_000)
        .unwrap();
    // Not `Desk::refuses`: comparing the folder would read the file over and over.
    let run = run(args!["merge", path, desk.path("new.safetensors")]);
    refused(
        &run,
        1,
        &[
            &["long.safetensors"],
            &["110000000", "110,000,000"],
            &["limit", "100 MB"],
        ],
    );
    assert!(!desk.path("new.safetensors").exists());
}

// -------------------------------------------------------------------------------------------------------- bad outputs

/// Runs a merge that would succeed into `out`, once without and once with `--force`.
fn refuses_output(out: &Path, words: &[AnyOf]) {
    for force in [&[][..], &["--force"]] {
        let mut args = args!["merge", tiny(), out, "--skip-shallow=0"];
        args.extend(force.iter().map(Into::into));
        refused(&run(args), 1, words);
    }
}

#[test]
fn an_existing_output_is_refused_before_anything_is_computed() {
    let desk = Desk::new();
    let before = contents(desk.folder.path());
    // The weights hold a NaN, which computing would trip over first.
    let out = desk.path("earlier.safetensors");
    let args = args![
        "merge",
        fixture("hostile/nan.safetensors"),
        out,
        "--skip-shallow=0",
        "--plan",
        desk.path("plan.json")
    ];
    refused(
        &run(args),
        1,
        &[&["earlier.safetensors"], &["exist"], &["--force"]],
    );
    let args = args![
        "apply",
        fixture("golden/eligible.plan.json"),
        tiny(),
        desk.path("earlier.safetensors")
    ];
    refused(
        &run(args),
        1,
        &[&["earlier.safetensors"], &["exist"], &["--force"]],
    );
    assert!(contents(desk.folder.path()) == before);
}

#[test]
fn the_input_itself_is_replaced_with_force_only() {
    let desk = Desk::new();
    let source = fs::read(tiny()).unwrap();
    let path = desk.with("resnet-tiny.safetensors", &source);
    let args = args![
        "merge",
        &path,
        &path,
        "--skip-shallow=0",
        "--tau=0.6",
        "--no-sync"
    ];
    refused(
        &run(args.clone()),
        1,
        &[&["resnet-tiny.safetensors"], &["--force"]],
    );
    assert!(fs::read(&path).unwrap() == source);

    run([args, args!["--force"]].concat()).done();
    assert!(fs::read(&path).unwrap() == fs::read(fixture("golden/eligible.safetensors")).unwrap());
    assert_eq!(
        contents(desk.folder.path()).len(),
        2,
        "a temporary file was left"
    );
}

#[test]
fn a_device_as_output_is_refused() {
    refuses_output(
        Path::new("/dev/null"),
        &[&["/dev/null"], &["device"], &["regular file"]],
    );
    assert!(
        fs::metadata("/dev/null")
            .unwrap()
            .file_type()
            .is_char_device()
    );
}

#[test]
fn a_folder_as_output_is_refused() {
    let desk = Desk::new();
    fs::create_dir(desk.path("folder")).unwrap();
    let before = contents(desk.folder.path());
    refuses_output(
        &desk.path("folder"),
        &[&["folder"], &["name a file", "file name"]],
    );
    assert!(contents(desk.folder.path()) == before);
    assert_eq!(fs::read_dir(desk.path("folder")).unwrap().count(), 0);
}

#[test]
fn a_link_as_output_is_refused_and_its_target_left_alone() {
    let desk = Desk::new();
    symlink(desk.path("earlier.safetensors"), desk.path("link")).unwrap();
    symlink(desk.path("nowhere"), desk.path("dangling")).unwrap();
    let before = contents(desk.folder.path());
    for link in ["link", "dangling"] {
        refuses_output(&desk.path(link), &[&[link], &["symbolic link", "symlink"]]);
        assert!(fs::symlink_metadata(desk.path(link)).unwrap().is_symlink());
    }
    assert!(contents(desk.folder.path()) == before);
}

#[test]
fn a_missing_folder_is_refused_and_not_made() {
    let desk = Desk::new();
    refuses_output(
        &desk.path("missing/out.safetensors"),
        &[&["missing"], &["folder", "directory"], &["create"]],
    );
    assert!(!desk.path("missing").exists());
}

#[test]
fn a_plan_that_cannot_be_written_leaves_no_output() {
    let desk = Desk::new();
    let plan = desk.path("missing/plan.json");
    desk.refuses(
        args!["merge", tiny(), "--skip-shallow=0", "--plan", plan],
        1,
        &[&["plan.json"]],
    );
}

#[test]
fn a_read_only_folder_is_refused() {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    // Permissions do not bind root, but a read-only file system does.
    let mounted = match fs::write(folder.path().join("probe"), "") {
        Err(_) => None,
        Ok(()) => match Mounted::tmpfs("ro") {
            None => return,
            mounted => mounted,
        },
    };
    let place = mounted
        .as_ref()
        .map_or(folder.path(), |mounted| mounted.0.path());
    refuses_output(
        &place.join("out.safetensors"),
        &[&["out.safetensors"], &["read-only", "permission"]],
    );
    assert_eq!(fs::read_dir(place).unwrap().count(), 0);
}

#[test]
fn a_full_disk_is_refused_and_leaves_what_was_there() {
    let Some(disk) = Mounted::tmpfs("size=64k") else {
        return;
    };
    let demo = fixture("checkpoints/demo.safetensors");
    assert!(fs::metadata(&demo).unwrap().len() > 3 * 64 * 1024);
    fs::write(disk.0.path().join("earlier.safetensors"), EARLIER).unwrap();
    let before = contents(disk.0.path());
    for (out, force) in [
        ("new.safetensors", &[][..]),
        ("earlier.safetensors", &["--force"]),
    ] {
        let mut args = args!["merge", &demo, disk.0.path().join(out), "--tau=0.9"];
        args.extend(force.iter().map(Into::into));
        let run = run(args);
        refused(&run, 1, &[&[out], &["no space", "full"], &["free"]]);
        assert!(contents(disk.0.path()) == before, "{run}");
    }
}

// ---------------------------------------------------------------------------------------------------------- bad flags

#[test]
fn flags_out_of_range_are_wrong_usage() {
    let desk = Desk::new();
    let wrong: &[(&str, &[AnyOf])] = &[
        ("--tau=1.5", &[&["--tau"], &["1.5"], &["-1"], &["1"]]),
        ("--tau=-1.01", &[&["--tau"], &["-1.01"]]),
        ("--tau=nan", &[&["--tau"], &["nan"]]),
        ("--tau=inf", &[&["--tau"], &["inf"]]),
        ("--tau=high", &[&["--tau"], &["high"]]),
        ("--tau=150%", &[&["--tau"], &["150%"], &["100"]]),
        ("--tau=-5%", &[&["--tau"], &["-5%"]]),
        ("--tau=nan%", &[&["--tau"], &["nan%"]]),
        ("--tau=%", &[&["--tau"]]),
        ("--alpha=-0.1", &[&["--alpha"], &["-0.1"], &["0"], &["1"]]),
        ("--alpha=1.1", &[&["--alpha"], &["1.1"]]),
        ("--alpha=NaN", &[&["--alpha"], &["nan"]]),
        ("--prob=2", &[&["--prob"], &["0"], &["1"]]),
        ("--prob=-1", &[&["--prob"], &["-1"]]),
        ("--prob=nan", &[&["--prob"], &["nan"]]),
        ("--rounds=0", &[&["--rounds"], &["0"], &["1"]]),
        ("--rounds=-1", &[&["--rounds"]]),
        ("--seed=-1", &[&["--seed"]]),
        ("--seed=18446744073709551616", &[&["--seed"]]),
        ("--skip-shallow=-1", &[&["--skip-shallow"]]),
        (
            "--partner=closest",
            &[&["--partner"], &["closest"], &["nearest"]],
        ),
        (
            "--kinds=conv,recurrent",
            &[&["--kinds"], &["recurrent"], &["transposed"]],
        ),
        ("--threads=0", &[&["--threads"]]),
        ("--backend=tpu", &[&["--backend"], &["tpu"]]),
        ("--treshold=0.5", &[&["--treshold"]]),
    ];
    for (flag, words) in wrong {
        desk.refuses(args!["merge", tiny(), *flag], 2, words);
    }
}

#[test]
fn a_glob_that_matches_nothing_lists_near_names() {
    let desk = Desk::new();
    for flag in ["--include", "--exclude"] {
        let words: &[AnyOf] = &[
            &[flag],
            &["layer1.0.conv3.weight"],
            &["layer1.0.conv1.weight", "layer1.0.conv2.weight"],
        ];
        let args = args![
            "merge",
            tiny(),
            flag,
            "layer1.0.conv3.weight",
            "--skip-shallow=0"
        ];
        desk.refuses(args, 1, words);
    }
}

#[test]
fn files_named_by_flags_are_named_when_they_are_at_fault() {
    let desk = Desk::new();
    desk.refuses(
        args!["merge", tiny(), "--config", "nowhere.toml"],
        1,
        &[&["nowhere.toml"]],
    );
    desk.refuses(
        args!["merge", tiny(), "--order", "nowhere.txt"],
        1,
        &[&["nowhere.txt"]],
    );
    let misspelt = desk.with("misspelt.toml", "treshold = 0.5\n");
    desk.refuses(
        args!["merge", tiny(), "--config", misspelt],
        1,
        &[&["misspelt.toml"], &["treshold"]],
    );
    let beyond = desk.with(
        "beyond.toml",
        "[[layer]]\nmatch = \"layer1.*\"\ntau = 1.5\n",
    );
    desk.refuses(
        args!["merge", tiny(), "--config", beyond],
        1,
        &[&["beyond.toml"], &["tau", "line 3"], &["1.5"]],
    );
    let nowhere = desk.with(
        "nowhere.toml",
        "[[layer]]\nmatch = \"layr2.*\"\ntau = 0.5\n",
    );
    desk.refuses(
        args!["merge", tiny(), "--config", nowhere],
        1,
        &[&["[[layer]]"], &["layr2.*"], &["layer2.0.conv1.weight"]],
    );
    let order = desk.with("order.txt", "conv1.weight\nlayer9.weight\n");
    desk.refuses(
        args!["merge", tiny(), "--order", order],
        1,
        &[&["order.txt"], &["--order"], &["layer9.weight"]],
    );
    desk.refuses(
        args!["merge", tiny(), "--layers", "nowhere.json"],
        1,
        &[&["nowhere.json"], &["--layers"]],
    );
    for (text, words) in [
        ("conv1.weight\n", "line 1 column 1"),
        ("[\n{\"name\": \"conv1.weight\", \"grups\": 2}]", "`grups`"),
        ("[\"layer9.weight\"]", "layer9.weight"),
        ("[{\"name\": \"conv1.weight\", \"groups\": 5}]", "5 groups"),
        (
            "[{\"name\": \"conv1.weight\", \"kind\": \"linear\"}]",
            "not linear",
        ),
    ] {
        let layers = desk.with("layers.json", text);
        desk.refuses(
            args!["merge", tiny(), "--layers", layers],
            1,
            &[&["layers.json"], &["--layers"], &[words]],
        );
    }
    // As a German Windows saves it.
    let latin = desk.with("latin.txt", b"# from PyTorch\n# f\xfcr\n");
    for flag in ["--config", "--order", "--layers"] {
        desk.refuses(
            args!["merge", tiny(), flag, latin.clone()],
            1,
            &[&["latin.txt"], &["line 2"], &["UTF-8 text"]],
        );
    }
    desk.refuses(
        args![
            "merge",
            tiny(),
            "--layers",
            "layers.json",
            "--order",
            "order.txt"
        ],
        2,
        &[&["--layers"], &["--order"]],
    );
}

// ---------------------------------------------------------------------------------------------------------- bad plans

/// The reference's plan for the small ResNet, spoilt.
fn spoilt(spoil: impl Fn(&mut Value)) -> String {
    let mut plan = read_json(&fixture("golden/eligible.plan.json"));
    plan["tool"] = json!("somebody's script");
    spoil(&mut plan);
    plan.to_string()
}

/// The layer that the spoilt plans are about.
const LAYER: usize = 4;
const LAYER_NAME: &str = "layer2.0.conv2.weight";

#[test]
fn the_unspoilt_plan_applies() {
    let desk = Desk::new();
    let plan = desk.with("plan.json", spoilt(|_| {}));
    run(args!["apply", plan, tiny(), desk.path("out")]).done();
    assert!(
        fs::read(desk.path("out")).unwrap()
            == fs::read(fixture("golden/eligible.safetensors")).unwrap()
    );
    let plan = read_json(&fixture("golden/eligible.plan.json"));
    assert_eq!(plan["layers"][LAYER]["name"], LAYER_NAME);
    assert!(plan["layers"][LAYER]["merges"].as_array().unwrap().len() > 1);
}

#[test]
fn spoilt_plans_are_refused() {
    type Spoil = fn(&mut Value);
    let merges = |plan: &mut Value, edit: fn(&mut Vec<Value>)| {
        edit(plan["layers"][LAYER]["merges"].as_array_mut().unwrap())
    };
    let cases: &[(&str, Spoil, &[AnyOf])] = &[
        (
            "unknown format",
            |plan| plan["format"] = json!("other-plan"),
            &[&["format", "inmerge-plan"]],
        ),
        (
            "unknown version",
            |plan| plan["version"] = json!(2),
            &[&["version"], &["2"]],
        ),
        (
            "no version",
            |plan| drop(plan.as_object_mut().unwrap().remove("version")),
            &[&["version"]],
        ),
        (
            "a misspelt key",
            |plan| plan["layers"][LAYER]["aplha"] = json!(0.1),
            &[&["aplha"], &["layers["]],
        ),
        (
            "a version in words",
            |plan| plan["version"] = json!("1"),
            &[&["version"]],
        ),
        (
            "no layers",
            |plan| drop(plan.as_object_mut().unwrap().remove("layers")),
            &[&["layers"]],
        ),
        (
            "another header",
            |plan| plan["source"]["header_sha256"] = json!("0".repeat(64)),
            &[
                &["resnet-tiny.safetensors"],
                &["another", "different", "other"],
            ],
        ),
        (
            "another size",
            |plan| plan["source"]["bytes"] = json!(18825),
            &[
                &["resnet-tiny.safetensors"],
                &["another", "different", "other", "18825", "18,825"],
            ],
        ),
        (
            "unknown layer",
            |plan| plan["layers"][LAYER]["name"] = json!("layer9.weight"),
            &[&["layer9.weight"]],
        ),
        (
            "a layer twice",
            |plan| plan["layers"][LAYER] = plan["layers"][LAYER + 1].clone(),
            &[&["layer2.0.downsample.0.weight"], &["twice", "duplicate"]],
        ),
        (
            "wrong shape",
            |plan| plan["layers"][LAYER]["shape"] = json!([12, 12, 9]),
            &[&[LAYER_NAME], &["shape"]],
        ),
        (
            "wrong kernels",
            |plan| plan["layers"][LAYER]["kernels"] = json!(11),
            &[&[LAYER_NAME], &["kernels"]],
        ),
        (
            "no groups",
            |plan| plan["layers"][LAYER]["groups"] = json!(0),
            &[&[LAYER_NAME], &["groups"]],
        ),
        (
            "unknown kind",
            |plan| plan["layers"][LAYER]["kind"] = json!("recurrent"),
            &[&["recurrent"]],
        ),
        (
            "alpha beyond 1",
            |plan| plan["layers"][LAYER]["alpha"] = json!(1.5),
            // A place in the file will do where there is no name.
            &[&["alpha", "line"], &["1.5"]],
        ),
        (
            "kernel beyond",
            |plan| plan["layers"][LAYER]["merges"][0]["kernel"] = json!(12),
            &[&[LAYER_NAME], &["kernel"], &["12"]],
        ),
        (
            "kernel far beyond",
            |plan| plan["layers"][LAYER]["merges"][0]["kernel"] = json!(u64::MAX),
            &[&["kernel", "18446744073709551615"]],
        ),
        (
            "kernel negative",
            |plan| plan["layers"][LAYER]["merges"][0]["kernel"] = json!(-1),
            &[&["-1"]],
        ),
        (
            "partner beyond",
            |plan| plan["layers"][LAYER]["merges"][0]["partner"] = json!(12),
            &[&[LAYER_NAME], &["partner"], &["12"]],
        ),
        (
            "itself",
            |plan| {
                plan["layers"][LAYER]["merges"][0]["partner"] =
                    plan["layers"][LAYER]["merges"][0]["kernel"].clone()
            },
            &[&[LAYER_NAME], &["itself"]],
        ),
        (
            "round beyond",
            |plan| plan["layers"][LAYER]["merges"][0]["round"] = json!(1),
            &[&[LAYER_NAME], &["round"]],
        ),
        (
            "similarity a text",
            |plan| plan["layers"][LAYER]["merges"][0]["similarity"] = json!("high"),
            &[&["high", "similarity"]],
        ),
    ];
    let desk = Desk::new();
    for (name, spoil, words) in cases {
        let plan = desk.with("spoilt.json", spoilt(spoil));
        eprintln!("{name}");
        desk.refuses(args!["apply", plan, tiny()], 1, words);
    }
    let plan = desk.with(
        "spoilt.json",
        spoilt(|plan| merges(plan, |merges| merges.insert(0, merges[0].clone()))),
    );
    desk.refuses(
        args!["apply", plan, tiny()],
        1,
        &[&[LAYER_NAME], &["twice", "more than once"]],
    );
}

/// 2⁴⁰ kernels of no elements take 72 bytes of header and, counted one by one, all night.
#[test]
fn a_plan_for_a_tensor_without_elements_is_refused() {
    let desk = Desk::new();
    let json = br#"{"w":{"dtype":"F32","shape":[0,1099511627776,1],"data_offsets":[0,0]}}"#;
    let mut file = (json.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(json);
    let source = desk.with("nothing.safetensors", &file);
    let plan = desk.with(
        "plan.json",
        json!({
            "format": "inmerge-plan",
            "version": 1,
            "source": {
                "file": "nothing.safetensors",
                "bytes": file.len(),
                "header_sha256": hex(&Sha256::digest(json)),
            },
            "parameters": {
                "tau": 0.9, "alpha": 0.8, "prob": 0.3, "skip_shallow": 0,
                "partner": "eligible", "rounds": 1, "seed": 0,
            },
            "layers": [{
                "name": "w", "kind": "transposed", "shape": [0, 1u64 << 40, 1], "kernels": 1u64 << 40,
                "merges": [{ "round": 0, "kernel": 0, "partner": 1 }],
            }],
        })
        .to_string(),
    );
    desk.refuses(args!["apply", plan, source], 1, &[&["plan.json"], &["`w`"]]);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// Hexadecimal digits have two cases; the checksum is the same in both.
#[test]
fn a_checksum_in_capitals_is_as_good() {
    let desk = Desk::new();
    let capitals = spoilt(|plan| {
        let sum = plan["source"]["header_sha256"]
            .as_str()
            .unwrap()
            .to_uppercase();
        plan["source"]["header_sha256"] = json!(sum);
    });
    let plan = desk.with("plan.json", capitals);
    run(args!["apply", plan, tiny(), desk.path("out")]).done();
}

#[test]
fn files_of_the_run_are_never_its_output() {
    let desk = Desk::new();
    let plan = desk.with("plan.json", spoilt(|_| {}));
    let config = desk.with("config.toml", "tau = 0.5\n");
    let link = desk.path("link.toml");
    std::os::unix::fs::symlink(&config, &link).unwrap();
    let out = desk.path("new.safetensors");
    let before = contents(desk.folder.path());
    for args in [
        args!["apply", &plan, tiny(), &plan, "--force"],
        args!["merge", tiny(), &config, "--config", &config, "--force"],
        args![
            "merge",
            tiny(),
            &out,
            "--config",
            &config,
            "--plan",
            &link,
            "--force"
        ],
        args!["merge", tiny(), &out, "--plan", &out],
    ] {
        let run = run(args);
        refused(&run, 1, &[&["of this run"]]);
        assert!(contents(desk.folder.path()) == before, "{run}");
    }
}

#[test]
fn an_output_with_a_slash_at_its_end_is_a_folder_that_is_not_there() {
    let desk = Desk::new();
    let run = run(args![
        "merge",
        tiny(),
        format!("{}/", desk.path("new").display())
    ]);
    refused(&run, 1, &[&["folder"]]);
}

#[test]
fn a_plan_for_another_checkpoint_is_refused() {
    let desk = Desk::new();
    let plan = fixture("golden/grouped.plan.json");
    let words: &[AnyOf] = &[
        &["resnet-tiny.safetensors"],
        &["another", "different", "other"],
        &["grouped.safetensors", "plan"],
    ];
    desk.refuses(args!["apply", plan, tiny()], 1, words);
}

#[test]
fn a_merge_across_groups_is_refused() {
    let desk = Desk::new();
    let mut plan = read_json(&fixture("golden/grouped.plan.json"));
    let layers = plan["layers"].as_array_mut().unwrap();
    let layer = layers
        .iter_mut()
        .find(|layer| layer["groups"] == 3)
        .unwrap();
    let name = layer["name"].as_str().unwrap().to_owned();
    layer["merges"] = json!([{"round": 0, "kernel": 0, "partner": 4, "similarity": 0.9}]);
    let plan = desk.with("across.json", plan.to_string());
    let words: &[AnyOf] = &[&[&name], &["group"]];
    desk.refuses(
        args!["apply", plan, fixture("checkpoints/grouped.safetensors")],
        1,
        words,
    );
}

#[test]
fn a_plan_that_is_no_plan_is_refused() {
    let desk = Desk::new();
    let cut = spoilt(|_| {})[..200].to_owned();
    for (name, text) in [
        ("cut.json", cut.as_bytes()),
        ("empty.json", b""),
        ("list.json", b"[]"),
        ("latin1.json", b"{\"\xe9\": 1}"),
    ] {
        let plan = desk.with(name, text);
        desk.refuses(args!["apply", plan, tiny()], 1, &[&[name]]);
    }
    desk.refuses(
        args!["apply", "nowhere.json", tiny()],
        1,
        &[&["nowhere.json"]],
    );
    desk.refuses(
        args!["apply", tiny(), tiny()],
        1,
        &[&["resnet-tiny.safetensors"], &["plan", "json"]],
    );
}

// ---------------------------------------------------------------------------------------------------- nothing to merge

#[test]
fn require_merges_says_that_nothing_merged_and_writes_nothing() {
    let desk = Desk::new();
    for flags in [
        &["--tau=1"][..],
        &["--skip-shallow=0", "--tau=1"],
        &["--skip-shallow=0", "--prob=0"],
    ] {
        let out = desk.path("new.safetensors");
        let mut args = args!["merge", tiny(), out, "--require-merges"];
        args.extend(flags.iter().map(Into::into));
        let before = contents(desk.folder.path());
        let run = run(args);
        assert_eq!(run.code, Some(3), "{run}");
        assert!(
            run.stderr.to_lowercase().contains("nothing merged"),
            "{run}"
        );
        assert!(
            !run.stdout.to_lowercase().contains("dry run"),
            "it was none\n{run}"
        );
        assert!(contents(desk.folder.path()) == before, "{run}");
    }
}

/// A run that merges nothing is the failure that goes unnoticed for months: it says what each layer would have needed.
#[test]
fn a_run_that_merges_nothing_says_so_with_numbers() {
    let desk = Desk::new();
    let run = run(args![
        "merge",
        tiny(),
        desk.path("out"),
        "--skip-shallow=5",
        "--tau=1"
    ])
    .done();
    let message = run.stderr.to_lowercase();
    assert!(
        ["nothing", "no kernel"]
            .iter()
            .any(|word| message.contains(word)),
        "{run}"
    );
    // The greatest similarity of the one layer left, to the digits that a reader wants.
    for word in ["layer2.0.downsample.0.weight", "0.97", "1 %", "5 %", "20 %"] {
        let tight = word.replace(' ', "");
        assert!(
            message.contains(word) || message.contains(&tight),
            "no {word}\n{run}"
        );
    }
    assert!(fs::read(desk.path("out")).unwrap() == fs::read(tiny()).unwrap());
}
