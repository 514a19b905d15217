//! What can stop a command.

use std::path::PathBuf;

use crate::{
    atomic, blas, checkpoint, layers, plan, report, sensitivity, settings, similarity, watch,
};

/// What stopped a command, in one sentence that names the file, tensor or flag and the remedy.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "every variant's message says what it means")]
pub enum Error {
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    #[error(transparent)]
    Place(#[from] atomic::Error),
    #[error(transparent)]
    Report(#[from] report::folder::Error),
    #[error(transparent)]
    Plan(#[from] plan::Error),
    #[error(transparent)]
    Sensitivity(#[from] sensitivity::Error),
    #[error(transparent)]
    Settings(#[from] settings::Error),
    #[error("{}: {error}", file.display())]
    Layers { file: PathBuf, error: layers::Error },
    #[error("{}: {error}", file.display())]
    Similarity {
        file: PathBuf,
        error: similarity::Error,
    },
    #[error(transparent)]
    Device(#[from] similarity::DeviceError),
    #[error("{flag} {}: cannot be read ({error}); check the path", file.display())]
    LayerList {
        flag: &'static str,
        file: PathBuf,
        error: std::io::Error,
    },
    #[error(
        "{flag} {}: line {line} is no UTF-8; save it as UTF-8 text, or check the path",
        file.display()
    )]
    LayerListNotText {
        flag: &'static str,
        file: PathBuf,
        line: usize,
    },
    #[error("{}: is the {role} file of this run; name another file to write", file.display())]
    Overwrites { file: PathBuf, role: &'static str },
    #[error(
        "{}: is in the {role}'s folder, which appears or is replaced as a whole; name a place elsewhere",
        file.display()
    )]
    Inside { file: PathBuf, role: &'static str },
    #[error(
        "{}: layer `{layer}` is too large to compare (more than 2147483647 kernels or numbers in one); leave it out with --exclude",
        file.display()
    )]
    Unmergeable { file: PathBuf, layer: String },
    #[error(
        "{}: has no layer `{layer}` of dtype {dtype} and shape {shape:?}, as {} has; give checkpoints of one run, or leave the layer out with --exclude",
        file.display(),
        other.display()
    )]
    OtherRun {
        file: PathBuf,
        layer: String,
        dtype: String,
        shape: Vec<usize>,
        other: PathBuf,
    },
    #[error("{}: is a plan where the checkpoint is to be; the order is `inmerge-ckpt apply PLAN IN OUT`", .0.display())]
    PlanAsInput(PathBuf),
    #[error("{}: is the input itself; use --force to replace it", .0.display())]
    OutputIsInput(PathBuf),
    #[error(transparent)]
    Blas(#[from] blas::Error),
    #[error(
        "cannot start a thread ({0}); end other programs, or raise the limit on processes and threads (ulimit -u) or on memory (ulimit -v)"
    )]
    Threads(std::io::Error),
    #[error("cannot listen for signals ({0}); run where they can be handled")]
    Signals(std::io::Error),
    #[error(transparent)]
    Watch(#[from] watch::Error),
    #[error("cannot print ({0})")]
    Print(#[from] std::io::Error),
}
