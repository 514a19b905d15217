//! The program where memory, threads or the sizes of files are limited: it does its work or says what it lacks.

#![cfg(target_os = "linux")]

#[macro_use]
mod common;

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Run, contents, fixture, program, run};
use tempfile::TempDir;

/// A user without privileges, whom root's tests run the program as: limits on processes do not bind root.
const NOBODY: u32 = 65534;

fn demo() -> PathBuf {
    fixture("checkpoints/demo.safetensors")
}

/// Runs a program under some limits, as the shell's `ulimit` takes them; for a minute at most, which only one that hangs takes.
fn limited_as(
    limits: &str,
    program: OsString,
    args: Vec<OsString>,
    prepare: impl FnOnce(&mut Command),
) -> Run {
    let mut command = Command::new("timeout");
    let script = format!("ulimit {limits} && exec \"$0\" \"$@\"");
    command.args(["60", "sh", "-c", &script]).arg(program);
    command.args(args).env("NO_COLOR", "1");
    prepare(&mut command);
    let line = format!("{command:?}");
    let output = command.output().expect("`timeout` and `sh` start");
    let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
    Run {
        line,
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

fn limited(limits: &str, args: Vec<OsString>) -> Run {
    limited_as(limits, program(), args, |_| ())
}

/// Whether the program has done its work; otherwise it has said in one sentence what it lacks, naming a limit.
fn is_done(run: &Run) -> bool {
    if run.code == Some(0) {
        return true;
    }
    assert_eq!(run.code, Some(1), "{run}");
    assert_eq!(run.stderr.lines().count(), 1, "{run}");
    assert!(run.stderr.starts_with("error: "), "{run}");
    assert!(run.stderr.contains("(ulimit -"), "{run}");
    false
}

#[test]
fn what_computes_nothing_takes_little_memory() {
    for args in [
        args!["--version"],
        args!["--help"],
        args!["completions", "bash"],
        args!["inspect", demo()],
        args!["diff", demo(), demo()],
    ] {
        limited("-v 100000", args).done();
    }
}

#[test]
fn little_memory_is_enough_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let merge = |output: &Path| args!["merge", demo(), output, "--tau=0.9", "--screen=f32"];
    run(merge(&whole)).done();
    let whole = fs::read(whole).unwrap();
    let steps = [
        60, 80, 100, 130, 160, 200, 250, 300, 350, 400, 450, 500, 600, 700, 800, 1000,
    ];
    let done = steps.map(|megabytes| {
        let output = folder.path().join(megabytes.to_string());
        let run = limited(&format!("-v {}", megabytes * 1000), merge(&output));
        let is_done = is_done(&run);
        match is_done {
            true => assert!(fs::read(&output).unwrap() == whole, "{run}"),
            false => assert!(!output.exists(), "{run}"),
        }
        is_done
    });
    assert!(!done[0] && done[steps.len() - 1], "{done:?}");
    assert!(done.is_sorted(), "{done:?}");

    // A limit on data counts what is mapped to be written.
    let run = limited("-d 100000", merge(&folder.path().join("data")));
    assert!(!is_done(&run), "{run}");
    assert!(run.stderr.contains("(ulimit -d)"), "{run}");
}

#[test]
fn memory_that_runs_out_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in");
    // One layer of 128 MiB, all zeros, whose unit vectors take as much again.
    let size = 128u64 << 20;
    let header =
        format!(r#"{{"conv.weight":{{"dtype":"F32","shape":[256,131072,1],"data_offsets":[0,{size}]}}}}"#);
    let file = File::create(&input).unwrap();
    let length = (header.len() as u64).to_le_bytes();
    file.write_all_at(&length, 0).unwrap();
    file.write_all_at(header.as_bytes(), 8).unwrap();
    file.set_len(8 + header.len() as u64 + size).unwrap();
    let said: Vec<String> = (250..900)
        .step_by(16)
        .map(|megabytes| {
            let args = args!["merge", &input, "--dry-run", "--skip-shallow=0", "--quiet"];
            let run = limited(&format!("-v {}", megabytes * 1000), args);
            is_done(&run);
            run.stderr
        })
        .collect();
    let ran_out = said.iter().any(|said| said.contains("out of memory"));
    assert!(ran_out, "{said:#?}");
    assert_eq!(said.last().map(String::as_str), Some(""), "{said:#?}");
}

/// A copy of the program that any user may run, with a folder for anybody to write in.
fn for_anybody() -> (TempDir, OsString, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("program");
    fs::copy(program(), &copy).unwrap();
    let desk = folder.path().join("desk");
    fs::create_dir(&desk).unwrap();
    fs::copy(demo(), desk.join("in")).unwrap();
    for (path, mode) in [(folder.path(), 0o755), (&copy, 0o755), (&desk, 0o777)] {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    (folder, copy.into_os_string(), desk)
}

#[test]
fn few_threads_are_enough_or_an_error() {
    let (_folder, program, desk) = for_anybody();
    let as_nobody = |limits: &str, args: Vec<OsString>| {
        limited_as(limits, program.clone(), args, |command| {
            if rustix::process::geteuid().is_root() {
                command.uid(NOBODY).gid(NOBODY);
            }
        })
    };
    let input = desk.join("in");
    let merge = |output: &Path| {
        args![
            "merge",
            &input,
            output,
            "--tau=0.9",
            "--threads=4",
            "--screen=f32"
        ]
    };
    as_nobody("-c 0", merge(&desk.join("whole"))).done();
    let whole = fs::read(desk.join("whole")).unwrap();
    for threads in 1..10 {
        let output = desk.join(threads.to_string());
        let run = as_nobody(&format!("-u {threads}"), merge(&output));
        if is_done(&run) {
            assert!(fs::read(&output).unwrap() == whole, "{run}");
        } else {
            assert!(run.stderr.contains("thread"), "{run}");
            assert!(!output.exists(), "{run}");
        }
        // The process itself is one.
        assert!(threads > 1 || run.code == Some(1), "{run}");
    }

    let out = desk.join("out");
    fs::create_dir(&out).unwrap();
    fs::set_permissions(&out, Permissions::from_mode(0o777)).unwrap();
    for args in [
        args!["watch", &desk, "--out", &out, "--once", "--poll=0.01"],
        args!["analyze", &input, "--report", desk.join("report")],
        args!["doctor"],
    ] {
        assert!(!is_done(&as_nobody("-u 1", args)));
    }
    as_nobody("-u 1", args!["inspect", &input]).done();
}

#[test]
fn a_limit_on_the_sizes_of_files_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    for args in [
        args!["merge", demo(), &output, "--tau=0.9"],
        args!["merge", demo(), "--dry-run", "--tau=0.9", "--plan", &output],
        args!["analyze", demo(), "--include=fc.*", "--report", &output],
    ] {
        let run = limited("-f 1", args);
        assert!(!is_done(&run), "{run}");
        assert!(run.stderr.contains("(ulimit -f)"), "{run}");
        let left = contents(folder.path());
        assert!(left.is_empty(), "{run}\n{:?}", left.keys());
    }
}
