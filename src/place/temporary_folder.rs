//! A folder that has another name until it is complete.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::files::{self, is_at, retried};

use super::durability::sync_change;
use super::exchange;
use super::leftovers::{self, REPLACED, UNFINISHED, prefix};
use super::replaced::Replaced;
use super::{Durability, FolderPlace, Problem, Warning};

/// The mode of a fresh folder before the umask, as other programs create theirs.
const MODE: u32 = 0o777;

/// Attempts to make a folder that no other run takes for one of a dead run's in the moment before it is locked.
const ATTEMPTS: usize = 100;

/// A new folder beside the one it is to become, gone if it is dropped before.
///
/// It is locked while its maker lives, so that others can tell what a killed run has left behind, and clean up. File systems
/// that cannot lock folders, such as NFS, keep such remains.
#[derive(Debug)]
pub(crate) struct TemporaryFolder {
    path: PathBuf,
    /// The folder itself, held open for its lock; `None` once it is in its place.
    folder: Option<File>,
    /// What runs that were killed have left beside the place, and may be all there is of something.
    left: Vec<PathBuf>,
}

impl TemporaryFolder {
    /// Creates a folder beside its place, and removes what killed runs have left of others like it.
    pub fn create(place: &FolderPlace) -> io::Result<Self> {
        let left = leftovers::clean(place.parent(), place.name());
        let mut folder = Self::create_in(place.parent(), place.name())?;
        folder.left = left;
        Ok(folder)
    }

    /// Creates a folder in `parent` that is to be called `name`.
    pub(super) fn create_in(parent: &Path, name: &OsStr) -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            let path = retried(|| {
                let made = tempfile::Builder::new()
                    .prefix(&prefix(name))
                    .suffix(UNFINISHED)
                    .permissions(Permissions::from_mode(MODE))
                    .tempdir_in(parent);
                // Without the hidden name that comes with the error.
                made.map_err(|error| {
                    error
                        .raw_os_error()
                        .map_or(error, io::Error::from_raw_os_error)
                })
            })?
            .keep();
            match retried(|| File::open(&path)) {
                Ok(folder) if files::is_locked(&folder) != Some(true) && is_at(&folder, &path) => {
                    return Ok(Self {
                        path,
                        folder: Some(folder),
                        left: Vec::new(),
                    });
                }
                // Another run has taken it for a dead one's.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let _ = files::remove_folder(&path);
                    return Err(error);
                }
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder itself.
    pub fn as_file(&self) -> &File {
        self.folder.as_ref().expect("a draft is held open")
    }

    /// What the user should know of what other runs have left beside its place.
    pub fn warnings(&self, place: &FolderPlace) -> Vec<Warning> {
        let warning = |folder: &PathBuf| Warning::LeftByKilledRun {
            folder: folder.clone(),
            place: place.path().to_owned(),
        };
        self.left.iter().map(warning).collect()
    }

    /// Puts it in its place in one step, where nothing must stand.
    ///
    /// # Errors
    ///
    /// [`Problem::Exists`] where something does; where the folder around it cannot be written to or synced.
    pub fn put_at_new(
        &mut self,
        place: &FolderPlace,
        durability: Durability,
    ) -> Result<(), Problem> {
        let parent = durability.open(place.parent())?;
        match exchange::put_at_new(&self.path, place.path()) {
            Err(error) if !is_at(self.as_file(), place.path()) => {
                return Err(Problem::putting_at_new(error));
            }
            _ => self.disown(),
        }
        let synced = sync_change(parent);
        synced.map_err(Problem::Unsynced)
    }

    /// Puts it in the place of the folder there in one step.
    ///
    /// # Errors
    ///
    /// Where none is there, or the folder around it cannot be written to or synced.
    pub fn replace(
        &mut self,
        place: &FolderPlace,
        durability: Durability,
    ) -> Result<Replaced, Problem> {
        // Beforehand: a folder that cannot be opened is found out while nothing has happened.
        let parent = durability.open(place.parent())?;
        // So that no other run takes the old folder for a dead run's before this one is done with it.
        let mut old = retried(|| File::open(place.path())).map_err(Problem::writing)?;
        files::is_locked(&old);
        let aside = self.path.with_extension(&REPLACED[1..]);
        exchange::replace(self.as_file(), &self.path, place.path(), &aside)?;
        self.disown();
        // What another run has put there in this moment, and holds no more.
        if !is_at(&old, &aside)
            && let Ok(there) = retried(|| File::open(&aside))
        {
            files::is_locked(&there);
            old = there;
        }
        match sync_change(parent) {
            // A power cut may bring the old folder back, which then must not be gone.
            Err(error) => Err(Problem::UnsyncedOver { error, aside }),
            Ok(()) => Ok(Replaced::new(aside, old)),
        }
    }

    /// Removes it.
    ///
    /// # Errors
    ///
    /// Where that cannot be done; what is left of it goes with the next run to the same place.
    pub fn remove(mut self) -> io::Result<()> {
        self.folder = None;
        files::remove_folder_and_all(&self.path)
    }

    /// Leaves what stands at its path now where it is, and lets others lock the folder, which is in its place.
    fn disown(&mut self) {
        self.folder = None;
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.take()
            && is_at(&folder, &self.path)
        {
            // Closed first: what is to be removed must be opened for that, and files may be all a process has.
            drop(folder);
            let _ = files::remove_folder_and_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_that_is_dropped_leaves_nothing_and_removes_nothing_else() {
        let desk = tempfile::tempdir().unwrap();
        let folder = TemporaryFolder::create_in(desk.path(), OsStr::new("out")).unwrap();
        fs::write(folder.path().join("file"), "x").unwrap();
        drop(folder);
        assert_eq!(fs::read_dir(desk.path()).unwrap().count(), 0);
        // Another folder by its name is none of its business.
        let folder = TemporaryFolder::create_in(desk.path(), OsStr::new("out")).unwrap();
        let path = folder.path().to_owned();
        fs::rename(&path, desk.path().join("elsewhere")).unwrap();
        fs::create_dir(&path).unwrap();
        drop(folder);
        assert_eq!(fs::read_dir(desk.path()).unwrap().count(), 2);
    }
}
