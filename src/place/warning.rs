//! What the user should know of something that was put in its place.

use std::io;
use std::path::PathBuf;

/// Something about an output that is no reason not to write it.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "every variant's message says what it means")]
pub enum Warning {
    #[error("{} is what the output replaced, and cannot be removed ({error}); remove it", folder.display())]
    OldRemains { folder: PathBuf, error: io::Error },
}
