//! One file a command: the only place where the rooms are put together.

mod analyze;
mod apply;
mod completions;
mod diff;
mod doctor;
mod inspect;
mod merge;
mod merging;
mod progress;
mod reporting;
mod selecting;
mod sensitivity;
mod session;
mod signals;
mod threads;
mod ticker;
mod watch;
mod writing;

use std::io::Write;
use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::error::Error;

pub use session::Session;

/// How a command ended when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what was asked.
    Done,
    /// `--require-merges`, and nothing merged.
    NothingMerged,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::NothingMerged => Self::from(3),
        }
    }
}

/// Runs a parsed command line. Results go to `out`, warnings and progress to `err`; bars are drawn where `bars` says that
/// the latter is a terminal.
///
/// # Errors
///
/// Whatever stopped the command. No checkpoint was written or replaced then, but for the one case whose message says so:
/// a folder that cannot be synced after its file was put there.
pub fn run(
    cli: &Cli,
    out: &mut dyn Write,
    err: &mut dyn Write,
    bars: bool,
) -> Result<Outcome, Error> {
    let session = &mut Session::new(&cli.common, out, err, bars);
    match &cli.command {
        Command::Merge(args) => merge::run(args, session),
        Command::Watch(args) => watch::run(args, session),
        Command::Analyze(args) => analyze::run(args, session),
        Command::Apply(args) => apply::run(args, session),
        Command::Inspect(args) => inspect::run(args, session),
        Command::Diff(args) => diff::run(args, session),
        Command::Sensitivity(args) => sensitivity::run(args, session),
        Command::Doctor => doctor::run(session),
        Command::Completions { shell } => completions::run(*shell, session),
    }
}
