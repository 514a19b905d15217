//! What a power cut may take.

use std::fs::File;
use std::path::Path;

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
            Self::Synced => file.sync_all().map_err(Problem::writing),
            Self::Unsynced => Ok(()),
        }
    }

    /// As [`Durability::sync`], by the path of a file or a folder.
    pub(crate) fn sync_at(self, path: &Path) -> Result<(), Problem> {
        match self {
            Self::Synced => self.sync(&File::open(path).map_err(Problem::writing)?),
            Self::Unsynced => Ok(()),
        }
    }

    /// Changes what stands in a folder, and sees to it that the disk holds the change, if it must.
    ///
    /// # Errors
    ///
    /// Those of `change`; [`Problem::Unsynced`] where it was made and may be lost.
    pub(super) fn change_in<R>(
        self,
        folder: &Path,
        change: impl FnOnce() -> Result<R, Problem>,
    ) -> Result<R, Problem> {
        let folder = match self {
            // Opened beforehand: a folder that cannot be is found out while nothing has happened.
            Self::Synced => Some(File::open(folder).map_err(Problem::writing)?),
            Self::Unsynced => None,
        };
        let changed = change()?;
        match folder.map(|folder| folder.sync_all()) {
            Some(Err(error)) => Err(Problem::Unsynced(error)),
            _ => Ok(changed),
        }
    }
}
