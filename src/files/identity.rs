//! Telling one file from another, and one version of a file from the next.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::{entry, status, target};

/// Identifies a file by its device, its inode and its creation time, because inode numbers are reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    /// In nanoseconds since 1970; `None` if the file system does not tell.
    born_ns: Option<u64>,
}

impl Identity {
    /// From a file's metadata.
    pub fn of(status: &Metadata) -> Self {
        Self {
            device: status.dev(),
            inode: status.ino(),
            born_ns: born_ns(status),
        }
    }

    /// Whether no other file can ever have the same.
    pub fn is_unique(self) -> bool {
        self.born_ns.is_some()
    }
}

fn born_ns(status: &Metadata) -> Option<u64> {
    let born = status.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(born.as_nanos()).ok()
}

/// Identifies a version of a file, by its size and the time of its last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Version {
    file: Identity,
    bytes: u64,
    modified: (i64, i64),
}

impl Version {
    /// From a file's metadata.
    pub fn of(status: &Metadata) -> Self {
        Self {
            file: Identity::of(status),
            bytes: status.len(),
            modified: (status.mtime(), status.mtime_nsec()),
        }
    }
}

/// Whether a path is known to be that of this open file or folder, not a link to it.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    match (status(file), entry(path)) {
        (Ok(own), Ok(Some(there))) => Identity::of(&own) == Identity::of(&there),
        _ => false,
    }
}

/// Whether a path is known to lead to this open file, links followed.
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
