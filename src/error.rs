//! What can stop a command.

use std::path::PathBuf;

use crate::{
    analyze, atomic, checkpoint, compute, interrupted, merge, plan, report, selection, sensitivity,
    watch,
};

/// What stopped a command, in one sentence that names the file, tensor or flag and the remedy.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "every variant's message says what it means")]
pub enum Error {
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    #[error(transparent)]
    Selection(#[from] selection::Error),
    #[error(transparent)]
    Compute(#[from] compute::Error),
    #[error(transparent)]
    Plan(#[from] plan::Error),
    #[error(transparent)]
    Merge(#[from] merge::Error),
    #[error(transparent)]
    Analyze(#[from] analyze::Error),
    #[error(transparent)]
    Sensitivity(#[from] sensitivity::Error),
    #[error(transparent)]
    Watch(#[from] watch::Error),
    #[error(transparent)]
    Interrupted(#[from] interrupted::Error),
    #[error(transparent)]
    Place(#[from] atomic::Error),
    #[error(transparent)]
    Report(#[from] report::folder::Error),
    #[error("{}: is the {role} file of this run; name another file to write", file.display())]
    Overwrites { file: PathBuf, role: &'static str },
    #[error(
        "{}: is in the {role}'s folder, which appears or is replaced as a whole; name a place elsewhere",
        file.display()
    )]
    Inside { file: PathBuf, role: &'static str },
    #[error("{}: is a plan where the checkpoint is to be; the order is `inmerge-ckpt apply PLAN IN OUT`", .0.display())]
    PlanAsInput(PathBuf),
    #[error("{}: is the input itself; use --force to replace it", .0.display())]
    OutputIsInput(PathBuf),
    #[error("cannot print ({0})")]
    Print(#[from] std::io::Error),
}
