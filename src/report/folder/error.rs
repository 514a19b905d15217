//! What can keep a report from being written, in words that name the folder and the remedy.

use std::io;
use std::path::{Path, PathBuf};

use crate::atomic;
use crate::checkpoint::Names;

/// A report could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct Error {
    /// The report's folder, or the file in it.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: Box<Problem>,
}

/// What is wrong with a report's folder.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "every variant's message says what it means")]
pub enum Problem {
    #[error("is a file, and a report is a folder; name another")]
    File,
    #[error("is a device or another special file, and a report is a folder; name another")]
    Special,
    #[error("cannot be made, for {} is no folder; name another", .0.display())]
    NotInFolder(PathBuf),
    #[error(
        "is the current folder or one around it, which cannot be replaced as a whole; go elsewhere, or name another folder"
    )]
    AroundHere,
    #[error(
        "holds what is not of a report ({names}); name another folder, or use --force to have the report beside it"
    )]
    Foreign { names: Names },
    #[error(
        "holds files of yours by names that a report needs ({names}); move them elsewhere, or name another folder"
    )]
    Namesakes { names: Names },
    #[error("was replaced by another run meanwhile; run again when that is done")]
    Busy,
    #[error("cannot hold a file called {name:?}, which is no plain name or taken already")]
    FileName { name: String },
    #[error(transparent)]
    Place(#[from] atomic::Problem),
}

impl Problem {
    /// Attaches the folder or file.
    pub(super) fn of(self, path: &Path) -> Error {
        Error {
            path: path.to_owned(),
            problem: Box::new(self),
        }
    }

    /// What a failed attempt to write means.
    pub(super) fn writing(error: io::Error) -> Self {
        atomic::Problem::writing(error).into()
    }
}
