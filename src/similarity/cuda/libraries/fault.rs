//! Why a library cannot be used.

use std::path::PathBuf;

use super::version::Version;

/// Why a library cannot be used, or was not found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The folder, file or pattern fits nothing.
    #[error("not there")]
    NotThere,
    /// The folder is there, without the library.
    #[error("no libcublas in it")]
    Empty,
    /// A file that cannot be read.
    #[error("cannot be read ({0})")]
    Unreadable(String),
    /// The file is no library.
    #[error("not a shared library")]
    NoLibrary,
    /// It is for another kind of CPU.
    #[error("for another processor than this program")]
    Foreign,
    /// The loader refuses it, in its own words.
    #[error("does not load: {0}")]
    Refused(String),
    /// It lacks a function.
    #[error("has no function {0}")]
    Lacks(String),
    /// Older than CUDA 12.
    #[error("too old: version {0}, of before CUDA 12")]
    TooOld(Version),
    /// Newer than CUDA 13.
    #[error("too new: version {0}, of after CUDA 13")]
    TooNew(Version),
    /// The driver is of an older CUDA.
    #[error("version {library} is too new for the driver, which is of CUDA {driver}")]
    BeyondDriver { library: Version, driver: Version },
    /// It does not tell its version.
    #[error("does not tell its version (error {0})")]
    Mute(u32),
    /// The file has the name, but the library in it does not.
    #[error("does not call itself libcublas.so.12 or libcublas.so.13")]
    Nameless,
    /// The loader finds another file of the same name first.
    #[error("usable, but the system's loader takes {} for it, which is not: {fault}", other.display())]
    Overshadowed {
        /// The file that is taken.
        other: PathBuf,
        /// Why it is of no use.
        fault: Box<Fault>,
    },
}
