//! The outcome of looking for a library.

use std::path::PathBuf;

use super::candidates::Source;
use super::fault::Fault;
use super::version::Version;

/// A library that is loaded and fit for use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// What led to it.
    pub source: Source,
    /// The file whose functions are called.
    pub path: PathBuf,
    /// Of the driver, the CUDA that it is made for; of cuBLAS, its own.
    pub version: Version,
    /// The file that was chosen, where the system's loader takes another one, as good, in its place.
    pub chosen: Option<PathBuf>,
}

/// A place that was of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What led to it.
    pub source: Source,
    /// A folder, a file, a pattern, or a name for the system's loader.
    pub path: PathBuf,
    /// What was wrong.
    pub fault: Fault,
}

/// The outcome of looking for a library.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LibrarySearch {
    /// The first one that is fit for use.
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
