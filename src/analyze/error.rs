//! What can stop an analysis.

use std::path::PathBuf;

use crate::report::folder;
use crate::{checkpoint, compute, selection};

/// A checkpoint could not be analysed, or its report could not be written. Each message names the file and the remedy.
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
    Report(#[from] folder::Error),
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
}
