//! Writing a file in one step, to a destination that was checked beforehand.

use std::fs::Permissions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::files;

use super::durability::sync_change;
use super::folder::{or_here, refuse_deleted_here};
use super::temporary_file::{TemporaryFile, remove_abandoned};
use super::{Durability, Error, Problem};

/// A path where a file may be written, checked before anything is computed.
#[derive(Debug)]
pub struct FileDestination {
    path: PathBuf,
    folder: PathBuf,
    /// Whether a file that exists may be replaced.
    may_replace: bool,
    /// The permissions of the file that is replaced.
    replaced: Option<Permissions>,
}

impl FileDestination {
    /// Checks that a file may be written at `path`, which must not exist or, with `replace`, must be a regular file.
    ///
    /// # Errors
    ///
    /// If `path` is a link, a folder, a device, or a file without `replace`, or its folder is missing.
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

    /// The path that was checked.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the file, which appears complete or not at all.
    ///
    /// # Errors
    ///
    /// If the folder cannot be written to or the disk is full.
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

    /// Creates a temporary file in the destination's folder, with the mode of the file that it replaces, and removes those that
    /// killed runs left there.
    pub(crate) fn temporary_file(&self) -> io::Result<TemporaryFile> {
        remove_abandoned(&self.folder);
        let file = TemporaryFile::create(&self.folder)?;
        if let Some(permissions) = &self.replaced {
            file.as_file().set_permissions(permissions.clone())?;
        }
        Ok(file)
    }

    /// Moves the temporary file to the destination in one step, and syncs it and its folder, if required.
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
