//! Telling one file from another, and one version of a file from the next.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{entry, status, target};

/// Which file it is, by its disk and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// Of a file of which the system says this.
    pub fn of(status: &Metadata) -> Self {
        Self {
            device: status.dev(),
            inode: status.ino(),
        }
    }
}

/// Which file it is, and in which version, by its size and the time of its last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    file: Identity,
    bytes: u64,
    modified: (i64, i64),
}

impl Version {
    /// Of a file of which the system says this.
    pub fn of(status: &Metadata) -> Self {
        Self {
            file: Identity::of(status),
            bytes: status.len(),
            modified: (status.mtime(), status.mtime_nsec()),
        }
    }
}

/// Whether a path is known to be that of this open file or folder, and no link to it.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    match (status(file), entry(path)) {
        (Ok(own), Ok(Some(there))) => Identity::of(&own) == Identity::of(&there),
        _ => false,
    }
}

/// Whether a path is known to lead to this open file, be it by links.
pub(crate) fn leads_to(path: &Path, file: &File) -> bool {
    match (target(path), status(file)) {
        (Ok(Some(there)), Ok(own)) => Identity::of(&there) == Identity::of(&own),
        _ => false,
    }
}

/// Whether two paths are known to lead to the same file or folder.
pub(crate) fn lead_to_same(a: &Path, b: &Path) -> bool {
    match (target(a), target(b)) {
        (Ok(Some(a)), Ok(Some(b))) => Identity::of(&a) == Identity::of(&b),
        _ => false,
    }
}
