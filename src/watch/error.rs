//! Errors of watching a folder; each message names the remedy.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::{atomic, merge};

/// A folder that cannot be watched, or a file in it that cannot be merged.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "every variant's message says what it means")]
pub enum Error {
    #[error(transparent)]
    Merge(#[from] merge::Error),
    #[error(transparent)]
    Output(#[from] atomic::Error),
    #[error("{}: is not a folder; name the folder in which the trainer saves", .0.display())]
    NotAFolder(PathBuf),
    #[error("{}: cannot be listed ({error}); check its permissions", folder.display())]
    Unlistable { folder: PathBuf, error: io::Error },
    #[error(
        "{}: cannot be reached ({error}); check its permissions and, of a link, those of all folders on the way to what it names",
        file.display()
    )]
    Unreachable { file: PathBuf, error: io::Error },
    #[error(
        "{}: left alone: it is a link to {}, which is not there; put that there, or remove the link",
        link.display(),
        target.display()
    )]
    Dangling { link: PathBuf, target: PathBuf },
    #[error(
        "{}: is not finished: it has no trainer_state.json, which its trainer writes last",
        .0.display()
    )]
    Unfinished(PathBuf),
    #[error(
        "--source {}: has another name than {}; a watch gives the merged checkpoint the name of its source",
        from.display(),
        output.display()
    )]
    OtherName { from: PathBuf, output: PathBuf },
    #[error(
        "{}: not there after {:.0} s ({missing}); see whether `inmerge-ckpt watch` is running, and what it says of the checkpoint",
        output.display(),
        waited.as_secs_f64()
    )]
    NotThere {
        output: PathBuf,
        waited: Duration,
        missing: String,
    },
    #[error(
        "--out {}: is the watched folder itself, where merged checkpoints would replace the trainer's; name another folder",
        .0.display()
    )]
    OutputIsInput(PathBuf),
    #[error(
        "--out {}: is or lies in {}, a checkpoint of the watched folder; name a folder elsewhere",
        out.display(),
        checkpoint.display()
    )]
    OutputInCheckpoint { out: PathBuf, checkpoint: PathBuf },
    #[error(
        "--out {}: another watch is at work there; let it do the work, or name another folder",
        .0.display()
    )]
    Locked(PathBuf),
    #[error("--out {}: is not a folder; name one for the merged checkpoints", .0.display())]
    OutputIsNoFolder(PathBuf),
    #[error(
        "{}: was removed or replaced, so nothing is merged there; put it back, or start the watch again",
        .0.display()
    )]
    RecordGone(PathBuf),
    #[error("{}: cannot be read or written ({error}); check its permissions and the disk", file.display())]
    Record { file: PathBuf, error: io::Error },
    #[error(
        "{}: line {line} is not what this program writes ({problem}); remove that line, or name another --out",
        file.display()
    )]
    Damaged {
        file: PathBuf,
        line: usize,
        problem: String,
    },
    #[error(
        "--out {}: holds what was merged with other settings ({difference}); give the same ones, or name another --out",
        folder.display()
    )]
    OtherSettings { folder: PathBuf, difference: String },
    #[error(
        "{}: exists, and this watch did not write it, so it is kept; move it elsewhere, or name another --out",
        .0.display()
    )]
    Foreign(PathBuf),
    #[error("{}: its name is not UTF-8, so the record cannot hold it; rename it", .0.display())]
    Nameless(PathBuf),
    #[error("{}: {failed} of {seen} new checkpoints could not be merged", folder.display())]
    Failed {
        folder: PathBuf,
        failed: usize,
        seen: usize,
    },
}
