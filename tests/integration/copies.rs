//! One weight under several names is one layer: every command decides once and writes it everywhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{Run, Tensor, fixture, places, read_json, read_tensors, run, write_tensors};
use safetensors::tensor::Dtype;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The flags of a merge in which most kernels merge.
const MANY: [&str; 3] = ["--skip-shallow=1", "--tau=0.5", "--prob=1"];

/// A folder with what a test makes.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Merges into `out`, with the plan beside it.
    fn merge(&self, input: &Path, out: &str, flags: &[&str]) -> Run {
        let plan = self.at(&format!("{out}.plan"));
        let mut line = args!["merge", input, self.at(out), "--plan", plan];
        line.extend(args!["--no-sync", "--json", "--force"]);
        line.extend(flags.iter().map(Into::into));
        run(line).done()
    }

    fn apply(&self, plan: &Path, input: &Path, more: &[&str]) -> Run {
        let mut line = args![
            "apply",
            plan,
            input,
            self.at("applied"),
            "--no-sync",
            "--json"
        ];
        line.extend(more.iter().map(Into::into));
        run(line)
    }

    /// Fails unless a plan was refused with these words and nothing written.
    fn refused(&self, run: &Run, words: &[&str]) {
        assert_eq!(run.code, Some(1), "{run}");
        for word in words {
            assert!(run.stderr.contains(word), "no {word:?}\n{run}");
        }
        assert!(!self.at("applied").exists(), "{run}");
    }
}

fn checkpoint() -> PathBuf {
    fixture("checkpoints/copies.safetensors")
}

/// The names of each weight in the fixture that stands several times, the layer's own first.
fn names_of_weights() -> Vec<Vec<String>> {
    let plan = read_json(&fixture("golden/copies-transposed.plan.json"));
    let layers = plan["layers"].as_array().unwrap().iter();
    let copied = layers.filter(|layer| layer.get("copies").is_some());
    let names = |layer: &Value| {
        let copies = layer["copies"].as_array().unwrap().iter();
        let names = std::iter::once(&layer["name"]).chain(copies);
        names
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    };
    copied.map(names).collect()
}

fn values(tensors: &[Tensor]) -> BTreeMap<&str, &[u8]> {
    let values = tensors
        .iter()
        .map(|(name, _, _, bytes)| (&name[..], &bytes[..]));
    values.collect()
}

/// Fails unless all names of every weight have the same bytes.
fn agree(tensors: &[Tensor]) {
    let values = values(tensors);
    for names in names_of_weights() {
        for name in &names[1..] {
            assert!(values[&name[..]] == values[&names[0][..]], "{name}");
        }
    }
}

/// How many of the named tensors two files differ in.
fn changed(before: &[Tensor], after: &[Tensor]) -> usize {
    assert_eq!(before.len(), after.len());
    let pairs = before.iter().zip(after);
    pairs.filter(|(before, after)| before != after).count()
}

/// Writes tensors as a sharded checkpoint, spread over this many files one after the other.
fn write_sharded(folder: &Path, tensors: &[Tensor], shards: usize) {
    fs::create_dir(folder).unwrap();
    let name = |number: usize| format!("model-{:05}-of-{shards:05}.safetensors", number + 1);
    let mut map = BTreeMap::new();
    for number in 0..shards {
        let part: Vec<Tensor> = tensors
            .iter()
            .skip(number)
            .step_by(shards)
            .cloned()
            .collect();
        map.extend(part.iter().map(|tensor| (tensor.0.clone(), name(number))));
        write_tensors(&folder.join(name(number)), &part);
    }
    let index = json!({ "metadata": {}, "weight_map": map }).to_string();
    fs::write(folder.join("model.safetensors.index.json"), index).unwrap();
}

fn read_sharded(folder: &Path) -> Vec<Tensor> {
    let entries = fs::read_dir(folder).unwrap();
    let files = entries.map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|end| end == "safetensors"));
    let mut tensors: Vec<Tensor> = files.flat_map(|file| read_tensors(&file)).collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    tensors
}

/// The fixture's tensors without its metadata, so that nothing but names and shapes gives the order.
fn without_metadata(bench: &Bench) -> (PathBuf, Vec<Tensor>) {
    let (file, tensors) = (bench.at("plain"), read_tensors(&checkpoint()));
    write_tensors(&file, &tensors);
    (file, tensors)
}

#[test]
fn inspect_lists_a_weight_once_with_its_other_names() {
    let bench = Bench::new();
    for file in [checkpoint(), without_metadata(&bench).0] {
        let report = run(args!["inspect", &file, "--json"]).done().json();
        let layers = report["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 10);
        for names in names_of_weights() {
            let layer = layers.iter().find(|layer| layer["name"] == names[0]);
            let layer = layer.unwrap_or_else(|| panic!("no {}", names[0]));
            assert_eq!(layer["copies"], json!(names[1..]));
        }
        // Its one channel would look depthwise anywhere but at the input.
        assert_eq!(layers[0]["name"], "encoder.stages.0.0.convs.0.conv.weight");
        assert_eq!(
            (&layers[0]["kind"], &layers[0]["depth"]),
            (&json!("conv"), &json!(1))
        );
        let transposed = layers.iter().find(|layer| layer["kind"] == "transposed");
        assert_eq!(transposed.unwrap()["copies"], json!([]));

        let text = run(args!["inspect", &file]).done().stdout;
        assert!(text.contains("(+3)"), "{text}");
        assert!(text.contains("(+1)"), "{text}");
        assert!(!text.contains("decoder.encoder"), "{text}");
    }
}

#[test]
fn constants_are_no_copies() {
    let file = fixture("checkpoints/copies-f16.safetensors");
    let report = run(args!["inspect", file, "--json"]).done().json();
    let layers = report["layers"].as_array().unwrap();
    let zeros = layers
        .iter()
        .filter(|layer| layer["name"].as_str().unwrap().starts_with("zero"));
    assert!(zeros.clone().all(|layer| layer["copies"] == json!([])));
    assert_eq!(zeros.count(), 2);
}

#[test]
fn a_merge_counts_a_weight_once_and_writes_it_everywhere() {
    let bench = Bench::new();
    let report = bench.merge(&checkpoint(), "out", &MANY).json();
    let layers = report["layers"].as_array().unwrap();
    let sum = |key: &str| {
        layers
            .iter()
            .map(|layer| layer[key].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(layers.len(), 7);
    assert_eq!(report["totals"]["layers"], 7);
    assert_eq!(report["totals"]["kernels"], sum("kernels"));
    assert_eq!(report["totals"]["merged"], sum("merged"));
    assert_eq!(layers[0]["copies"].as_array().unwrap().len(), 3);
    let (before, after) = (read_tensors(&checkpoint()), read_tensors(&bench.at("out")));
    agree(&after);
    assert_eq!(changed(&before, &after), 5 * 4 + 2 * 2);
    let text = run(args![
        "merge",
        checkpoint(),
        bench.at("again"),
        "--skip-shallow=1"
    ])
    .done();
    assert!(text.stdout.contains("(+3)"), "{text}");
    // A library's plan without copies has no such key.
    let plan = fs::read_to_string(fixture("golden/demo.plan.json")).unwrap();
    assert!(!plan.contains("copies"));
}

#[test]
fn nothing_merged_leaves_all_copies_as_they_are() {
    let bench = Bench::new();
    for more in [&["--tau=1"][..], &["--tau=1", "--prob=0.1"], &["--prob=0"]] {
        bench.merge(&checkpoint(), "out", &[&MANY[..1], more].concat());
        let (before, after) = (fs::read(checkpoint()), fs::read(bench.at("out")));
        assert!(before.unwrap() == after.unwrap(), "{more:?}");
    }
}

#[test]
fn a_file_may_be_replaced_by_what_becomes_of_it() {
    let bench = Bench::new();
    let (file, _) = without_metadata(&bench);
    bench.merge(&file, "out", &MANY);
    bench.merge(&file, "plain", &MANY);
    assert!(fs::read(&file).unwrap() == fs::read(bench.at("out")).unwrap());
}

#[test]
fn copies_may_lie_in_other_shards() {
    let bench = Bench::new();
    let (file, tensors) = without_metadata(&bench);
    for (number, more) in [
        &["--prob=1", "--partner=nearest"][..],
        &["--prob=0.1", "--seed=4"],
        &["--prob=1", "--rounds=3", "--kinds=conv,transposed"],
    ]
    .into_iter()
    .enumerate()
    {
        let flags = [&MANY[..2], more].concat();
        bench.merge(&file, "out", &flags);
        let expected = read_tensors(&bench.at("out"));
        for shards in [2, 3] {
            let (input, out) = (
                format!("in-{number}-{shards}"),
                format!("out-{number}-{shards}"),
            );
            write_sharded(&bench.at(&input), &tensors, shards);
            bench.merge(&bench.at(&input), &out, &flags);
            assert!(
                read_sharded(&bench.at(&out)) == expected,
                "{flags:?}, {shards} shards"
            );
            let plan = bench.at(&format!("{out}.plan"));
            bench.apply(&plan, &bench.at(&input), &[]).done();
            assert!(
                read_sharded(&bench.at("applied")) == expected,
                "{flags:?}, {shards} shards"
            );
            fs::remove_dir_all(bench.at("applied")).unwrap();
            bench.merge(&bench.at(&input), &input, &flags);
            assert!(
                read_sharded(&bench.at(&input)) == expected,
                "{flags:?}, {shards} in place"
            );
        }
    }
}

#[test]
fn a_list_and_a_glob_may_use_any_name() {
    let bench = Bench::new();
    let (file, _) = without_metadata(&bench);
    bench.merge(&file, "out", &MANY);
    let expected = read_json(&bench.at("out.plan"));
    let layers = expected["skipped"].as_array().unwrap().iter();
    let mut all: Vec<&Value> = layers
        .chain(expected["layers"].as_array().unwrap())
        .collect();
    all.sort_by_key(|layer| layer["depth"].as_u64());
    let weights = names_of_weights();
    let last_name = |layer: &&Value| {
        let own = layer["name"].as_str().unwrap().to_owned();
        let weight = weights.iter().find(|names| names[0] == own);
        weight.map_or(own, |names| names.last().unwrap().clone())
    };
    let list: Vec<String> = all.iter().map(last_name).collect();
    assert!(
        list[0].starts_with("encoder.") && list[0].contains("all_modules"),
        "{list:?}"
    );
    fs::write(bench.at("order.txt"), list.join("\n")).unwrap();
    let order = format!("--order={}", bench.at("order.txt").display());
    bench.merge(&file, "out", &[&MANY[..], &[&order]].concat());
    assert_eq!(read_json(&bench.at("out.plan")), expected);

    bench.merge(
        &file,
        "out",
        &[&MANY[..], &["--include=decoder.encoder.stages.2.*"]].concat(),
    );
    let plan = read_json(&bench.at("out.plan"));
    let included = plan["layers"].as_array().unwrap().iter();
    let included: Vec<&str> = included
        .map(|layer| layer["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        included,
        [
            "encoder.stages.2.0.convs.0.conv.weight",
            "encoder.stages.2.0.convs.1.conv.weight"
        ]
    );
    agree(&read_tensors(&bench.at("out")));
}

#[test]
fn apply_refuses_a_checkpoint_whose_copies_are_no_longer_equal() {
    let bench = Bench::new();
    let plan = fixture("golden/copies.plan.json");
    let names = &names_of_weights()[3];
    for (name, other) in [(&names[2], &names[2]), (&names[0], &names[1])] {
        let mut tensors = read_tensors(&checkpoint());
        let tensor = tensors.iter_mut().find(|tensor| tensor.0 == *name).unwrap();
        *tensor.3.last_mut().unwrap() ^= 1;
        write_tensors(&bench.at("changed"), &tensors);
        let refused = bench.apply(&plan, &bench.at("changed"), &["--prefix="]);
        bench.refused(
            &refused,
            &[&names[0], other, "no longer equal", "make a new plan"],
        );
        // With a plan of its own it is two layers.
        let merged = bench.merge(&bench.at("changed"), "out", &MANY).json();
        assert_eq!(merged["totals"]["layers"], 8);
    }
    // Byte for byte the same header, as of a later epoch.
    let mut file = fs::read(checkpoint()).unwrap();
    let place = places(&file)
        .into_iter()
        .find(|place| place.name == names[2]);
    file[place.unwrap().bytes.start + 100] ^= 1;
    fs::write(bench.at("later"), file).unwrap();
    let refused = bench.apply(&plan, &bench.at("later"), &[]);
    bench.refused(&refused, &[&names[0], &names[2], "make a new plan"]);
}

#[test]
fn a_plan_whose_copies_cannot_be_is_refused() {
    let bench = Bench::new();
    let plan = read_json(&fixture("golden/copies.plan.json"));
    let (own, copy) = (&plan["layers"][0]["name"], &plan["layers"][0]["copies"][0]);
    let other = &plan["layers"][1]["name"];
    let f16 = "decoder.transpconvs.0.bias";
    for (copies, words) in [
        (json!([copy, copy]), "listed twice"),
        (json!([own]), "listed twice"),
        (
            json!(["gone.weight"]),
            "`gone.weight` is not in the checkpoint",
        ),
        (
            json!([f16]),
            "different shapes or dtypes (F32 [6, 6, 3, 3] and F32 [10])",
        ),
        (json!([other]), "different shapes"),
        (json!("copy"), "malformed at layers[0].copies"),
    ] {
        let mut wrong = plan.clone();
        wrong["layers"][0]["copies"] = copies;
        fs::write(bench.at("plan"), wrong.to_string()).unwrap();
        let refused = bench.apply(&bench.at("plan"), &checkpoint(), &[]);
        bench.refused(&refused, &[words]);
    }
    // A copy that is a layer as well.
    let mut wrong = plan.clone();
    let copied = wrong["layers"][0].clone();
    wrong["layers"].as_array_mut().unwrap().push(copied);
    let last = wrong["layers"].as_array_mut().unwrap().last_mut().unwrap();
    last["name"] = copy.clone();
    last.as_object_mut().unwrap().remove("copies");
    fs::write(bench.at("plan"), wrong.to_string()).unwrap();
    let refused = bench.apply(&bench.at("plan"), &checkpoint(), &[]);
    bench.refused(&refused, &[copy.as_str().unwrap(), "listed twice"]);
}

#[test]
fn a_plan_that_leaves_copies_out_is_followed_with_a_warning() {
    let bench = Bench::new();
    let mut plan = read_json(&fixture("golden/copies.plan.json"));
    let complete = bench.apply(&fixture("golden/copies.plan.json"), &checkpoint(), &[]);
    assert_eq!(complete.done().json()["warnings"], json!([]));
    fs::remove_file(bench.at("applied")).unwrap();

    for layer in plan["layers"].as_array_mut().unwrap() {
        layer.as_object_mut().unwrap().remove("copies");
    }
    fs::write(bench.at("plan"), plan.to_string()).unwrap();
    let report = bench
        .apply(&bench.at("plan"), &checkpoint(), &[])
        .done()
        .json();
    let [warning] = &report["warnings"].as_array().unwrap()[..] else {
        panic!("{report}");
    };
    let warning = warning.as_str().unwrap();
    let words = [
        "`decoder.stages.0.convs.0.all_modules.0.weight`",
        "16 more",
        "new plan",
    ];
    assert!(words.iter().all(|word| warning.contains(word)), "{warning}");
    let (before, after) = (
        read_tensors(&checkpoint()),
        read_tensors(&bench.at("applied")),
    );
    assert_eq!(changed(&before, &after), 7);
}

#[test]
fn a_plan_carries_over_to_as_many_names_as_there_are() {
    let bench = Bench::new();
    let (file, tensors) = without_metadata(&bench);
    bench.merge(&file, "out", &MANY);
    let (plan, merged) = (bench.at("out.plan"), read_tensors(&bench.at("out")));
    let weights = names_of_weights();
    let is_copy = |name: &String| weights.iter().any(|names| names[1..].contains(name));
    let is_own = |name: &String| weights.iter().any(|names| names[0] == *name);
    // All names, the layers' own only, and all but those.
    for keep in [
        &|_: &String| true,
        &|name: &String| !is_copy(name),
        &|name: &String| !is_own(name),
    ] as [&dyn Fn(&String) -> bool; 3]
    {
        let kept = |tensors: &[Tensor]| -> Vec<Tensor> {
            let kept = tensors.iter().filter(|tensor| keep(&tensor.0)).cloned();
            let prefixed = kept
                .map(|(name, dtype, shape, bytes)| (format!("ema.{name}"), dtype, shape, bytes));
            prefixed.collect()
        };
        write_tensors(&bench.at("ema"), &kept(&tensors));
        let report = bench.apply(&plan, &bench.at("ema"), &["--prefix=ema."]);
        let report = report.done().json();
        assert!(read_tensors(&bench.at("applied")) == kept(&merged));
        assert_eq!(report["totals"]["layers"], 7);
        fs::remove_file(bench.at("applied")).unwrap();
    }
    let nothing: Vec<Tensor> = vec![("ema.x".to_owned(), Dtype::U8, vec![1], vec![1])];
    write_tensors(&bench.at("ema"), &nothing);
    let refused = bench.apply(&plan, &bench.at("ema"), &["--prefix=ema."]);
    bench.refused(
        &refused,
        &["`ema.encoder.stages.0.0.convs.1.conv.weight`", "--prefix"],
    );
}

#[test]
fn diff_finds_the_same_kernels_in_every_copy() {
    let bench = Bench::new();
    bench.merge(&checkpoint(), "out", &MANY);
    let report = run(args!["diff", checkpoint(), bench.at("out"), "--json"])
        .done()
        .json();
    let tensors = report["tensors"].as_array().unwrap();
    let kernels: BTreeMap<&str, &Value> = tensors
        .iter()
        .map(|tensor| (tensor["name"].as_str().unwrap(), &tensor["kernels_changed"]))
        .collect();
    let plan = read_json(&bench.at("out.plan"));
    for layer in plan["layers"].as_array().unwrap() {
        let merges = layer["merges"].as_array().unwrap().iter();
        let merged: Vec<&Value> = merges.map(|merge| &merge["kernel"]).collect();
        let copies = layer["copies"].as_array().unwrap().iter();
        for name in copies.chain([&layer["name"]]) {
            assert_eq!(*kernels[name.as_str().unwrap()], json!(merged), "{name}");
        }
    }
}

#[test]
fn an_analysis_has_a_weight_once() {
    let bench = Bench::new();
    let line = args![
        "analyze",
        checkpoint(),
        "--report",
        bench.at("report"),
        "--json"
    ];
    let report = run(line).done().json();
    let layers = report["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 8, "{layers:?}");
}

#[test]
fn a_watch_and_a_sweep_write_all_copies() {
    let bench = Bench::new();
    fs::create_dir(bench.at("in")).unwrap();
    fs::copy(checkpoint(), bench.at("in/epoch.safetensors")).unwrap();
    let mut line = args!["watch", bench.at("in"), "--out", bench.at("watched")];
    line.extend(args!["--once", "--poll=0.1", "--no-sync"]);
    line.extend(MANY.map(Into::into));
    run(line).done();
    let watched = read_tensors(&bench.at("watched/epoch.safetensors"));
    agree(&watched);
    assert_eq!(
        changed(&read_tensors(&checkpoint()), &watched),
        5 * 4 + 2 * 2
    );

    fs::create_dir(bench.at("variants")).unwrap();
    let keep = format!(
        r#"sh -c "cp \"$1\" \"{}/$$\"; echo 0.5" sh {{checkpoint}}"#,
        bench.at("variants").display()
    );
    let mut line = args!["sensitivity", checkpoint(), "--report", bench.at("sweep")];
    line.extend(args!["--eval", keep, "--vary", "prob=0.1,1"]);
    line.extend(MANY[..2].iter().map(Into::into));
    run(line).done();
    let variants: Vec<PathBuf> = fs::read_dir(bench.at("variants"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(variants.len() >= 3, "{variants:?}");
    let before = read_tensors(&checkpoint());
    let differing = variants.iter().map(|variant| {
        let tensors = read_tensors(variant);
        agree(&tensors);
        changed(&before, &tensors)
    });
    assert_eq!(differing.max(), Some(5 * 4 + 2 * 2));
}
