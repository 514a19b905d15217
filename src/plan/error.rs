//! Errors of reading or applying a plan; each message names the plan, the layer and the remedy.

use std::io;
use std::path::{Path, PathBuf};

use crate::atomic::missing_target;

/// A plan that cannot be read, or does not fit its checkpoint.
#[derive(Debug, thiserror::Error)]
#[error("plan {}: {problem}", file.display())]
pub struct Error {
    /// The path of the plan.
    pub file: PathBuf,
    /// What is wrong with the plan.
    pub problem: Box<Problem>,
}

/// What is wrong with a plan.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "every variant's message says what it means")]
pub enum Problem {
    #[error(
        "no such file; check the path, or make one with `inmerge-ckpt merge IN OUT --dry-run --plan FILE`"
    )]
    Missing,
    #[error("is a link to {}, which is not there; put the plan there, or name it itself", .0.display())]
    Dangling(PathBuf),
    #[error(
        "is a checkpoint, and the plan comes first: `inmerge-ckpt apply PLAN IN OUT`; name the file that `merge --plan` wrote"
    )]
    ACheckpoint,
    #[error("cannot be read ({0}); check its permissions and the disk")]
    Unreadable(io::Error),
    #[error("is not valid JSON ({0}); make it again")]
    NotJson(serde_json::Error),
    #[error("is JSON but not a plan: its \"format\" must be \"inmerge-plan\"")]
    NotAPlan,
    #[error(
        "is of version {found}, and this program reads version 1; make it again, or use the program that made it"
    )]
    Version { found: String },
    #[error("is malformed at {0}; correct it, or make it again")]
    Malformed(serde_path_to_error::Error<serde_json::Error>),
    #[error("was made for another checkpoint ({planned}) than {actual}: {what} differs; {remedy}")]
    OtherCheckpoint {
        planned: String,
        actual: String,
        what: &'static str,
        remedy: String,
    },
    #[error("layer `{layer}` is not in the checkpoint; make a plan for this one")]
    UnknownLayer { layer: String },
    #[error(
        "layer `{name}` (--prefix '{prefix}' and the plan's `{layer}`) is not in the checkpoint; {remedy}"
    )]
    UnknownNamesake {
        name: String,
        prefix: String,
        layer: String,
        remedy: String,
    },
    #[error("layer `{layer}` is listed twice; keep one of the entries")]
    RepeatedLayer { layer: String },
    #[error(
        "layer `{layer}`: its copy `{copy}` is listed twice, in \"copies\" or as a layer; keep one of the entries"
    )]
    RepeatedCopy { layer: String, copy: String },
    #[error(
        "layer `{layer}`: its copy `{copy}` is not in the checkpoint; make a plan for this one"
    )]
    UnknownCopy { layer: String, copy: String },
    #[error(
        "layer `{layer}` and its copy `{copy}` are of different shapes or dtypes ({own} and {other}); take it off \"copies\", or make a plan for this checkpoint"
    )]
    OtherCopy {
        layer: String,
        copy: String,
        own: String,
        other: String,
    },
    #[error(
        "`{copy}` is a copy of layer `{layer}` in the plan, and no longer equal to it in the checkpoint; make a new plan for it"
    )]
    ChangedCopy { layer: String, copy: String },
    #[error(
        "layer `{layer}`: `{tensor}`, which is to change along with it, is listed twice, in \"carried\" or as a layer; keep one of the entries"
    )]
    RepeatedCarried { layer: String, tensor: String },
    #[error(
        "layer `{layer}`: `{tensor}`, which is to change along with it, is not in the checkpoint; make a plan for this one"
    )]
    UnknownCarried { layer: String, tensor: String },
    #[error(
        "layer `{layer}`: `{tensor}`, which is to change along with it, must be {kernels} floating-point numbers, one a kernel, and is {actual}; take it off \"carried\""
    )]
    OtherCarried {
        layer: String,
        tensor: String,
        kernels: usize,
        actual: String,
    },
    #[error(
        "layer `{layer}` has shape {planned:?} in the plan and {actual:?} in the checkpoint; make a plan for this one"
    )]
    OtherShape {
        layer: String,
        planned: Vec<usize>,
        actual: Vec<usize>,
    },
    #[error(
        "layer `{layer}` cannot be a {kind} of {groups} groups and {kernels} kernels with shape {shape:?} and dtype {dtype}; correct its entry"
    )]
    Impossible {
        layer: String,
        kind: String,
        groups: usize,
        kernels: usize,
        shape: Vec<usize>,
        dtype: String,
    },
    #[error(
        "layer `{layer}`: {role} {kernel} is out of range, the layer has kernels 0 to {last}; correct the merge"
    )]
    KernelOutOfRange {
        layer: String,
        role: &'static str,
        kernel: usize,
        last: usize,
    },
    #[error("layer `{layer}`: kernel {kernel} merges with itself; name another partner")]
    MergeOntoItself { layer: String, kernel: usize },
    #[error(
        "layer `{layer}`: kernel {kernel} and partner {partner} are of different groups; a kernel merges within its own group only"
    )]
    AcrossGroups {
        layer: String,
        kernel: usize,
        partner: usize,
    },
    #[error(
        "layer `{layer}`: kernel {kernel} is merged twice in round {round}; keep one of the merges"
    )]
    MergedTwice {
        layer: String,
        kernel: usize,
        round: u32,
    },
    #[error(
        "layer `{layer}`: round {round} is beyond the plan's {rounds} (they count from 0); correct \"rounds\" or the merge"
    )]
    RoundOutOfRange {
        layer: String,
        round: u32,
        rounds: u32,
    },
}

impl Problem {
    /// Attaches the plan's path. If the file is missing because the path is a dangling link, says so.
    pub fn of(self, file: &Path) -> Error {
        let target = match self {
            Self::Missing => missing_target(file),
            _ => None,
        };
        Error {
            file: file.to_owned(),
            problem: Box::new(target.map_or(self, Self::Dangling)),
        }
    }

    pub(super) fn reading(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            _ => Self::Unreadable(error),
        }
    }
}
