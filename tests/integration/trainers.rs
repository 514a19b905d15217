//! Checkpoints that PyTorch and trainers write (`tests/pytorch/trainers.py`): merged in place, they are read and gone on from.
//! Skipped, with a word, where `python3` has no PyTorch, or not the trainer.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::run;
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
