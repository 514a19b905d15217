//! Errors of merging a checkpoint.

use crate::{checkpoint, compute, plan, selection};

/// A checkpoint that could not be merged; nothing was written or replaced. Each message names the file and the remedy.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "every variant's message says what it means")]
pub enum Error {
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    #[error(transparent)]
    Selection(selection::Error),
    #[error(transparent)]
    Compute(#[from] compute::Error),
    #[error(transparent)]
    Plan(#[from] plan::Error),
}

impl From<selection::Error> for Error {
    fn from(error: selection::Error) -> Self {
        match error {
            selection::Error::Checkpoint(error) => Self::Checkpoint(error),
            error => Self::Selection(error),
        }
    }
}
