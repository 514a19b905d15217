//! Having a sweep's folder to oneself while something begins there.

use std::fs::File;
use std::path::{Path, PathBuf};

/// A sweep's folder, in which nobody else changes what the sweep is or begins a run as long as this exists.
#[derive(Debug)]
pub struct Hold {
    folder: PathBuf,
    /// `None` where the file system has no locks: there the user has to see to it.
    _lock: Option<File>,
}

impl Hold {
    /// Waits for those who hold the folder, which nobody does for long, and takes it.
    pub fn on(folder: &Path) -> Self {
        let lock = File::open(folder).and_then(|open| open.lock().map(|()| open));
        Self {
            folder: folder.to_owned(),
            _lock: lock.ok(),
        }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}
