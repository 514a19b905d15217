//! What `make gpu-check` runs and what is made of its results, without a GPU: `tests/gpu/check.sh` on the stand-in, and
//! `benches/gpu_tables.py` on results made by hand (`fixtures/gpu/sample.json`).

use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{fake_cuda, program, skipped};

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether there is a `python3`; says so where there is none.
fn has_python() -> bool {
    let has = Command::new("python3").arg("--version").output().is_ok();
    if !has {
        skipped("what benches/gpu_tables.py does, without python3");
    }
    has
}

/// A copy of the files that the tables are made in.
fn copy() -> TempDir {
    let folder = TempDir::new().unwrap();
    for file in [
        "benches/README.md",
        "src/similarity/cost.rs",
        "src/similarity/cuda/precision.rs",
    ] {
        let to = folder.path().join(file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(project().join(file), to).unwrap();
    }
    folder
}

fn tables(folder: &Path, args: &[&str]) -> Output {
    let script = project().join("benches/gpu_tables.py");
    let mut command = Command::new("python3");
    command.arg(script).arg("--project").arg(folder).args(args);
    command.output().expect("python3 starts")
}

fn sample() -> Value {
    let text = fs::read_to_string(project().join("fixtures/gpu/sample.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The tables in the project are those of its results, or of what is assumed while there are none.
#[test]
fn the_tables_are_those_of_what_was_measured() {
    if !has_python() {
        return;
    }
    let output = tables(project(), &["--check"]);
    assert!(output.status.success(), "{output:?}");
    // Nor is anything else accepted.
    let folder = copy();
    let cost = folder.path().join("src/similarity/cost.rs");
    let text = fs::read_to_string(&cost).unwrap();
    fs::write(
        &cost,
        text.replace("const BUS: f64 = ", "const BUS: f64 = 1"),
    )
    .unwrap();
    let output = tables(folder.path(), &["--check"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("src/similarity/cost.rs"));
}

/// Rates that were measured come in with their source, and the others stay as they were.
#[test]
fn results_become_rates_and_tables() {
    if !has_python() {
        return;
    }
    let folder = copy();
    let results = project().join("fixtures/gpu/sample.json");
    let output = tables(folder.path(), &[results.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let read = |file: &str| fs::read_to_string(folder.path().join(file)).unwrap();
    let (cost, readme) = (read("src/similarity/cost.rs"), read("benches/README.md"));

    // 8192²·2304/2 multiply-adds in 6 ms and 3 ms, of 132 multiprocessors' 128 and 1024 a cycle at 1.98 GHz. In bfloat16 the
    // largest layer failed, and one of 2048 kernels stands for it: 2048²·4608/2 in 1.5 ms, of 2048 a cycle.
    let share = |multiply_adds: f64, seconds: f64, a_cycle: f64| {
        multiply_adds / seconds / (132.0 * 1.98e9 * a_cycle)
    };
    let wide = 8192.0 * 8192.0 * 2304.0 / 2.0;
    let shares = [
        share(wide, 0.006, 128.0),
        share(wide, 0.003, 1024.0),
        share(2048.0 * 2048.0 * 4608.0 / 2.0, 0.0015, 2048.0),
    ];
    assert_eq!(
        shares.map(|share| format!("{share:.4}")),
        ["0.3852", "0.0963", "0.0120"]
    );
    for line in [
        "const SHARE_OF_PEAK: [f64; 3] = [0.385, 0.0963, 0.012];",
        // 8192·2304·4 bytes in 12 ms.
        "const BUS: f64 = 6.29e9;",
        "const LAYER: f64 = 8.0e-4;",
        "pub const START: f64 = 0.6;",
        "pub const SOURCE: &str = \"the GPU's rates are those measured on Sample GPU\";",
        "| 6.29·10⁹ /s | measured: Sample GPU, 0123abc, 2026-01-02 |",
    ] {
        assert!(cost.contains(line), "no {line} in\n{cost}");
    }
    for line in [
        "- GPU: Sample GPU, compute capability 9.0, 132 multiprocessors, 1980 MHz\n",
        "| `[8192,256,3,3]`, tf32 | 0.0150 (0.0149–0.0151) | 0.003000 (0.002900–0.003100) |",
        "| `[8192,256,3,3]`, bf16 | failed: exit code 1: error: cuda:1 (Sample GPU): failed multiplying",
        "| `[512,512,3,3]`, f32 | not yet run | not yet run |",
        "| 0.3400 (0.3400–0.3400) | 4.100 (4.100–4.100) | 3.200 (3.200–3.200) |",
        "| `START`, s | 0.6 | measured: Sample GPU, 0123abc, 2026-01-02 |",
        "| tests: the same bytes as on the processor | FAILED | 100 |",
    ] {
        assert!(readme.contains(line), "no {line} in\n{readme}");
    }
    assert!(!readme.contains("No GPU could be had"));
    // The text around is left as it was, and the results are kept.
    assert!(
        readme.starts_with("# Benchmarks\n") && readme.ends_with("<!-- end of gpu tables -->\n")
    );
    let kept: Value = serde_json::from_str(&read("benches/gpu.json")).unwrap();
    assert_eq!(kept, sample());
    assert!(tables(folder.path(), &["--check"]).status.success());

    // A rate that was not measured stays what it was assumed to be.
    let mut without_start = sample();
    without_start["times"]["start"] = json!({ "failed": "exit code 1" });
    let file = folder.path().join("without_start.json");
    fs::write(&file, without_start.to_string()).unwrap();
    assert!(
        tables(folder.path(), &[file.to_str().unwrap()])
            .status
            .success()
    );
    let cost = read("src/similarity/cost.rs");
    assert!(cost.contains("pub const START: f64 = 1.0;"), "{cost}");
    assert!(
        cost.contains("compilation of our kernels | 1 s | assumed |"),
        "{cost}"
    );
}

/// Two calls make one table, if they are of one program and GPU; a trial makes none.
#[test]
fn results_of_two_calls_are_put_together_and_trials_refused() {
    if !has_python() {
        return;
    }
    let folder = copy();
    let file = |name: &str, results: &Value| -> String {
        let file = folder.path().join(name);
        fs::write(&file, results.to_string()).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let steps = |from: usize, to: usize| -> Value {
        let sample = sample();
        sample["steps"].as_array().unwrap()[from..to].into()
    };
    let mut first = sample();
    first["steps"] = steps(0, 2);
    first["times"] = Value::Null;
    let mut second = sample();
    second["steps"] = steps(2, 3);
    let both = [file("first", &first), file("second", &second)];
    let output = tables(folder.path(), &[&both[0], &both[1]]);
    assert!(output.status.success(), "{output:?}");
    let kept = fs::read_to_string(folder.path().join("benches/gpu.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["steps"], sample()["steps"]);
    assert_eq!(kept["times"], sample()["times"]);

    let refused = |results: &[&str], said: &str| {
        let before = fs::read_to_string(folder.path().join("src/similarity/cost.rs")).unwrap();
        let output = tables(folder.path(), results);
        assert_eq!(output.status.code(), Some(1), "{said}: {output:?}");
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(words.contains(said), "{said}: {words}");
        let after = fs::read_to_string(folder.path().join("src/similarity/cost.rs")).unwrap();
        assert!(before == after);
    };
    let mut other = sample();
    other["commit"] = "another".into();
    refused(
        &[&both[0], &file("other", &other)],
        "differ in their commit",
    );
    let mut other = sample();
    other["doctor"]["gpus"][1]["name"] = "Some other GPU".into();
    refused(&[&both[0], &file("other", &other)], "different GPUs");
    let mut trial = sample();
    trial["small"] = true.into();
    refused(&[&file("trial", &trial)], "nothing in it was measured");
    refused(&[&file("nothing", &json!({}))], "no gpu.json");
}

/// A bundle as tests/gpu/bundle.sh makes it, with the program under test, and scripts in place of the other programs.
fn bundle(folder: &Path) -> PathBuf {
    let bundle = folder.join("bundle");
    fs::create_dir_all(bundle.join("lib")).unwrap();
    fs::create_dir_all(bundle.join("project")).unwrap();
    for part in ["tests", "benches", "fixtures", "src"] {
        fs::create_dir(bundle.join("project").join(part)).unwrap();
    }
    for path in [
        "tests/gpu",
        "benches/gpu.py",
        "benches/gpu_tables.py",
        "benches/peers",
        "benches/README.md",
        "src/similarity",
        "fixtures/checkpoints",
    ] {
        symlink(project().join(path), bundle.join("project").join(path)).unwrap();
    }
    symlink(program(), bundle.join("inmerge-ckpt")).unwrap();
    fs::write(bundle.join("commit"), "0123abc\n").unwrap();
    // A test that fails, with much to say; or one that takes too long.
    let tests = "#!/bin/sh\n\
        [ -z \"$CHECK_IS_SLOW\" ] || { echo 'test cuda::slow has been running for over 60 seconds'; sleep 60; }\n\
        seq 1 5000\necho \"thread 'cuda::a_test' panicked at a_file.rs:1:\"\necho 'it \"differs\"'\nexit 101\n";
    for (name, script) in [
        ("integration", tests),
        (
            "whole",
            "#!/bin/sh\necho 'error: no checkpoint can be made' >&2\nexit 1\n",
        ),
    ] {
        let file = bundle.join(name);
        fs::write(&file, script).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    bundle
}

fn check(bundle: &Path, library_path: &Path, results: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("bash");
    command
        // Not through the link, behind which the project is another.
        .arg("-c")
        .arg("cd \"$0/project\" && exec tests/gpu/check.sh \"$@\"")
        .arg(bundle)
        .args(args)
        .env("LD_LIBRARY_PATH", library_path)
        .env("OUT", results)
        .env_remove("INMERGE_CUBLAS")
        .env_remove("CUDA_VISIBLE_DEVICES");
    command
}

/// A part that fails stops no other, what is printed is short and ends with the first thing to mend, and a later call adds to
/// the one JSON.
#[test]
fn a_failing_part_of_the_check_stops_no_other() {
    let Some(stand_in) = fake_cuda::folder() else {
        return;
    };
    if !has_python() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let bundle = bundle(folder.path());
    let results = folder.path().join("results");
    let read = || -> Value {
        let text = fs::read_to_string(results.join("gpu.json")).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    };
    let run = |args: &[&str]| check(&bundle, stand_in, &results, args).output().unwrap();
    let first = run(&["--small", "tests", "wide", "sanitizer"]);
    let said = String::from_utf8_lossy(&first.stdout).into_owned();
    assert_eq!(first.status.code(), Some(1), "{said}");
    assert!(said.len() < 12_000, "{} characters", said.len());
    let last = said.lines().last().unwrap();
    assert_eq!(
        last.trim_end(),
        "First to mend: tests: the same bytes as on the processor: thread 'cuda::a_test' panicked at a_file.rs:1: it \"differs\"",
        "{said}"
    );
    let json = read();
    assert_eq!(json["small"], true);
    assert_eq!(json["commit"], "0123abc");
    assert_eq!(json["doctor"]["gpus"][0]["name"], "Fake GPU");
    let outcomes = |json: &Value| -> Vec<(String, String)> {
        let steps = json["steps"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        steps
            .map(|step| (text(&step["part"]), text(&step["outcome"])))
            .collect()
    };
    let found = outcomes(&json);
    let of = |part: &str, outcome: &str| (part.to_owned(), outcome.to_owned());
    assert_eq!(
        found[..3],
        [
            of("start", "passed"),
            of("tests", "FAILED"),
            of("wide", "not run")
        ]
    );
    assert_eq!(found[3].0, "sanitizer");
    assert!(
        json["steps"][1]["problem"]
            .as_str()
            .unwrap()
            .ends_with("it \"differs\"")
    );

    let second = run(&["--small", "times"]);
    let said = String::from_utf8_lossy(&second.stdout).into_owned();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(
        said.contains("First to mend: times: times: error: "),
        "{said}"
    );
    let json = read();
    let parts: Vec<String> = outcomes(&json).into_iter().map(|(part, _)| part).collect();
    for part in ["tests", "wide", "sanitizer", "start", "times"] {
        assert!(parts.iter().any(|other| other == part), "{part}: {parts:?}");
    }
    // The checkpoints could not be made, and what needs none was measured.
    assert!(
        json["times"]["device"]["scale64"]["failed"].is_string(),
        "{json}"
    );
    assert_eq!(
        json["times"]["layer"].as_array().unwrap().len(),
        1,
        "{json}"
    );
    let tables = fs::read_to_string(results.join("gpu.md")).unwrap();
    assert!(
        tables.starts_with("**A trial of the check, not a measurement.**"),
        "{tables}"
    );

    // Steps that would begin when the time is over are left out, and said to be.
    let short = run(&["--small", "--seconds", "4", "tests"]);
    let said = String::from_utf8_lossy(&short.stdout).into_owned();
    assert!(said.contains("no time was left"), "{said}");
}

/// A step that takes too long is ended, and what it was at is named.
#[test]
fn a_step_of_the_check_that_takes_too_long_is_ended() {
    let Some(stand_in) = fake_cuda::folder() else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let bundle = bundle(folder.path());
    let results = folder.path().join("results");
    let start = Instant::now();
    let mut command = check(
        &bundle,
        stand_in,
        &results,
        &["--small", "--seconds", "10", "tests"],
    );
    let output = command.env("CHECK_IS_SLOW", "1").output().unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(40),
        "{:?}",
        start.elapsed()
    );
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap();
    assert!(
        last.starts_with("First to mend: tests: ") && last.contains(", at cuda::slow; it says: "),
        "{said}"
    );
    let text = fs::read_to_string(results.join("gpu.json")).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["steps"][1]["outcome"], "timed out");
}

/// Without a GPU nothing is checked, and it says what is missing.
#[test]
fn without_a_gpu_the_check_names_what_is_missing() {
    let Some(stand_in) = fake_cuda::folder() else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let bundle = bundle(folder.path());
    let results = folder.path().join("results");
    let mut command = Command::new("bash");
    command
        .arg(bundle.join("project/tests/gpu/check.sh"))
        .arg("--small");
    let output = command
        .env("LD_LIBRARY_PATH", stand_in)
        .env("OUT", &results)
        .env("FAKE_CUDA_DEVICES", "0")
        .output()
        .expect("bash starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("nothing else was checked"), "{said}");
    assert!(
        said.lines().last().unwrap().contains("no such GPU"),
        "{said}"
    );
    let text = fs::read_to_string(results.join("gpu.json")).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["steps"][0]["outcome"], "FAILED");
    assert!(json["times"].is_null());
}
