//! The mode, owner and group of a folder.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, fchown};

use crate::files;

/// Gives a folder the mode of another, and its owner and group if permitted.
pub(crate) fn take_over(folder: &File, from: &Metadata) -> io::Result<()> {
    let own = files::status(folder)?;
    if (own.uid(), own.gid()) != (from.uid(), from.gid()) {
        // Only root, at work in another user's folders, can do this; it may fail.
        let _ = fchown(folder, Some(from.uid()), Some(from.gid()));
    }
    folder.set_permissions(from.permissions())
}
