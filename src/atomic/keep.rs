//! Taking entries over from a folder that is about to be replaced.
//!
//! Hard links are safe here: the old folder is removed, so no file keeps two names. They would not be between an input and an
//! output that both stay: programs that write a file in place, such as safetensors' `save_file`, would change both.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use crate::files::{self, CopyError, Identity, Version, copy_to_new, retried};

use super::inventory::{Entry, Inventory};
use super::{Durability, Problem, attributes};

/// Takes entries of `old` over into `new`, and adds them to the inventory.
#[derive(Debug)]
pub(crate) struct Keeper<'a> {
    old: &'a Path,
    new: &'a Path,
    /// The disk that `old` is on.
    device: u64,
    durability: Durability,
    inventory: &'a mut Inventory,
}

impl<'a> Keeper<'a> {
    /// Takes entries over from one folder to another.
    ///
    /// # Errors
    ///
    /// If the old folder's metadata cannot be read.
    pub fn new(
        old: &'a Path,
        new: &'a Path,
        durability: Durability,
        inventory: &'a mut Inventory,
    ) -> Result<Self, Problem> {
        let status = retried(|| fs::metadata(old)).map_err(not_kept(old))?;
        Ok(Self {
            old,
            new,
            device: status.dev(),
            durability,
            inventory,
        })
    }

    /// Takes every entry over, including subfolders. Files that the new folder already has stay.
    ///
    /// # Errors
    ///
    /// If an entry can be neither linked nor copied, another disk is mounted in the folder, or an entry and the new folder's
    /// entry of the same name are of different kinds.
    pub fn keep_all(&mut self) -> Result<(), Problem> {
        self.keep_entries(Path::new(""))
    }

    fn keep_entries(&mut self, folder: &Path) -> Result<(), Problem> {
        let from = self.old.join(folder);
        for name in files::names(&from).map_err(not_kept(&from))? {
            self.keep(&folder.join(name))?;
        }
        Ok(())
    }

    /// As [`Keeper::keep_all`], for the entry at this path within the folders.
    pub fn keep(&mut self, path: &Path) -> Result<(), Problem> {
        let (from, to) = (self.old.join(path), self.new.join(path));
        // It may be gone again, as another program's temporary file.
        let Some(status) = files::entry(&from).map_err(not_kept(&from))? else {
            return Ok(());
        };
        let namesake = files::entry(&to).map_err(Problem::writing)?;
        if !status.is_dir() {
            return match namesake {
                None => self.keep_file(path, &status),
                Some(new) if !new.is_dir() && (status.is_file() || status.is_symlink()) => Ok(()),
                Some(_) => Err(Problem::InTheWay(from)),
            };
        }
        if status.dev() != self.device {
            return Err(Problem::Mount);
        }
        match namesake {
            None => files::create_folder(&to).map_err(Problem::writing)?,
            Some(new) if new.is_dir() => {}
            Some(_) => return Err(Problem::InTheWay(from)),
        }
        self.inventory.add_folder(path);
        self.keep_entries(path)?;
        let folder = retried(|| File::open(&to)).map_err(Problem::writing)?;
        attributes::take_over(&folder, &status).map_err(Problem::writing)?;
        self.durability.sync(&folder)
    }

    /// Takes over an entry that is not a folder and that the new folder does not have: a symbolic link is copied, anything
    /// else gets a hard link.
    fn keep_file(&mut self, path: &Path, status: &Metadata) -> Result<(), Problem> {
        let (from, to) = (self.old.join(path), self.new.join(path));
        let entry = if status.is_symlink() {
            let target = retried(|| fs::read_link(&from)).map_err(not_kept(&from))?;
            retried(|| symlink(&target, &to)).map_err(Problem::writing)?;
            copied(status, &to)?
        } else {
            match files::hard_link(&from, &to) {
                Ok(()) => {
                    // Another program may have replaced the file since its status was read, so record the one that was linked.
                    let linked = files::entry(&to).and_then(|status| status.ok_or_else(gone));
                    Entry::Linked(Identity::of(&linked.map_err(Problem::writing)?))
                }
                Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                    return Err(Problem::Mount);
                }
                // Some file systems have no hard links, and not every user may link to any file.
                Err(error) if status.is_file() && cannot_link(&error) => {
                    self.copy(&from, &to)?;
                    copied(status, &to)?
                }
                Err(error) => return Err(not_kept(&from)(error)),
            }
        };
        self.inventory.add(path.to_owned(), entry);
        Ok(())
    }

    fn copy(&self, from: &Path, to: &Path) -> Result<(), Problem> {
        let source = File::open(from).map_err(not_kept(from))?;
        let copy = copy_to_new(&source, to).map_err(|error| match error {
            CopyError::Reading(error) => not_kept(from)(error),
            CopyError::Writing(error) => Problem::writing(error),
        })?;
        self.durability.sync(&copy)
    }
}

/// The inventory's entry for a copy.
fn copied(from: &Metadata, to: &Path) -> Result<Entry, Problem> {
    let copy = files::entry(to).and_then(|status| status.ok_or_else(gone));
    Ok(Entry::Copied {
        from: Version::of(from),
        to: Version::of(&copy.map_err(Problem::writing)?),
    })
}

/// Whether the file system has no hard links, or does not allow one to this file (link(2)).
fn cannot_link(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let answers = [
        Errno::PERM,
        Errno::ACCESS,
        Errno::MLINK,
        Errno::NOSYS,
        Errno::OPNOTSUPP,
        Errno::NOTSUP,
    ];
    files::is_one_of(error, &answers)
}

fn gone() -> io::Error {
    io::ErrorKind::NotFound.into()
}

fn not_kept(entry: &Path) -> impl FnOnce(io::Error) -> Problem + '_ {
    move |error| Problem::NotKept {
        entry: entry.to_owned(),
        error,
    }
}
