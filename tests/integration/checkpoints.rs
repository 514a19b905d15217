//! Trained weights, where they are at hand: outputs checked by bytes in Rust, and by numpy and the `safetensors`
//! package in Python.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::{fixture, kernel_of, places, read_json, run, skipped};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The checkpoints beside the project, or where `INMERGE_SHARED` says; none where there are none.
fn checkpoints() -> Vec<PathBuf> {
    let shared = std::env::var_os("INMERGE_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let folder = shared.join("checkpoints");
    let Ok(entries) = fs::read_dir(&folder) else {
        skipped(&format!(
            "no trained checkpoints in {}; INMERGE_SHARED names another place",
            folder.display()
        ));
        return Vec::new();
    };
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "safetensors")
        })
        .collect();
    files.sort();
    files
}

/// A Python with numpy and safetensors: the machine's own, else a virtual environment made once under `target/`.
fn python() -> Option<PathBuf> {
    let able = |python: &Path| {
        let import = Command::new(python)
            .args(["-c", "import numpy, safetensors"])
            .output();
        import.is_ok_and(|output| output.status.success())
    };
    let own = PathBuf::from("python3");
    if able(&own) {
        return Some(own);
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let made = folder.join("bin/python3");
    if !able(&made) {
        let quietly =
            |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
        let ready = quietly(Command::new(&own).args(["-m", "venv"]).arg(&folder))
            && quietly(Command::new(&made).args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "numpy",
                "safetensors",
            ]));
        if !ready {
            skipped(&format!(
                "no Python with numpy and safetensors, and none could be made in {}",
                folder.display()
            ));
            return None;
        }
    }
    Some(made)
}

/// Every combination of flags, as words.
fn combinations() -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for tau in ["0.3", "0.5", "0.9", "5%"] {
        for partner in ["eligible", "nearest", "random"] {
            for skip in ["0", "10"] {
                all.push(vec![
                    format!("--tau={tau}"),
                    format!("--partner={partner}"),
                    format!("--skip-shallow={skip}"),
                ]);
            }
        }
    }
    // Two rounds of every kind of layer, so that no kind goes without trained weights.
    all.push(
        [
            "--tau=0.3",
            "--skip-shallow=0",
            "--rounds=2",
            "--prob=1",
            "--kinds=conv,pointwise,depthwise,transposed,linear",
        ]
        .map(Into::into)
        .into(),
    );
    all
}

/// Fails unless the two files differ in the planned kernels' bytes only. Returns how many kernels differ.
fn differs_as_planned(source: &[u8], output: &[u8], plan: &Value) -> usize {
    assert_eq!(source.len(), output.len());
    let layers = plan["layers"].as_array().expect("layers");
    let places = places(source);
    let mut changed = HashSet::new();
    let different = (0..source.len()).filter(|&at| source[at] != output[at]);
    for at in different {
        let place = places
            .iter()
            .find(|place| place.bytes.contains(&at))
            .unwrap_or_else(|| panic!("the header differs at byte {at}"));
        let layer = layers
            .iter()
            .find(|layer| layer["name"] == *place.name)
            .unwrap_or_else(|| panic!("{} is not in the plan, but differs", place.name));
        changed.insert((
            place.name.as_str(),
            kernel_of(layer, (at - place.bytes.start) / place.item()),
        ));
    }
    let planned: HashSet<_> = layers
        .iter()
        .flat_map(|layer| {
            let merges = layer["merges"].as_array().expect("merges").iter();
            merges.map(move |merge| {
                (
                    layer["name"].as_str().unwrap(),
                    merge["kernel"].as_u64().unwrap() as usize,
                )
            })
        })
        .collect();
    let surplus: Vec<_> = changed.difference(&planned).collect();
    assert!(surplus.is_empty(), "changed without a merge: {surplus:?}");
    changed.len()
}

#[test]
fn trained_checkpoints_change_in_the_planned_kernels_only() {
    let python = python();
    for checkpoint in checkpoints() {
        let source = fs::read(&checkpoint).unwrap();
        let name = checkpoint.file_name().unwrap().display().to_string();
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (mut jobs, mut changed) = (String::new(), 0);
        for (i, flags) in combinations().into_iter().enumerate() {
            let out = folder.path().join(format!("{i}.safetensors"));
            let plan = folder.path().join(format!("{i}.json"));
            let mut args = args![
                "merge",
                &checkpoint,
                &out,
                "--plan",
                &plan,
                "--no-sync",
                "--quiet"
            ];
            args.extend(flags.iter().map(Into::into));
            run(args).done();
            changed += differs_as_planned(&source, &fs::read(&out).unwrap(), &read_json(&plan));
            let job =
                json!({"input": checkpoint, "output": out, "plan": plan, "args": flags.join(" ")});
            jobs += &format!("{job}\n");
        }
        eprintln!("{name}: {changed} kernels changed over all runs");
        if let Some(python) = &python {
            verify(python, &jobs);
        }
    }
}

/// Has Python load what was written and make each plan again.
fn verify(python: &Path, jobs: &str) {
    let mut child = Command::new(python)
        .arg(fixture("verify.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    // The jobs are a few kilobytes and fit the pipe, so writing them all before reading anything cannot block.
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(jobs.as_bytes())
        .expect("Python reads its jobs");
    let output = child.wait_with_output().expect("Python ends");
    let report = String::from_utf8_lossy(&output.stdout);
    eprint!("{report}");
    assert!(output.status.success(), "{report}");
}
