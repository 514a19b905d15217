//! Whether outputs survive a power cut.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::files::retried;

use super::Problem;

/// Whether an output must survive a power cut once it is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The file and its folder are synced to the disk.
    Synced,
    /// Left to the operating system.
    Unsynced,
}

impl Durability {
    /// Syncs a file to the disk, if that is required.
    pub(crate) fn sync(self, file: &File) -> Result<(), Problem> {
        match self {
            Self::Synced => retried(|| file.sync_all()).map_err(Problem::writing),
            Self::Unsynced => Ok(()),
        }
    }

    /// As [`Durability::sync`], by the path of a file or a folder.
    pub(crate) fn sync_at(self, path: &Path) -> Result<(), Problem> {
        self.open(path)?.map_or(Ok(()), |file| self.sync(&file))
    }

    /// Opens a folder that is about to change, for [`sync_change`] afterwards; `None` if no sync is required. So a folder that cannot
    /// be opened fails before anything has changed.
    pub(super) fn open(self, folder: &Path) -> Result<Option<File>, Problem> {
        match self {
            Self::Synced => Ok(Some(
                retried(|| File::open(folder)).map_err(Problem::writing)?,
            )),
            Self::Unsynced => Ok(None),
        }
    }
}

/// Syncs the changes of a folder that [`Durability::open`] opened, if that is required.
pub(super) fn sync_change(folder: Option<File>) -> io::Result<()> {
    folder.map_or(Ok(()), |folder| retried(|| folder.sync_all()))
}
