//! What a power cut may take.

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
    /// Sees to it that the disk holds a file, if it must.
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

    /// Opens a folder in which something is about to change, to be handed to [`sync_change`] afterwards; `None` where the disk
    /// need not hold the change. A folder that cannot be opened is found out so while nothing has happened.
    pub(super) fn open(self, folder: &Path) -> Result<Option<File>, Problem> {
        match self {
            Self::Synced => Ok(Some(
                retried(|| File::open(folder)).map_err(Problem::writing)?,
            )),
            Self::Unsynced => Ok(None),
        }
    }
}

/// Sees to it that the disk holds what changed in a folder that [`Durability::open`] opened, if it must.
pub(super) fn sync_change(folder: Option<File>) -> io::Result<()> {
    folder.map_or(Ok(()), |folder| retried(|| folder.sync_all()))
}
