//! Removing a folder that was replaced, without losing what other programs wrote to it meanwhile.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::files::{self, Identity};

use super::claim::Claim;
use super::inventory::{Entry, Inventory};
use super::{FolderDestination, Warning};

/// Attempts to remove a folder to which others write, or which another run also removes.
const ATTEMPTS: usize = 100;

/// A folder that was replaced by another.
#[derive(Debug)]
pub(crate) struct Replaced {
    claim: Claim,
    inventory: Inventory,
}

impl Replaced {
    pub(super) fn new(claim: Claim, inventory: Inventory) -> Self {
        Self { claim, inventory }
    }

    /// The entries that the new folder accounts for, to which more may be added.
    pub fn inventory(&mut self) -> &mut Inventory {
        &mut self.inventory
    }

    /// Its current path.
    pub fn path(&self) -> PathBuf {
        self.claim.aside()
    }

    /// Leaves it there, and returns a warning that says so.
    pub fn left(mut self, error: io::Error) -> Warning {
        let folder = self.path();
        self.claim.keep();
        Warning::OldRemains { folder, error }
    }

    /// Removes it. Entries that were added or replaced after the inventory was made are moved to the new folder. If that has a
    /// different version too, they stay, and the returned warning says so.
    pub fn remove(self, place: &FolderDestination) -> Option<Warning> {
        let error = Self::try_remove(&self.claim, place, &self.inventory).err()?;
        Some(self.left(error))
    }

    /// As [`Replaced::remove`], for the folder that the run with this claim replaced.
    pub(super) fn try_remove(
        claim: &Claim,
        place: &FolderDestination,
        inventory: &Inventory,
    ) -> io::Result<()> {
        let (old, trash) = (claim.aside(), claim.draft());
        // Entries are moved to the trash before they are removed, so that a file that another program writes to the old
        // folder at this moment is not removed with them.
        files::create_folder(&trash)?;
        let mut pass = RemovalPass {
            old: &old,
            new: place.path(),
            trash: &trash,
            device: None,
            moved: 0,
            inventory,
        };
        let mut attempt = 0;
        loop {
            attempt += 1;
            let removed = pass
                .remove_contents(Path::new(""))
                .and_then(|()| files::remove_folder(&old));
            match removed {
                Ok(()) => break,
                // Another run is also removing it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if files::entry(&old)?.is_none() {
                        break;
                    }
                    if attempt == ATTEMPTS {
                        return Err(error);
                    }
                }
                // Another program has added an entry.
                Err(error)
                    if error.kind() == io::ErrorKind::DirectoryNotEmpty && attempt < ATTEMPTS => {}
                Err(error) => {
                    let _ = files::remove_folder_and_all(&trash);
                    return Err(error);
                }
            }
        }
        match files::remove_folder_and_all(&trash) {
            // NFS only renames removed files while they are open; the next run removes those.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            removed => removed,
        }
    }

    /// Leaves it, as a killed run does.
    #[cfg(test)]
    pub fn forget(mut self) {
        self.claim.keep();
    }
}

/// One pass through a replaced folder.
struct RemovalPass<'a> {
    old: &'a Path,
    new: &'a Path,
    trash: &'a Path,
    /// The disk that the folder is on.
    device: Option<u64>,
    /// Number of entries in the trash, whose names there count up from 0.
    moved: usize,
    inventory: &'a Inventory,
}

impl RemovalPass<'_> {
    fn remove_contents(&mut self, folder: &Path) -> io::Result<()> {
        let path = self.old.join(folder);
        let status = files::entry(&path)?.ok_or(io::ErrorKind::NotFound)?;
        if *self.device.get_or_insert(status.dev()) != status.dev() {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        // If one entry fails, the others are still removed.
        let mut failed = Ok(());
        for name in files::names(&path)? {
            let removed = self.remove_entry(&folder.join(name));
            failed = failed.and(removed);
        }
        failed
    }

    fn remove_entry(&mut self, entry: &Path) -> io::Result<()> {
        let (from, to) = (self.old.join(entry), self.new.join(entry));
        let Some(own) = files::entry(&from)? else {
            return Ok(());
        };
        let there = files::entry(&to)?;
        if own.is_dir() {
            let has_folder = there.as_ref().is_some_and(Metadata::is_dir);
            if !has_folder && !self.inventory.has_folder(entry) {
                return match there {
                    None => self.move_to_new(entry),
                    Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
                };
            }
            self.remove_contents(entry)?;
            return files::remove_folder(&from);
        }
        match (self.inventory.get(entry), there) {
            (Some(known), _) if known.accounts_for(&own) => self.move_to_trash(entry, known, &own),
            (_, None) => self.move_to_new(entry),
            (Some(known), Some(there)) if known.is_taken_over(&there) => files::rename(&from, &to),
            _ => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    /// Moves an entry to the trash.
    fn move_to_trash(&mut self, entry: &Path, known: Entry, own: &Metadata) -> io::Result<()> {
        let trash = self.trash.join(self.moved.to_string());
        self.moved += 1;
        files::rename(&self.old.join(entry), &trash)?;
        let moved = files::entry(&trash)?;
        let is_same = moved.is_some_and(|moved| Identity::of(&moved) == Identity::of(own));
        if is_same || matches!(known, Entry::Replaced) {
            return Ok(());
        }
        // Another file took its name between the two calls: put it back for the next attempt.
        files::rename(&trash, &self.old.join(entry))?;
        Err(io::ErrorKind::DirectoryNotEmpty.into())
    }

    /// Moves a file or folder to the new folder, in which its name is free.
    fn move_to_new(&mut self, entry: &Path) -> io::Result<()> {
        let to = self.new.join(entry);
        if let Some(folder) = to.parent() {
            files::create_folders(folder)?;
        }
        files::rename(&self.old.join(entry), &to)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::super::{Durability, Keeper};
    use super::*;
    use crate::files::Version;

    /// What is under a folder, as `path: contents`.
    fn all(folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for name in files::names(folder).unwrap() {
            let path = folder.join(&name);
            let name = name.to_str().unwrap();
            if path.is_symlink() {
                found.push(format!(
                    "{name} -> {}",
                    fs::read_link(&path).unwrap().display()
                ));
            } else if path.is_dir() {
                found.extend(all(&path).iter().map(|inner| format!("{name}/{inner}")));
            } else {
                found.push(format!("{name}: {}", fs::read_to_string(&path).unwrap()));
            }
        }
        found.sort();
        found
    }

    /// A folder, the one that replaces it with everything but `shard` taken over, and the inventory.
    struct Desk {
        desk: tempfile::TempDir,
        old: PathBuf,
        place: FolderDestination,
        replaced: Option<Replaced>,
    }

    impl Desk {
        fn new() -> Self {
            let desk = tempfile::tempdir().unwrap();
            let place = FolderDestination::of(&desk.path().join("new")).unwrap();
            let claim = Claim::new(place.parent(), place.name()).unwrap();
            let old = claim.aside();
            fs::create_dir_all(old.join("sub/deep")).unwrap();
            fs::create_dir(place.path()).unwrap();
            fs::write(old.join("shard"), "old").unwrap();
            fs::write(place.path().join("shard"), "new").unwrap();
            fs::write(old.join("file"), "1").unwrap();
            fs::write(old.join("sub/deep/file"), "2").unwrap();
            symlink("nowhere", old.join("link")).unwrap();
            let mut inventory = Inventory::default();
            let shard = Version::of(&fs::metadata(old.join("shard")).unwrap());
            inventory.add("shard".into(), Entry::ReplacedVersion(shard));
            Keeper::new(&old, place.path(), Durability::Synced, &mut inventory)
                .unwrap()
                .keep_all()
                .unwrap();
            Self {
                desk,
                old,
                place,
                replaced: Some(Replaced::new(claim, inventory)),
            }
        }

        fn remove(&mut self) -> Option<Warning> {
            self.replaced.take().unwrap().remove(&self.place)
        }

        /// The number of entries beside the new folder.
        fn beside(&self) -> usize {
            fs::read_dir(self.desk.path()).unwrap().count() - 1
        }
    }

    #[test]
    fn everything_is_taken_over_and_then_what_came_late() {
        let mut desk = Desk::new();
        let (old, new) = (&desk.old.clone(), &desk.place.path().to_owned());
        let taken = [
            "file: 1",
            "link -> nowhere",
            "shard: new",
            "sub/deep/file: 2",
        ];
        assert_eq!(all(new), taken);
        assert_eq!(fs::metadata(new.join("file")).unwrap().nlink(), 2);

        // Other programs write, replace and add files meanwhile.
        fs::write(old.join("file"), "written").unwrap();
        fs::write(old.join("sub/fresh"), "replaced").unwrap();
        fs::rename(old.join("sub/fresh"), old.join("sub/deep/file")).unwrap();
        fs::write(old.join("sub/added"), "3").unwrap();
        fs::create_dir(old.join("more")).unwrap();
        fs::write(old.join("more/added"), "4").unwrap();
        assert!(desk.remove().is_none());
        assert_eq!(desk.beside(), 0);
        assert_eq!(
            all(new),
            [
                "file: written",
                "link -> nowhere",
                "more/added: 4",
                "shard: new",
                "sub/added: 3",
                "sub/deep/file: replaced"
            ]
        );
    }

    #[test]
    fn of_two_later_versions_both_stay() {
        let mut desk = Desk::new();
        let (old, new) = (&desk.old.clone(), &desk.place.path().to_owned());
        for (folder, text) in [(&**old, "in the old"), (new, "in the new")] {
            fs::write(folder.join("fresh"), text).unwrap();
            fs::rename(folder.join("fresh"), folder.join("file")).unwrap();
        }
        let warning = desk.remove();
        assert!(
            matches!(&warning, Some(Warning::OldRemains { folder, .. }) if folder == old),
            "{warning:?}"
        );
        assert_eq!(all(old), ["file: in the old"]);
        assert_eq!(fs::read(new.join("file")).unwrap(), b"in the new");
        assert_eq!(desk.beside(), 2);
    }

    #[test]
    fn a_shard_that_another_program_wrote_anew_stays() {
        let mut desk = Desk::new();
        fs::write(desk.old.join("shard"), "the next epoch").unwrap();
        assert!(matches!(desk.remove(), Some(Warning::OldRemains { .. })));
        assert_eq!(all(&desk.old), ["shard: the next epoch"]);
        assert_eq!(fs::read(desk.place.path().join("shard")).unwrap(), b"new");
    }

    #[test]
    fn what_was_replaced_in_the_new_folder_since_stays() {
        let mut desk = Desk::new();
        let new = &desk.place.path().to_owned();
        fs::write(new.join("fresh"), "since").unwrap();
        fs::rename(new.join("fresh"), new.join("file")).unwrap();
        fs::remove_file(new.join("sub/deep/file")).unwrap();
        assert!(desk.remove().is_none());
        assert_eq!(all(new), ["file: since", "link -> nowhere", "shard: new"]);
    }

    #[test]
    fn a_folder_that_another_run_removes_too_is_nothing_to_warn_of() {
        let mut desk = Desk::new();
        fs::remove_dir_all(&desk.old).unwrap();
        assert!(desk.remove().is_none());
        assert_eq!(desk.beside(), 0);
    }
}
