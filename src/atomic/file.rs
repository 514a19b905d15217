//! Where a file may be written, and how it gets there in one step.

use std::fs::Permissions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::files;

use super::durability::sync_change;
use super::folder::{or_here, refuse_deleted_here};
use super::temporary_file::{TemporaryFile, remove_abandoned};
use super::{Durability, Error, Problem};

/// A place where a file may be written, checked before anything is computed.
#[derive(Debug)]
pub struct FileDestination {
    path: PathBuf,
    folder: PathBuf,
    /// Whether a file there is to be replaced.
    may_replace: bool,
    /// The permissions of the one that is.
    replaced: Option<Permissions>,
}

impl FileDestination {
    /// Checks that a file may be written at `path`, which must be a regular file, with `replace`, or not exist.
    ///
    /// # Errors
    ///
    /// Where something stands in the way: a file without `replace`, a link, folder or device, a missing folder.
    pub fn check(path: &Path, replace: bool) -> Result<Self, Error> {
        Self::try_check(path, replace).map_err(|problem| problem.of(path))
    }

    fn try_check(path: &Path, replace: bool) -> Result<Self, Problem> {
        let ends_in_slash = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let folder = match (path.file_name(), path.parent()) {
            (Some(_), Some(parent)) if !ends_in_slash => parent,
            _ => return Err(Problem::Folder),
        };
        let folder = or_here(Some(folder)).to_owned();
        refuse_deleted_here(path)?;
        match files::target(&folder).map_err(Problem::Unwritable)? {
            None => return Err(Problem::FolderMissing(folder)),
            Some(status) if !status.is_dir() => return Err(Problem::NotInFolder(folder)),
            Some(_) => {}
        }
        let replaced = match files::entry(path).map_err(Problem::Unwritable)? {
            Some(status) if status.is_symlink() => return Err(Problem::linked(path)),
            Some(status) if status.is_dir() => return Err(Problem::Folder),
            Some(status) if !status.is_file() => return Err(Problem::Special),
            Some(_) if !replace => return Err(Problem::Exists),
            Some(status) => Some(status.permissions()),
            None => None,
        };
        Ok(Self {
            path: path.to_owned(),
            folder,
            may_replace: replace,
            replaced,
        })
    }

    /// Where the file goes.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a whole file, which appears complete or not at all.
    ///
    /// # Errors
    ///
    /// Where the folder cannot be written to or the disk is full.
    pub fn write(&self, bytes: &[u8], durability: Durability) -> Result<(), Error> {
        let written = self.temporary_file().and_then(|file| {
            file.as_file().write_all(bytes)?;
            Ok(file)
        });
        written
            .map_err(Problem::writing)
            .and_then(|file| self.put_in_place(file, durability))
            .map_err(|problem| problem.of(&self.path))
    }

    /// A file in the destination's folder, with the mode that the destination is to have. What killed runs have left of others
    /// like it there is removed.
    pub(crate) fn temporary_file(&self) -> io::Result<TemporaryFile> {
        remove_abandoned(&self.folder);
        let file = TemporaryFile::create(&self.folder)?;
        if let Some(permissions) = &self.replaced {
            file.as_file().set_permissions(permissions.clone())?;
        }
        Ok(file)
    }

    /// Makes the file the destination in one step, after and before which the disk holds what it should.
    pub(crate) fn put_in_place(
        &self,
        file: TemporaryFile,
        durability: Durability,
    ) -> Result<(), Problem> {
        durability.sync(file.as_file())?;
        let folder = durability.open(&self.folder)?;
        if self.may_replace {
            file.replace(&self.path).map_err(Problem::writing)?;
        } else {
            file.put_at_new(&self.path)
                .map_err(Problem::putting_at_new)?;
        }
        sync_change(folder).map_err(Problem::Unsynced)
    }
}
