//! What can keep OpenBLAS from work.

use crate::limits::MemoryLimits;

use super::BUFFER;

/// OpenBLAS cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// It is not there, or it is not usable.
    #[error(
        "OpenBLAS cannot be loaded ({0}); install libopenblas0 (Debian, Ubuntu), openblas-devel (Fedora, RHEL, openSUSE) or openblas (Arch, Alpine, conda, brew)"
    )]
    Unloadable(String),
    /// There is not enough memory for a single thread.
    #[error(
        "OpenBLAS takes {} MiB of memory for each thread, and there is no room even for one: {limits} (in a job, ask for more memory: --mem of Slurm, h_vmem of SGE)",
        BUFFER >> 20
    )]
    NoRoom {
        /// What limits it.
        limits: MemoryLimits,
    },
}

impl Error {
    pub(super) fn no_room() -> Self {
        Self::NoRoom {
            limits: MemoryLimits::current(),
        }
    }
}
