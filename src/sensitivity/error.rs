//! Errors of a sweep; each message names the remedy.

use std::io;
use std::path::PathBuf;

use crate::{atomic, checkpoint, compute, merge, selection};

use super::Series;
use super::points::MAX_POINTS;

/// Flags of a sweep that do not fit together, or do not fit the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "every variant's message says what it means")]
pub enum InvalidSweep {
    #[error("{0} varies twice; join its values in one --vary")]
    Twice(Series),
    #[error("--grid crosses {0} with itself; name two parameters, as in --grid alpha,prob")]
    WithItself(Series),
    #[error("--grid crosses {0}, which does not vary; add --vary {0}=…")]
    NotVaried(Series),
    #[error(
        "--grid cannot cross `{0}`; name two of tau, alpha, prob and skip-shallow, as in --grid alpha,prob"
    )]
    CannotCross(String),
    #[error(
        "there would be {0} points, and a sweep can have {MAX_POINTS}; take greater steps, fewer --repeats, or no --grid"
    )]
    TooManyPoints(u128),
    #[error("the layers' names show no stages; use --vary layers=each,past")]
    NoStages,
    #[error("--eval `{command}` {problem}")]
    Command {
        command: String,
        problem: &'static str,
    },
}

/// The last lines of what an evaluator printed, on lines of their own.
fn after(output: &str) -> String {
    const LINES: usize = 12;
    let lines: Vec<&str> = output.lines().collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    last.iter().map(|line| format!("\n    {line}")).collect()
}

/// A sweep that could not be planned or run.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "every variant's message says what it means")]
pub enum Error {
    #[error(transparent)]
    Invalid(#[from] InvalidSweep),
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    #[error(transparent)]
    Selection(#[from] selection::Error),
    #[error(transparent)]
    Compute(#[from] compute::Error),
    #[error(transparent)]
    Merge(#[from] merge::Error),
    #[error(transparent)]
    Output(#[from] atomic::Error),
    #[error("{}: {action} ({error}); check the path, its permissions and the disk", file.display())]
    File {
        file: PathBuf,
        action: &'static str,
        error: io::Error,
    },
    #[error("{}: holds no sweep; begin one there with `inmerge-ckpt sensitivity plan IN --report DIR …`", .0.display())]
    NoSweep(PathBuf),
    #[error("{}: is not a folder, and none can be created there; name an empty or a new one", .0.display())]
    NotAFolder(PathBuf),
    #[error("{}: holds other files, and no sweep; name an empty or a new folder", .0.display())]
    Foreign(PathBuf),
    #[error("{}: is not a sweep that this program reads ({error}); remove it to begin anew", file.display())]
    Malformed {
        file: PathBuf,
        error: serde_json::Error,
    },
    #[error(
        "{}: holds the points of another sweep, and scores are not mixed: {difference}; name another --report",
        folder.display()
    )]
    OtherSweep { folder: PathBuf, difference: String },
    #[error(
        "{}: line {line} belongs to another sweep than sweep.json beside it; move the file elsewhere",
        file.display()
    )]
    ForeignPoint { file: PathBuf, line: usize },
    #[error("{}: line {line} is not a point ({error}); remove that line, and its point is made again", file.display())]
    MalformedPoint {
        file: PathBuf,
        line: usize,
        error: serde_json::Error,
    },
    #[error(
        "{}: another run is at work on it; wait for that, or give each its own --shard",
        .0.display()
    )]
    Busy(PathBuf),
    #[error(
        "{}: a run is at work there, on other points than these; let it end first, or name another --report",
        .0.display()
    )]
    AtWork(PathBuf),
    #[error(
        "{}: is not the checkpoint that the sweep was planned for: its content differs; plan a sweep of this one in another folder",
        .0.display()
    )]
    OtherCheckpoint(PathBuf),
    #[error("--eval: cannot start `{program}` ({error}); check its name and path")]
    CannotStart { program: String, error: io::Error },
    #[error(
        "--eval: the unmerged checkpoint cannot be scored, so nothing can be compared with it: {why}{}",
        after(output)
    )]
    Unscorable { why: String, output: String },
    #[error(
        "--eval: every variant failed, the last: {why}{}; mend the evaluator, and make them again with --retry-failed",
        after(output)
    )]
    AllFailed { why: String, output: String },
    #[error(
        "stopped: {done} of {all} points are in {}; the same command goes on from there",
        folder.display()
    )]
    Stopped {
        folder: PathBuf,
        done: usize,
        all: usize,
    },
}
