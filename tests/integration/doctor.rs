//! `doctor`, driven from outside, on whatever machine this is: only what the tests set is looked at.

use std::fs;
use std::path::Path;

use crate::common::{Run, run, run_with, skipped};
use serde_json::Value;
use tempfile::TempDir;

/// Runs `doctor` on a machine with no more than this: a libcuda.so.1 and a libcublas.so.12 that are none.
fn doctor(folder: &Path, more: &[&str]) -> Run {
    fs::write(folder.join("libcuda.so.1"), "not a driver\n").unwrap();
    fs::write(folder.join("libcublas.so.12"), "INPUT(libelsewhere.so)\n").unwrap();
    let words = ["doctor"].iter().chain(more);
    let environment = [
        ("LD_LIBRARY_PATH", folder),
        ("INMERGE_CUBLAS", folder),
        ("CUDA_VISIBLE_DEVICES", Path::new("")),
    ];
    run_with(words, |command| {
        command.envs(environment);
    })
    .done()
}

/// Whether this machine has a driver of its own, which some tests have no use for.
fn has_driver(report: &Value) -> bool {
    let driver = !report["driver"]["found"].is_null();
    if driver {
        skipped("this machine has an NVIDIA driver");
    }
    driver
}

fn keys(object: &Value) -> Vec<&str> {
    let object = object.as_object().expect("an object");
    let mut keys: Vec<&str> = object.keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn json_has_its_keys_and_says_what_was_tried() {
    let folder = TempDir::new().unwrap();
    let report = doctor(folder.path(), &["--json", "--threads=1", "--screen=f32"]).json();
    assert_eq!(
        keys(&report),
        [
            "auto",
            "cublas",
            "driver",
            "gpus",
            "no_gpu",
            "nvidia_driver",
            "processor",
            "tool",
            "unresponsive"
        ]
    );
    let processor = &report["processor"];
    assert_eq!(
        keys(processor),
        [
            "blas",
            "fast_int8",
            "int8_instructions",
            "screen",
            "threads"
        ]
    );
    assert!(processor["blas"].as_str().unwrap().contains("OpenBLAS"));
    assert_eq!(processor["threads"], 1);
    assert_eq!(processor["screen"], "f32");

    // Only the place that the user named is tried, whatever cuBLAS this machine has.
    let cublas = &report["cublas"];
    assert!(cublas["found"].is_null(), "{cublas}");
    let tried = cublas["tried"].as_array().unwrap();
    assert_eq!(tried.len(), 1, "{cublas}");
    assert_eq!(keys(&tried[0]), ["path", "problem", "source"]);
    assert_eq!(tried[0]["source"], "INMERGE_CUBLAS");
    let file = folder.path().join("libcublas.so.12");
    assert_eq!(tried[0]["path"], file.to_str().unwrap());
    if cfg!(target_os = "linux") {
        assert_eq!(tried[0]["problem"], "not a shared library");
    }

    // Without GPUs to be seen, `auto` takes the CPU, with or without a driver.
    assert_eq!(report["gpus"].as_array().unwrap().len(), 0);
    assert!(report["no_gpu"].is_string());
    let auto = &report["auto"];
    assert_eq!(
        keys(auto),
        [
            "backend",
            "layer_kernels",
            "reason",
            "run_kernels",
            "screen"
        ]
    );
    assert_eq!(auto["backend"], "cpu");
    assert_eq!(auto["screen"], "f32");
    assert_eq!(auto["reason"], report["no_gpu"]);
    assert!(auto["run_kernels"].is_null());
}

#[test]
fn a_machine_without_a_driver_is_told_so() {
    let folder = TempDir::new().unwrap();
    let report = doctor(folder.path(), &["--json"]).json();
    if has_driver(&report) {
        return;
    }
    let tried = report["driver"]["tried"].as_array().unwrap();
    assert_eq!(tried.len(), 1);
    assert_eq!(tried[0]["source"], "system loader");
    assert_eq!(tried[0]["path"], "libcuda.so.1");
    // The loader tells what is wrong with the file that has the name.
    let problem = tried[0]["problem"].as_str().unwrap();
    assert!(problem.starts_with("does not load: "), "{problem}");
    if cfg!(all(target_os = "linux", target_env = "gnu")) {
        let file = folder.path().join("libcuda.so.1");
        assert!(problem.contains(file.to_str().unwrap()), "{problem}");
    }
    let reason = report["auto"]["reason"].as_str().unwrap();
    assert!(
        reason.contains("no NVIDIA driver") && reason.contains("525 or later"),
        "{reason}"
    );
}

#[test]
fn text_is_a_paragraph_a_thing() {
    let folder = TempDir::new().unwrap();
    let report = doctor(folder.path(), &["--threads=3", "--screen=int8"]);
    assert_eq!(report.stderr, "");
    let names: Vec<&str> = report
        .stdout
        .lines()
        .filter_map(|line| Some(line.get(..11)?.trim_end()))
        .filter(|name| !name.is_empty())
        .collect();
    assert_eq!(
        names,
        ["CPU", "BLAS", "driver", "cuBLAS", "GPUs", "auto"],
        "{report}"
    );
    assert!(
        report
            .stdout
            .starts_with("CPU        3 threads, similarities screened in int8; it has "),
        "{report}"
    );
    assert!(
        report
            .stdout
            .contains("cuBLAS     none that can be used\n           INMERGE_CUBLAS: "),
        "{report}"
    );
    assert!(report.stdout.contains("\nauto       cpu: "), "{report}");
}

#[test]
fn doctor_takes_no_input() {
    assert_eq!(run(args!["doctor", "in.safetensors"]).code, Some(2));
    let help = run(args!["doctor", "--help"]).done();
    for word in [
        "INMERGE_CUBLAS",
        "CUDA_HOME",
        "CONDA_PREFIX",
        "Exits with 0",
    ] {
        assert!(help.stdout.contains(word), "no {word}\n{help}");
    }
    assert!(run(args!["--help"]).done().stdout.contains("  doctor  "));
}

#[test]
#[cfg(unix)]
fn a_named_pipe_is_no_library_and_nobody_waits_for_it() {
    let folder = TempDir::new().unwrap();
    let pipe = folder.path().join("libcublas.so.12");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo starts").success());
    let run = run_with(["doctor", "--json"], |command| {
        command.env("INMERGE_CUBLAS", &pipe);
    });
    let report = run.done().json();
    assert!(report["cublas"]["found"].is_null(), "{report}");
}
