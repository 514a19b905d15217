//! Warnings about an output that was written.

use std::path::PathBuf;

use crate::atomic;

use super::names::Names;

/// Something about an output that is no reason not to write it.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "every variant's message says what it means")]
pub enum Warning {
    #[error("not copied from {}: {names} (other weights and folders stay behind)", folder.display())]
    LeftBehind { folder: PathBuf, names: Names },
    #[error("{index} said that total_size is {found}; the output's says {total}, which it is")]
    TotalSize {
        index: String,
        found: String,
        total: u64,
    },
    #[error(transparent)]
    Place(#[from] atomic::Warning),
}
