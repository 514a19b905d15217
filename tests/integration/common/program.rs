//! Runs of the program under test. The torture tests include this file too.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::process::Command;

/// The program under test: cargo's, or `INMERGE_PROGRAM`.
pub fn program() -> OsString {
    env::var_os("INMERGE_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_inmerge-ckpt").into())
}

/// A run of the program that has ended.
#[derive(Debug)]
pub struct Run {
    /// The command line, for messages.
    pub line: String,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the program to its end, in an environment made ready for it.
pub fn run_with<S: AsRef<OsStr>>(
    args: impl IntoIterator<Item = S>,
    prepare: impl FnOnce(&mut Command),
) -> Run {
    let mut command = Command::new(program());
    command.args(args).env("NO_COLOR", "1");
    prepare(&mut command);
    finish(command)
}

/// Runs a command to its end.
pub fn finish(mut command: Command) -> Run {
    let line = format!("{command:?}");
    let output = command.output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
    Run {
        line,
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

impl Run {
    /// Fails unless the program said that it was done.
    pub fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            code,
            stdout,
            stderr,
        } = self;
        write!(
            f,
            "{line}\nexit {code:?}\nstdout: {stdout}\nstderr: {stderr}"
        )
    }
}
