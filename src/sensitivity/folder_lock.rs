//! Locking a sweep's folder while a run begins there.

use std::fs::File;
use std::path::{Path, PathBuf};

/// The lock on a sweep's folder. While it is held, no other process changes the sweep or begins a run.
#[derive(Debug)]
pub struct FolderLock {
    folder: PathBuf,
    /// `None` if the file system has no locks, so that the user must prevent concurrent runs.
    _lock: Option<File>,
}

impl FolderLock {
    /// Waits until the folder is free, which never takes long, and locks it.
    pub fn acquire(folder: &Path) -> Self {
        let lock = File::open(folder).and_then(|open| open.lock().map(|()| open));
        Self {
            folder: folder.to_owned(),
            _lock: lock.ok(),
        }
    }

    /// The path of the folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}
