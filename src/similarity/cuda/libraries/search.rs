//! The outcome of looking for a library.

use std::path::PathBuf;

use super::candidates::Source;
use super::fault::Fault;
use super::version::Version;

/// A library that is loaded and can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// What led to it.
    pub source: Source,
    /// The file whose functions are called.
    pub path: PathBuf,
    /// Of the driver, the CUDA that it is made for; of cuBLAS, its own.
    pub version: Version,
    /// The file that was chosen, if the system's loader takes another usable one instead.
    pub chosen: Option<PathBuf>,
}

/// A file or folder that was tried in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What led to it.
    pub source: Source,
    /// A folder, a file, a pattern, or a name for the system's loader.
    pub path: PathBuf,
    /// Why it cannot be used.
    pub fault: Fault,
}

/// The outcome of looking for a library.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LibrarySearch {
    /// The first one that can be used.
    pub found: Option<Library>,
    /// What was tried before, in order.
    pub tried: Vec<Attempt>,
}

impl LibrarySearch {
    pub(super) fn add(&mut self, source: Source, path: impl Into<PathBuf>, fault: Fault) {
        self.tried.push(Attempt {
            source,
            path: path.into(),
            fault,
        });
    }
}
