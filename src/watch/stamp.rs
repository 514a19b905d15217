//! What tells one state of a file from another without reading it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

/// What stays the same where a file is copied with its times, or its folder mounted elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    pub bytes: u64,
    /// The time of its last change, in nanoseconds since 1970.
    pub modified_ns: i64,
}

impl Stamp {
    /// Of a file of which the system says this.
    pub fn of(status: &Metadata) -> Self {
        let seconds = status.mtime().saturating_mul(1_000_000_000);
        Self {
            bytes: status.len(),
            modified_ns: seconds.saturating_add(status.mtime_nsec()),
        }
    }
}

/// The state of a file for as long as it is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its size and time.
    pub stamp: Stamp,
    /// Which file it is: another one, renamed to the same name, has another.
    pub inode: u64,
}

impl Status {
    /// Of a file of which the system says this.
    pub fn of(status: &Metadata) -> Self {
        Self {
            stamp: Stamp::of(status),
            inode: status.ino(),
        }
    }
}
