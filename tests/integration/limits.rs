//! The program where memory, threads or the sizes of files are limited: it does its work or says what it lacks.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{Run, contents, finish, fixture, program, run, skipped};
use tempfile::TempDir;

/// A user without privileges, whom root's tests run the program as: limits on processes do not bind root.
const NOBODY: u32 = 65534;

fn demo() -> PathBuf {
    fixture("checkpoints/demo.safetensors")
}

/// The program under a limit, as prlimit takes it; for a minute at most, which only one that hangs takes.
fn limited(limit: &str, args: Vec<OsString>) -> Run {
    limited_as(limit, program(), args, |_| ())
}

fn limited_as(
    limit: &str,
    program: OsString,
    args: Vec<OsString>,
    prepare: impl FnOnce(&mut Command),
) -> Run {
    let mut command = Command::new("timeout");
    command.args(["60", "prlimit", limit]).arg(program);
    command.args(args).env("NO_COLOR", "1");
    prepare(&mut command);
    finish(command)
}

/// Whether limits can be set here, which takes util-linux.
fn can_limit() -> bool {
    let prlimit = Command::new("prlimit").arg("--version").output();
    let can = prlimit.is_ok_and(|output| output.status.success());
    if !can {
        skipped("there is no prlimit (util-linux)");
    }
    can
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
    if !can_limit() {
        return;
    }
    for args in [
        args!["--version"],
        args!["--help"],
        args!["completions", "bash"],
        args!["inspect", demo()],
        args!["diff", demo(), demo()],
    ] {
        limited("--as=100000000", args).done();
    }
}

#[test]
fn little_memory_is_enough_or_an_error() {
    if !can_limit() {
        return;
    }
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
        let run = limited(&format!("--as={megabytes}000000"), merge(&output));
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
    let run = limited("--data=100000000", merge(&folder.path().join("data")));
    assert!(!is_done(&run), "{run}");
    assert!(run.stderr.contains("(ulimit -d)"), "{run}");
}

#[test]
fn memory_that_runs_out_is_an_error() {
    if !can_limit() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in");
    // Two kernels of 64 MiB, whose unit vectors take twice as much.
    let size = 64u64 << 20;
    let header = format!(
        r#"{{"conv.weight":{{"dtype":"BF16","shape":[2,16777216,1],"data_offsets":[0,{size}]}}}}"#
    );
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + size as usize, 0x3f);
    fs::write(&input, bytes).unwrap();
    let mut said = Vec::new();
    for megabytes in (250..2000).step_by(16) {
        let args = args!["merge", &input, "--dry-run", "--skip-shallow=0", "--quiet"];
        let run = limited(&format!("--as={megabytes}000000"), args);
        // More memory than some of these have would do.
        assert!(!is_done(&run), "{said:#?}");
        said.push(run.stderr);
        if said.iter().any(|said| said.contains("out of memory")) {
            return;
        }
    }
    panic!("{said:#?}");
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
    if !can_limit() {
        return;
    }
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
    as_nobody("--core=0", merge(&desk.join("whole"))).done();
    let whole = fs::read(desk.join("whole")).unwrap();
    for threads in 1..10 {
        let output = desk.join(threads.to_string());
        let run = as_nobody(&format!("--nproc={threads}"), merge(&output));
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
        args!["watch", &desk, "--out", &out, "--once", "--poll=0.05"],
        args!["analyze", &input, "--report", desk.join("report")],
        args!["doctor"],
    ] {
        assert!(!is_done(&as_nobody("--nproc=1", args)));
    }
    as_nobody("--nproc=1", args!["inspect", &input]).done();
}

#[test]
fn a_limit_on_the_sizes_of_files_is_an_error() {
    if !can_limit() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    for args in [
        args!["merge", demo(), &output, "--tau=0.9"],
        args!["merge", demo(), "--dry-run", "--tau=0.9", "--plan", &output],
        args!["analyze", demo(), "--include=fc.*", "--report", &output],
    ] {
        let run = limited("--fsize=1000", args);
        assert!(!is_done(&run), "{run}");
        assert!(run.stderr.contains("(ulimit -f)"), "{run}");
        let left = contents(folder.path());
        assert!(left.is_empty(), "{run}\n{:?}", left.keys());
    }
}

#[test]
fn few_open_files_are_enough_or_an_error_that_leaves_nothing() {
    if !can_limit() {
        return;
    }
    let desk = TempDir::new().unwrap();
    let (out, report) = (desk.path().join("out"), desk.path().join("report"));
    let (mut done, mut refused) = (0, 0);
    for files in 4..14 {
        for args in [
            args!["merge", demo(), &out, "--no-sync", "--quiet"],
            args![
                "analyze",
                demo(),
                "--report",
                &report,
                "--no-spectrum",
                "--quiet"
            ],
        ] {
            let run = limited(&format!("--nofile={files}"), args);
            let left: Vec<_> = fs::read_dir(desk.path()).unwrap().collect();
            if is_done(&run) {
                assert_eq!(left.len(), 1, "{left:?}, {run}");
                done += 1;
            } else {
                assert!(left.is_empty(), "{left:?}, {run}");
                refused += 1;
            }
            let _ = fs::remove_file(&out);
            let _ = fs::remove_dir_all(&report);
        }
    }
    assert!(done > 5 && refused > 2, "{done} done, {refused} refused");
}
