//! Folders that have a temporary name until they are complete.

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
use super::{Durability, FolderDestination, Problem, Warning};

/// A new folder beside its destination, removed if it is dropped before it is put there.
#[derive(Debug)]
pub(crate) struct TemporaryFolder {
    path: PathBuf,
    /// The open folder; `None` once it is in place.
    folder: Option<File>,
    /// `None` once it has replaced another.
    claim: Option<Claim>,
    /// Leftovers of killed runs beside the destination that may hold the only copy of a file.
    left: Vec<PathBuf>,
}

impl TemporaryFolder {
    /// Creates a folder beside its destination, and removes the leftovers of killed runs there.
    pub fn create(place: &FolderDestination) -> io::Result<Self> {
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

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn as_file(&self) -> &File {
        self.folder.as_ref().expect("a draft is held open")
    }

    /// Warnings that name the leftovers of killed runs beside its destination.
    pub fn warnings(&self, place: &FolderDestination) -> Vec<Warning> {
        let warning = |folder: &PathBuf| Warning::LeftByKilledRun {
            folder: folder.clone(),
            place: place.path().to_owned(),
        };
        self.left.iter().map(warning).collect()
    }

    /// Puts it in place in one step.
    ///
    /// # Errors
    ///
    /// [`Problem::Exists`] if the destination is not free; others if the parent folder cannot be written to or synced.
    pub fn put_at_new(
        &mut self,
        place: &FolderDestination,
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

    /// Replaces the folder at its destination in one step. The inventory lists the entries of that folder that this one
    /// accounts for.
    ///
    /// # Errors
    ///
    /// If no folder is there, or the parent folder cannot be written to or synced.
    pub fn replace(
        &mut self,
        place: &FolderDestination,
        inventory: Inventory,
        durability: Durability,
    ) -> Result<Replaced, Problem> {
        // Before anything changes, so that a folder that cannot be opened fails first.
        let parent = durability.open(place.parent())?;
        let claim = self.claim.as_ref().expect("a draft has a claim");
        let aside = claim.aside();
        let own = files::status(self.as_file()).map_err(Problem::writing)?;
        claim
            .write(Identity::of(&own), &inventory)
            .map_err(Problem::writing)?;
        if let Err(problem) = exchange::replace(self.as_file(), &self.path, place.path(), &aside) {
            if matches!(problem, Problem::Stranded { .. }) {
                // The next run finds the draft, and so knows to put the old folder back.
                self.claim.as_mut().map(Claim::keep);
                self.folder = None;
            }
            return Err(problem);
        }
        self.folder = None;
        let claim = self.claim.take().expect("a draft has a claim");
        match sync_change(parent) {
            Ok(()) => Ok(Replaced::new(claim, inventory)),
            // A power cut may undo the replacement, so the old folder must not be removed. Without the claim, the next run
            // leaves it too.
            Err(error) => Err(Problem::UnsyncedOver { error, aside }),
        }
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.take()
            && is_at(&folder, &self.path)
        {
            // Removing it needs a file descriptor, and this may be the last that is available.
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
        let place = FolderDestination::of(&desk.path().join("out")).unwrap();
        let folder = TemporaryFolder::create(&place).unwrap();
        fs::write(folder.path().join("file"), "x").unwrap();
        drop(folder);
        assert_eq!(fs::read_dir(desk.path()).unwrap().count(), 0);
        // Another folder of the same name is not removed.
        let folder = TemporaryFolder::create(&place).unwrap();
        let path = folder.path().to_owned();
        fs::rename(&path, desk.path().join("elsewhere")).unwrap();
        fs::create_dir(&path).unwrap();
        drop(folder);
        assert_eq!(fs::read_dir(desk.path()).unwrap().count(), 2);
    }
}
