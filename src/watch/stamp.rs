//! Telling the states of a file apart without reading it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

/// The size and time of a file, which survive copying it with its times and mounting its folder elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    pub bytes: u64,
    /// The time of its last change, in nanoseconds since 1970.
    pub modified_ns: i64,
}

impl Stamp {
    /// The stamp of a file with this metadata.
    pub fn of(status: &Metadata) -> Self {
        let seconds = status.mtime().saturating_mul(1_000_000_000);
        Self {
            bytes: status.len(),
            modified_ns: seconds.saturating_add(status.mtime_nsec()),
        }
    }
}

/// The state of a file at a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its size and time.
    pub stamp: Stamp,
    /// Differs if another file was renamed to the same name.
    pub inode: u64,
}

impl Status {
    /// The state of a file with this metadata.
    pub fn of(status: &Metadata) -> Self {
        Self {
            stamp: Stamp::of(status),
            inode: status.ino(),
        }
    }
}
