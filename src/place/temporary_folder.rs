//! A folder that has another name until it is complete.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::files::{self, Identity, is_at, retried};

use super::claim::Claim;
use super::durability::sync_change;
use super::exchange;
use super::inventory::Inventory;
use super::leftovers;
use super::replaced::Replaced;
use super::{Durability, FolderPlace, Problem, Warning};

/// A new folder beside the one it is to become, gone if it is dropped before.
#[derive(Debug)]
pub(crate) struct TemporaryFolder {
    path: PathBuf,
    /// The folder itself; `None` once it is in its place.
    folder: Option<File>,
    /// `None` once it has replaced another.
    claim: Option<Claim>,
    /// What runs that were killed have left beside the place, and may be all there is of something.
    left: Vec<PathBuf>,
}

impl TemporaryFolder {
    /// Creates a folder beside its place, and removes what killed runs have left of others like it.
    pub fn create(place: &FolderPlace) -> io::Result<Self> {
        let claim = Claim::new(place.parent(), place.name())?;
        let left = leftovers::clean(place);
        let path = claim.draft();
        files::create_folder(&path)?;
        let folder = retried(|| File::open(&path)).inspect_err(|_| {
            let _ = files::remove_folder(&path);
        })?;
        Ok(Self {
            path,
            folder: Some(folder),
            claim: Some(claim),
            left,
        })
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
            _ => self.folder = None,
        }
        sync_change(parent).map_err(Problem::Unsynced)
    }

    /// Puts it in the place of the folder there in one step, of which it answers for what the inventory says.
    ///
    /// # Errors
    ///
    /// Where none is there, or the folder around it cannot be written to or synced.
    pub fn replace(
        &mut self,
        place: &FolderPlace,
        inventory: Inventory,
        durability: Durability,
    ) -> Result<Replaced, Problem> {
        // Beforehand: a folder that cannot be opened is found out while nothing has happened.
        let parent = durability.open(place.parent())?;
        let claim = self.claim.as_ref().expect("a draft has a claim");
        let aside = claim.aside();
        let own = files::status(self.as_file()).map_err(Problem::writing)?;
        claim
            .write(Identity::of(&own), &inventory)
            .map_err(Problem::writing)?;
        if let Err(problem) = exchange::replace(self.as_file(), &self.path, place.path(), &aside) {
            if matches!(problem, Problem::Stranded { .. }) {
                // The next run puts it back.
                self.claim.as_mut().map(Claim::keep);
            }
            return Err(problem);
        }
        self.folder = None;
        let claim = self.claim.take().expect("a draft has a claim");
        match sync_change(parent) {
            Ok(()) => Ok(Replaced::new(claim, inventory)),
            // A power cut may bring the old folder back, which then must not be gone: without the claim, the next run leaves
            // it, too.
            Err(error) => Err(Problem::UnsyncedOver { error, aside }),
        }
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.take()
            && is_at(&folder, &self.path)
        {
            // Closed first: what is to be removed must be opened for that, and files may be all a process has.
            drop(folder);
            if files::remove_folder_and_all(&self.path).is_err()
                && let Some(claim) = &mut self.claim
            {
                claim.keep();
            }
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
        let place = FolderPlace::of(&desk.path().join("out")).unwrap();
        let folder = TemporaryFolder::create(&place).unwrap();
        fs::write(folder.path().join("file"), "x").unwrap();
        drop(folder);
        assert_eq!(fs::read_dir(desk.path()).unwrap().count(), 0);
        // Another folder by its name is none of its business.
        let folder = TemporaryFolder::create(&place).unwrap();
        let path = folder.path().to_owned();
        fs::rename(&path, desk.path().join("elsewhere")).unwrap();
        fs::create_dir(&path).unwrap();
        drop(folder);
        assert_eq!(fs::read_dir(desk.path()).unwrap().count(), 2);
    }
}
