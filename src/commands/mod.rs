//! One file a command: from flags to one call of the library, and what it says of the result.

mod analyze;
mod apply;
mod completions;
mod diff;
mod doctor;
mod inspect;
mod man;
mod merge;
mod merged;
mod outputs;
mod sensitivity;
mod wait;
mod watch;

#[cfg(test)]
pub(crate) use wait::WaitReport;

use std::io::Write;
use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::console::{Console, Terminal};
use crate::error::Error;

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

/// Runs a parsed command line. Results go to `out`, warnings and progress to `err`; `terminal` says
/// what these are.
///
/// # Errors
///
/// Whatever stopped the command. No checkpoint was written or replaced then, but for the one case whose message says so:
/// a folder that cannot be synced after its file was put there.
pub fn run(
    cli: &Cli,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
    terminal: Terminal,
) -> Result<Outcome, Error> {
    let console = &Console::new(out, err, cli.common.manner(terminal));
    let options = &cli.common.compute();
    match &cli.command {
        Command::Merge(args) => merge::run(args, options, console),
        Command::Watch(args) => watch::run(args, options, console),
        Command::Wait(args) => wait::run(args, console),
        Command::Analyze(args) => analyze::run(args, options, console),
        Command::Apply(args) => apply::run(args, options, console),
        Command::Inspect(args) => inspect::run(args, console),
        Command::Diff(args) => diff::run(args, console),
        Command::Sensitivity(args) => sensitivity::run(args, options, console),
        Command::Doctor => doctor::run(options, console),
        Command::Completions { shell } => completions::run(*shell, console),
        Command::Man => man::run(console),
    }
}
