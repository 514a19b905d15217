//! Telling the states of a file or folder apart without reading it.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::checkpoint::is_weights;
use crate::files;

use super::is_checkpoint;

/// The size and time of a file, which survive copying it with its times and mounting its folder elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// The size.
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

    /// The stamp of several files as one: their bytes together, and the time of the last change to any.
    pub fn together(stamps: impl IntoIterator<Item = Self>) -> Self {
        let none = Self {
            bytes: 0,
            modified_ns: i64::MIN,
        };
        stamps.into_iter().fold(none, |all, stamp| Self {
            bytes: all.bytes.saturating_add(stamp.bytes),
            modified_ns: all.modified_ns.max(stamp.modified_ns),
        })
    }
}

/// The state of a file or folder at a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its size and time; of a folder with checkpoints, those of all files directly in it.
    pub stamp: Stamp,
    /// Differs if another file was renamed to the same name.
    inode: u64,
    pub is_folder: bool,
}

impl Status {
    /// The state of what a path leads to; `None` if that is neither a file nor a folder.
    ///
    /// # Errors
    ///
    /// If the path, or a file in the folder, cannot be reached, or the folder cannot be listed.
    pub fn at(path: &Path) -> io::Result<Option<Self>> {
        let Some(status) = files::target(path)? else {
            return Ok(None);
        };
        if status.is_file() {
            return Ok(Some(Self {
                stamp: Stamp::of(&status),
                inode: status.ino(),
                is_folder: false,
            }));
        }
        if !status.is_dir() {
            return Ok(None);
        }
        let names = files::names(path)?;
        if !names
            .iter()
            .any(|name| is_checkpoint(name) || is_weights(name))
        {
            return Ok(Some(Self {
                stamp: Stamp::of(&status),
                inode: status.ino(),
                is_folder: true,
            }));
        }
        let (mut stamps, mut inode) = (Vec::new(), status.ino());
        for name in names {
            if let Some(file) = files::target(&path.join(name))?.filter(Metadata::is_file) {
                stamps.push(Stamp::of(&file));
                inode = inode.wrapping_add(file.ino());
            }
        }
        Ok(Some(Self {
            stamp: Stamp::together(stamps),
            inode,
            is_folder: true,
        }))
    }
}
