//! Syncing outputs to the disk.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::files::retried;

use super::Problem;

/// Whether an output must survive a power cut once the program reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The file and its folder are synced to the disk.
    Synced,
    /// The operating system decides when to write them.
    Unsynced,
}

impl Durability {
    /// Syncs a file to the disk, if required.
    pub(crate) fn sync(self, file: &File) -> Result<(), Problem> {
        match self {
            Self::Synced => retried(|| file.sync_all()).map_err(Problem::writing),
            Self::Unsynced => Ok(()),
        }
    }

    /// Syncs the file or folder at a path to the disk, if required.
    pub(crate) fn sync_at(self, path: &Path) -> Result<(), Problem> {
        self.open(path)?.map_or(Ok(()), |file| self.sync(&file))
    }

    /// Opens a folder that is about to change, for [`sync_change`] afterwards; `None` if no sync is required. A folder that
    /// cannot be opened thus fails before anything has changed.
    pub(super) fn open(self, folder: &Path) -> Result<Option<File>, Problem> {
        match self {
            Self::Synced => Ok(Some(
                retried(|| File::open(folder)).map_err(Problem::writing)?,
            )),
            Self::Unsynced => Ok(None),
        }
    }
}

/// Syncs a folder that [`Durability::open`] opened, if required.
pub(super) fn sync_change(folder: Option<File>) -> io::Result<()> {
    folder.map_or(Ok(()), |folder| retried(|| folder.sync_all()))
}
