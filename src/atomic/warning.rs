//! Warnings about an output that was put in place.

use std::io;
use std::path::PathBuf;

/// A problem that did not prevent writing the output.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "every variant's message says what it means")]
pub enum Warning {
    #[error(
        "{} is what the output replaced, and is not removed as a whole ({error}): it may hold what another program wrote \
        there meanwhile; look, then remove it",
        folder.display()
    )]
    OldRemains { folder: PathBuf, error: io::Error },
    #[error(
        "{} was left by a run that was killed while it replaced {}, and may hold what is nowhere else; look, then remove it",
        folder.display(),
        place.display()
    )]
    LeftByKilledRun { folder: PathBuf, place: PathBuf },
}
