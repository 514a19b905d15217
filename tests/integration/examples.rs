//! The PyTorch example (examples/pytorch): what it trains, merges and goes on from. Skipped, with a word, where `python3` has no
//! PyTorch.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::{Place, places, program, read_json, run, skipped};
use serde_json::{Value, json};
use tempfile::TempDir;

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Whether `python3` can import these; says so where it cannot.
pub fn has(modules: &str) -> bool {
    let import = Command::new("python3")
        .args(["-c", &format!("import {modules}")])
        .output();
    let has = import.is_ok_and(|output| output.status.success());
    if !has {
        skipped(&format!(
            "a test of what PyTorch does: python3 cannot import {modules}"
        ));
    }
    has
}

/// `python3` with the package and the program of this project.
pub fn python_command() -> Command {
    let mut command = Command::new("python3");
    command
        .arg("-B")
        .env("PYTHONPATH", project("python"))
        .env("INMERGE_PROGRAM", program());
    command
}

pub fn python(script: &str, args: Vec<OsString>) -> Output {
    python_command()
        .arg(project(script))
        .args(args)
        .output()
        .expect("python3 starts")
}

/// The lines on stdout of a script that was to succeed.
pub fn lines(output: Output) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

/// The one line on stderr of a script that was to fail, without a traceback.
fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1, "{text}");
    lines[0].to_owned()
}

/// A folder with a data set and what is trained on it; `None`, with a word, where there is no PyTorch.
struct Workshop(TempDir);

impl Workshop {
    fn open() -> Option<Self> {
        has("numpy, safetensors, torch, torchvision").then(|| {
            // A run is 0.2 GB, which is much for a /tmp in memory.
            let shop = Self(TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
            lines(python("tests/pytorch/tiny.py", args![shop.at("tiny.npz")]));
            shop
        })
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// Starts the trainer; later flags win over these.
    fn train(&self, out: &str, more: &[&str]) -> Output {
        let mut words = args![
            "--data",
            self.at("tiny.npz"),
            "--out",
            self.at(out),
            "--threads=1",
            "--device=cpu",
            "--seed=5",
            "--epochs=1"
        ];
        words.extend(more.iter().map(OsString::from));
        python("examples/pytorch/train.py", words)
    }

    /// What a run has logged, without the seconds.
    fn log(&self, out: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.at(out).join("log.jsonl")).unwrap();
        let rows = text.lines().map(|line| {
            let mut row: Value = serde_json::from_str(line).unwrap();
            assert!(row["seconds"].as_f64().unwrap() > 0.0);
            row.as_object_mut().unwrap().remove("seconds");
            row
        });
        rows.collect()
    }

    fn bytes(&self, path: &str) -> Vec<u8> {
        fs::read(self.at(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// The tensors of a checkpoint whose names have this prefix, which is taken off.
    fn tensors(&self, path: &str, prefix: &str) -> Vec<(String, Vec<u8>)> {
        let file = self.bytes(path);
        let named = places(&file)
            .into_iter()
            .filter_map(|Place { name, bytes, .. }| {
                let name = name.strip_prefix(prefix)?.to_owned();
                Some((name, file[bytes].to_vec()))
            });
        let mut named: Vec<_> = named.collect();
        named.sort();
        named
    }

    /// Writes what a run's state.pt holds to `OUT.safetensors`.
    fn state(&self, out: &str) -> String {
        let file = format!("{out}.safetensors");
        let state = self.at(out).join("state.pt");
        lines(python(
            "tests/pytorch/state.py",
            args![state, self.at(&file)],
        ));
        file
    }
}

pub fn last(lines: &[String]) -> Value {
    serde_json::from_str(lines.last().expect("a line")).expect("JSON")
}

fn merges(plan: &Value) -> Vec<(&str, &Value)> {
    let layers = plan["layers"].as_array().unwrap().iter();
    layers
        .flat_map(|layer| {
            let name = layer["name"].as_str().unwrap();
            layer["merges"]
                .as_array()
                .unwrap()
                .iter()
                .map(move |merge| (name, merge))
        })
        .collect()
}

#[test]
fn training_goes_on_from_the_merged_checkpoint() {
    let Some(shop) = Workshop::open() else { return };
    let between = ["--merge=between", "--tau=20%", "--prob=0.9"];
    let epochs = |count| [&between[..], &[count]].concat();
    lines(shop.train("twice", &epochs("--epochs=1")));

    // It is what the program makes of the trained one, with the epoch's seed.
    run(args![
        "merge",
        shop.at("twice/trained.safetensors"),
        shop.at("again.safetensors"),
        "--tau=20%",
        "--prob=0.9",
        "--seed=6"
    ])
    .done();
    let merged = shop.bytes("twice/model.safetensors");
    assert!(merged == shop.bytes("again.safetensors"));
    assert!(merged != shop.bytes("twice/trained.safetensors"));
    let state = shop.state("twice");
    assert!(shop.tensors(&state, "net.") == shop.tensors("twice/model.safetensors", ""));

    let plan = read_json(&shop.at("twice/plan.json"));
    let count = merges(&plan).len();
    assert!(count > 100, "{count}");
    let row = &shop.log("twice")[0];
    assert_eq!(row["kernels"], count);
    for when in ["before", "after"] {
        for split in ["val", "test"] {
            for metric in ["auroc", "accuracy", "loss"] {
                assert!(row[when][split][metric].is_f64(), "{row}");
            }
        }
    }
    assert_ne!(row["before"]["test"]["loss"], row["after"]["test"]["loss"]);

    // The order in which torchvision's ResNet runs: a block's downsampling after its convolutions.
    let (_, header) = safetensors::SafeTensors::read_metadata(&merged).unwrap();
    let order = &header.metadata().as_ref().unwrap()["inmerge.layers"];
    let order: Vec<Value> = serde_json::from_str(order).unwrap();
    let order: Vec<&str> = order
        .iter()
        .map(|layer| layer["name"].as_str().unwrap())
        .collect();
    assert_eq!(order.len(), 20);
    assert_eq!(order[0], "conv1.weight");
    assert_eq!(
        order[10..13],
        [
            "layer3.0.conv1.weight",
            "layer3.0.conv2.weight",
            "layer3.0.downsample.0.weight"
        ]
    );

    let scored = python(
        "examples/pytorch/eval.py",
        args![
            "--weights",
            shop.at("twice/model.safetensors"),
            "--data",
            shop.at("tiny.npz"),
            "--threads=1",
            "--device=cpu"
        ],
    );
    assert_eq!(last(&lines(scored)), row["after"]["test"]);

    // Stopped and started again, it goes on from there as if it had not been stopped.
    lines(shop.train("twice", &epochs("--epochs=2")));
    lines(shop.train("once", &epochs("--epochs=2")));
    assert!(merged != shop.bytes("twice/model.safetensors"));
    assert!(shop.bytes("once/model.safetensors") == shop.bytes("twice/model.safetensors"));
    assert!(shop.state("once") != shop.state("twice"));
    assert!(shop.bytes("once.safetensors") == shop.bytes("twice.safetensors"));
    assert_eq!(shop.log("once").len(), 2);
    assert_eq!(shop.log("once"), shop.log("twice"));
    assert_eq!(&shop.log("twice")[0], row);

    let other = shop.train("twice", &["--lr=0.5"]);
    let said = complaint(&other);
    assert!(said.contains("another lr and merge"), "{said}");
}

#[test]
fn statistics_are_carried_along_or_estimated_anew() {
    let Some(shop) = Workshop::open() else { return };
    let between = ["--merge=between", "--tau=20%", "--prob=0.9"];
    let [kept, carried, anew] = [
        ("kept", &[][..]),
        ("carried", &["--carry=norm"]),
        ("anew", &["--recalibrate"]),
    ]
    .map(|(out, more)| {
        lines(shop.train(out, &[&between[..], more].concat()));
        shop.tensors(&format!("{out}/model.safetensors"), "")
    });
    let statistics = |tensors: &[(String, Vec<u8>)]| -> Vec<(String, Vec<u8>)> {
        let is_one = |(name, _): &&(String, Vec<u8>)| name.contains("running_");
        tensors.iter().filter(is_one).cloned().collect()
    };
    for tensors in [&carried, &anew] {
        assert_ne!(statistics(tensors), statistics(&kept));
        let weights = |tensors: &[(String, Vec<u8>)]| -> Vec<(String, Vec<u8>)> {
            let is_one = |(name, _): &&(String, Vec<u8>)| name.ends_with(".weight");
            tensors.iter().filter(is_one).cloned().collect()
        };
        assert!(weights(tensors) == weights(&kept));
    }
    // The evaluator estimates them from the same batches.
    let words = args![
        "--data",
        shop.at("tiny.npz"),
        "--threads=1",
        "--device=cpu",
        "--recalibrate",
        "--weights",
        shop.at("kept/model.safetensors")
    ];
    let scored = python("examples/pytorch/eval.py", words);
    assert_eq!(last(&lines(scored)), shop.log("anew")[0]["after"]["test"]);
}

/// What kernel `i` becomes when it is merged with `j`: exactly, in float32.
fn blend(values: &[f32], kernel: usize, partner: usize, len: usize) -> Vec<f32> {
    let (own, other) = (0.8_f64 as f32, (1.0 - 0.8_f64) as f32);
    let kernels: Vec<&[f32]> = values.chunks(len).collect();
    let pairs = kernels[kernel].iter().zip(kernels[partner]);
    pairs.map(|(a, b)| own * a + other * b).collect()
}

/// Applies a plan of one round to tensors.
fn followed(tensors: &[(String, Vec<u8>)], plan: &Value) -> Vec<(String, Vec<u8>)> {
    let floats = |bytes: &[u8]| -> Vec<f32> {
        let words = bytes.chunks(4);
        words
            .map(|word| f32::from_le_bytes(word.try_into().unwrap()))
            .collect()
    };
    let merged = tensors.iter().map(|(name, bytes)| {
        let mut merged = bytes.clone();
        for (_, merge) in merges(plan).iter().filter(|(layer, _)| layer == name) {
            let place = |key: &str| merge[key].as_u64().unwrap() as usize;
            let layer = plan["layers"]
                .as_array()
                .unwrap()
                .iter()
                .find(|l| l["name"] == **name);
            let size = bytes.len() / layer.unwrap()["kernels"].as_u64().unwrap() as usize;
            let kernel = blend(&floats(bytes), place("kernel"), place("partner"), size / 4);
            let bytes: Vec<u8> = kernel
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            merged[place("kernel") * size..][..size].copy_from_slice(&bytes);
        }
        (name.clone(), merged)
    });
    merged.collect()
}

#[test]
fn momentum_and_average_follow_the_plan_or_are_left() {
    let Some(shop) = Workshop::open() else { return };
    let between = ["--merge=between", "--tau=20%", "--ema=0.9"];
    lines(shop.train("none", &["--ema=0.9"]));
    lines(shop.train("keep", &between));
    lines(shop.train("merge", &[&between[..], &["--momentum=merge"]].concat()));

    // Until the merge all three train alike.
    let trained = shop.tensors("none/model.safetensors", "");
    assert!(trained == shop.tensors("keep/trained.safetensors", ""));
    assert!(trained == shop.tensors("merge/trained.safetensors", ""));
    let plan = read_json(&shop.at("keep/plan.json"));
    assert_eq!(plan, read_json(&shop.at("merge/plan.json")));
    assert!(followed(&trained, &plan) == shop.tensors("keep/model.safetensors", ""));

    let [none, keep, merge] = ["none", "keep", "merge"].map(|out| {
        let state = shop.state(out);
        shop.tensors(&state, "momentum.")
    });
    assert_eq!(none.len(), 62);
    assert!(keep == none);
    assert!(merge != none);
    assert!(merge == followed(&none, &plan));

    let [none, keep, merge] =
        ["none", "keep", "merge"].map(|out| shop.tensors(&format!("{out}/ema.safetensors"), ""));
    assert!(keep == followed(&none, &plan));
    assert!(keep == merge);
    assert!(keep != none);

    let log = shop.log("keep");
    assert_ne!(
        log[0]["ema"]["test"]["loss"],
        log[0]["after"]["test"]["loss"]
    );
    let scored = python(
        "examples/pytorch/eval.py",
        args![
            "--weights",
            shop.at("keep/ema.safetensors"),
            "--data",
            shop.at("tiny.npz"),
            "--split=val",
            "--threads=1",
            "--device=cpu"
        ],
    );
    assert_eq!(last(&lines(scored)), log[0]["ema"]["val"]);
}

#[test]
fn every_step_merges_past_the_shallow_layers() {
    let Some(shop) = Workshop::open() else { return };
    // One epoch is one batch here, so that only the merge tells the two apart.
    lines(shop.train("none", &[]));
    lines(shop.train("merged", &["--merge=every-step", "--tau=-1", "--prob=1"]));
    let row = &shop.log("merged")[0];
    assert_eq!([&row["kernels"], &row["merges"]], [3840, 3840]);
    let none = shop.tensors("none/model.safetensors", "");
    let merged = shop.tensors("merged/model.safetensors", "");
    let differ: Vec<&str> = none
        .iter()
        .zip(&merged)
        .filter(|(left, right)| left != right)
        .map(|((name, _), _)| name.as_str())
        .collect();
    assert_eq!(
        differ,
        [
            "layer3.0.conv1.weight",
            "layer3.0.conv2.weight",
            "layer3.0.downsample.0.weight",
            "layer3.1.conv1.weight",
            "layer3.1.conv2.weight",
            "layer4.0.conv1.weight",
            "layer4.0.conv2.weight",
            "layer4.0.downsample.0.weight",
            "layer4.1.conv1.weight",
            "layer4.1.conv2.weight",
        ]
    );
}

/// The kinds that `inspect` is to take.
const ALL_KINDS: &str = "--kinds=conv,pointwise,depthwise,transposed";

/// What `inspect` says of the layers that have a depth: name, kind, groups, and why they are left alone.
fn inspected(args: Vec<OsString>) -> (Value, Value) {
    let flags = args!["--json", "--skip-shallow=0", ALL_KINDS];
    let found = run([args!["inspect"], args, flags].concat()).done().json();
    let layers = found["layers"].as_array().unwrap();
    let deep = layers.iter().filter(|layer| !layer["depth"].is_null());
    let said = |layer: &Value| -> Value {
        let keys = ["name", "kind", "groups", "reason"];
        keys.map(|key| layer[key].clone()).into_iter().collect()
    };
    (found["order_source"].clone(), deep.map(said).collect())
}

#[test]
fn a_model_is_described_as_it_runs() {
    if !has("safetensors, torch, torchvision") {
        return;
    }
    let shop = TempDir::new().unwrap();
    let at = |name: &str| shop.path().join(name);
    lines(python("tests/pytorch/odd_net.py", args![shop.path()]));
    let describe = |model: &str, words: &[&str]| {
        let list = at(&format!("{model}.json"));
        let output = python_command()
            .args(["-m", "inmerge_ckpt.torch.describe", model])
            .args(words)
            .arg("--out")
            .arg(&list)
            .current_dir(project("tests/pytorch"))
            .output();
        lines(output.expect("python3 starts"));
        list
    };

    // A ResNet is known from its library, and so as it is described.
    let list = describe("torchvision.models:resnet18", &[]);
    let (source, declared) = inspected(args![at("resnet18.safetensors"), "--layers", list]);
    assert_eq!(source, "declared");
    let (source, told) = inspected(args![at("resnet18.safetensors")]);
    assert_eq!(source, "known");
    assert_eq!(declared, told);

    let list = describe("odd_net:OddNet", &["1,3,8,8", "--args=classes=5"]);
    // Of the names `again` and `grouped` of one weight, the first in byte order stands for it, whichever the list puts first.
    let truth = || {
        json!([
            ["stem.weight", "conv", 1, null],
            ["deep.weight", "depthwise", 16, null],
            ["narrow.weight", "pointwise", 1, null],
            ["again.weight", "conv", 4, null],
            ["widen.weight", "transposed", 2, null],
            [
                "normed.parametrizations.weight.original1",
                "conv",
                1,
                "unsupported"
            ],
            ["last.weight", "pointwise", 1, "head"],
            ["never.weight", "conv", 1, null],
        ])
    };
    let whole = inspected(args![at("whole.safetensors"), "--layers", &list]);
    assert_eq!(whole, (json!("declared"), truth()));
    // safetensors keeps one of a weight's names, and not the first that the model has.
    let once = inspected(args![at("once.safetensors")]);
    assert_eq!(once, (json!("metadata"), truth()));
}

#[test]
fn what_is_wrong_is_said_in_a_sentence() {
    let Some(shop) = Workshop::open() else { return };
    let wrong = shop.train("out", &["--merge=between", "--tau=7"]);
    assert!(complaint(&wrong).contains("--tau"));
    assert!(!shop.at("out/log.jsonl").exists());

    let file = shop.at("short.npz");
    lines(python("tests/pytorch/tiny.py", args![&file, "val_labels"]));
    let short = shop.train("out", &["--data", file.to_str().unwrap()]);
    assert!(complaint(&short).contains("has no val_labels"));
    let scored = python(
        "examples/pytorch/eval.py",
        args!["--weights", &file, "--data", shop.at("tiny.npz")],
    );
    assert!(complaint(&scored).contains("cannot be read as safetensors"));
}

#[test]
fn auroc_is_that_of_all_pairs() {
    if has("numpy") {
        let examples = args![project("examples/pytorch")];
        assert_eq!(
            lines(python("tests/pytorch/check_auroc.py", examples)),
            ["checked"]
        );
    }
}

/// nnU-Net saves each convolution two to four times, and `load_state_dict` takes the last: all must be merged alike.
#[test]
fn an_nnunet_loads_what_its_weights_without_copies_merge_to() {
    if !has("dynamic_network_architectures, safetensors, torch") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let script = "tests/pytorch/nnunet.py";
    let saved = last(&lines(python(script, args!["save", folder.path()])));
    let order: Vec<&str> = saved["order"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();

    let inspected = run(args!["inspect", at("aliased.safetensors"), "--json"])
        .done()
        .json();
    let layers = inspected["layers"].as_array().unwrap();
    let found: Vec<&str> = layers
        .iter()
        .filter_map(|layer| layer["name"].as_str())
        .collect();
    // Names come out in the order of the encoder, which is all that is left alone.
    assert_eq!(found[..12], order[..12]);
    assert!(order.iter().all(|name| found.contains(name)), "{found:?}");
    assert_eq!(layers[0]["kind"], "conv");
    let copies: usize = layers
        .iter()
        .map(|layer| layer["copies"].as_array().unwrap().len())
        .sum();
    assert_eq!(copies, saved["copies"]);

    for flags in [
        &["--tau=0.05", "--prob=1"][..],
        &[
            "--tau=20%",
            "--prob=0.5",
            "--kinds=conv,pointwise,transposed",
        ],
    ] {
        for name in ["aliased", "deduplicated"] {
            let files = args![
                "merge",
                at(&format!("{name}.safetensors")),
                at(&format!("{name}-merged.safetensors"))
            ];
            let rest = args!["--force", "--no-sync", "--require-merges"].into_iter();
            run(files
                .into_iter()
                .chain(rest)
                .chain(flags.iter().map(Into::into)))
            .done();
        }
        let loaded = last(&lines(python(script, args!["load", folder.path()])));
        let changed: Vec<&str> = loaded["changed"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        assert!(changed.len() >= 5, "{changed:?}");
        assert!(
            changed.iter().all(|name| !order[..10].contains(name)),
            "{changed:?}"
        );
    }
}
