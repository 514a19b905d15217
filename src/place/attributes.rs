//! What a folder has beside its entries.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, fchown};

use crate::files;

/// Gives a folder the mode of another, and its owner and group if that is allowed.
pub(crate) fn take_over(folder: &File, from: &Metadata) -> io::Result<()> {
    let own = files::status(folder)?;
    if (own.uid(), own.gid()) != (from.uid(), from.gid()) {
        // For root, who works in others' folders; anybody else makes folders of his own.
        let _ = fchown(folder, Some(from.uid()), Some(from.gid()));
    }
    folder.set_permissions(from.permissions())
}
