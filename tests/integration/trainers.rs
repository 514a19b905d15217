//! Checkpoints that PyTorch and trainers write (`tests/pytorch/trainers.py`): merged in place, they are read and gone on from.
//! Skipped, with a word, where `python3` has no PyTorch, or not the trainer.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{program, run};
use crate::examples::{has, last, lines, python};

/// What a step of the script prints last.
fn step(args: Vec<OsString>) -> Value {
    last(&lines(python("tests/pytorch/trainers.py", args)))
}

fn merge(input: &Path, output: &Path) {
    let flags = args!["--tau=0.7", "--skip-shallow=1", "--no-sync"];
    run([args!["merge", input, output], flags].concat()).done();
}

/// Has a trainer save a checkpoint, merges it and its weights as safetensors, and compares. Returns the folder, the file and the
/// merged one.
fn merged(trainer: &str, modules: &str) -> Option<(TempDir, PathBuf, PathBuf)> {
    if !has(&format!("safetensors, torch, {modules}")) {
        return None;
    }
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let saved = step(args!["save", trainer, folder.path()]);
    let path = |key: &str| PathBuf::from(saved[key].as_str().unwrap());
    let (file, twin) = (path("file"), path("twin"));
    let (output, expected) = (
        folder.path().join("merged.pt"),
        folder.path().join("merged.safetensors"),
    );

    merge(&file, &output);
    merge(&twin, &expected);

    let checked = step(args!["check", &file, &output, &expected]);
    assert_eq!(checked["changed"].as_array().unwrap().len(), 4, "{checked}");
    Some((folder, file, output))
}

#[test]
fn what_pytorch_saves_is_merged_like_its_weights() {
    for kind in [
        "plain",
        "nested",
        "half",
        "channels_last",
        "tied",
        "odd",
        "strange",
        "no_checksums",
    ] {
        merged(kind, "numpy");
    }
}

#[test]
fn timm_s_checkpoint_is_merged() {
    merged("timm", "timm");
}

#[test]
fn lightning_goes_on_from_its_merged_checkpoint() {
    if let Some((_folder, file, output)) = merged("lightning", "lightning") {
        let resumed = step(args!["resume", "lightning", file, output]);
        assert_eq!(resumed["changed"].as_array().unwrap().len(), 4, "{resumed}");
    }
}

/// MONAI's trainers are ignite's engines.
#[test]
fn ignite_goes_on_from_its_merged_checkpoint() {
    if let Some((_folder, file, output)) = merged("ignite", "ignite") {
        let resumed = step(args!["resume", "ignite", file, output]);
        assert_eq!(resumed["changed"].as_array().unwrap().len(), 4, "{resumed}");
    }
}

/// Merges a trainer's file with the momentum of its optimizer, and has PyTorch compute what that should become.
fn momentum_is_merged(trainer: &str, modules: &str) {
    if !has(&format!("safetensors, torch, {modules}")) {
        return;
    }
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let saved = step(args!["save", trainer, folder.path()]);
    let file = PathBuf::from(saved["file"].as_str().unwrap());
    let [output, plan] = ["merged.pt", "plan.json"].map(|name| folder.path().join(name));
    let flags = args![
        "--momentum=merge",
        "--tau=0.7",
        "--skip-shallow=1",
        "--no-sync",
        "--plan",
        &plan
    ];
    run([args!["merge", &file, &output], flags].concat()).done();
    let checked = step(args!["momentum", trainer, &file, &output, &plan]);
    assert_eq!(checked["changed"].as_array().unwrap().len(), 4, "{checked}");
}

#[test]
fn momentum_is_merged_along() {
    for kind in ["nested", "channels_last", "groups", "named"] {
        momentum_is_merged(kind, "numpy");
    }
    momentum_is_merged("lightning", "lightning");
    momentum_is_merged("ignite", "ignite");
    // Its average has the same shapes, and nothing in the file says whose optimizer it is.
    if !has("torch, timm") {
        return;
    }
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let saved = step(args!["save", "timm", folder.path()]);
    let file = saved["file"].as_str().unwrap();
    let refused = run(args!["merge", file, "--dry-run", "--momentum=merge"]);
    assert!(
        refused.code == Some(1) && refused.stderr.contains("state_dict_ema"),
        "{refused}"
    );
}

/// Has a trainer go on, epoch by epoch, from what a watch makes of its checkpoints (`tests/pytorch/live.py`).
fn live(trainer: &str, modules: &str, other: &[&str]) {
    if !has(&format!("safetensors, torch, {modules}")) {
        return;
    }
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let [run, merged] = ["run", "merged"].map(|name| folder.path().join(name));
    fs::create_dir(&run).unwrap();
    let log = fs::File::create(folder.path().join("log")).unwrap();
    let mut watch = Command::new(program());
    let flags = args![
        "--tau=0.7",
        "--skip-shallow=1",
        "--poll=0.5",
        "--threads=1",
        "-v"
    ];
    watch.args([args!["watch", &run, "--out", &merged], flags].concat());
    let watch = watch.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut watch = watch.spawn().unwrap();
    let trained = python(
        "tests/pytorch/live.py",
        args![trainer, program(), &run, &merged],
    );
    watch.kill().unwrap();
    watch.wait().unwrap();
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    let error = String::from_utf8_lossy(&trained.stderr);
    assert!(trained.status.success(), "{error}\n{log}");
    let used = last(&lines(trained));
    let used: Vec<&str> = used["used"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    assert_eq!(used.len(), 3, "{used:?}");
    let record = fs::read_to_string(merged.join(".inmerge-watch.jsonl")).unwrap();
    for name in used {
        let times = record.lines().filter(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["event"] == "done" && line["name"] == name
        });
        assert_eq!(times.count(), 1, "{name}\n{record}\n{log}");
    }
    for name in other {
        assert!(
            !merged.join(name).exists() && log.contains(name),
            "{name}\n{log}"
        );
    }
}

#[test]
fn lightning_goes_on_from_what_a_watch_merges() {
    live("lightning", "lightning", &["last.ckpt"]);
}

#[test]
fn hugging_face_s_trainer_goes_on_from_what_a_watch_merges() {
    live("huggingface", "transformers, accelerate", &[]);
}
