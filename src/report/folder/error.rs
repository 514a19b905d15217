//! Errors of writing a report; each message names the folder and the remedy.

use std::io;
use std::path::{Path, PathBuf};

use crate::atomic;
use crate::checkpoint::Names;

/// A report that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct Error {
    /// The report's folder, or the file in it.
    pub path: PathBuf,
    /// Why it could not.
    pub problem: Box<Problem>,
}

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "every variant's message says what it means")]
pub enum Problem {
    #[error("is a file, and a report is a folder; name another")]
    File,
    #[error("is a device or another special file, and a report is a folder; name another")]
    Special,
    #[error("cannot be created, because {} is not a folder; name another", .0.display())]
    NotInFolder(PathBuf),
    #[error(
        "is the current folder or one around it, which cannot be replaced as a whole; change to another folder, or name another"
    )]
    AroundHere,
    #[error(
        "holds files that do not belong to a report ({names}); name another folder, or use --force to keep them beside the report"
    )]
    Foreign { names: Names },
    #[error(
        "holds files of yours with names that a report needs ({names}); move them elsewhere, or name another folder"
    )]
    Namesakes { names: Names },
    #[error("was replaced by another run meanwhile; run again when that is done")]
    Busy,
    #[error("cannot hold a file called {name:?}, which is not a plain name or is taken already")]
    FileName { name: String },
    #[error(transparent)]
    Output(#[from] atomic::Problem),
}

impl Problem {
    /// Attaches the folder or file.
    pub(super) fn of(self, path: &Path) -> Error {
        Error {
            path: path.to_owned(),
            problem: Box::new(self),
        }
    }

    /// The problem that made a write fail.
    pub(super) fn writing(error: io::Error) -> Self {
        atomic::Problem::writing(error).into()
    }
}
