//! The destination of a folder: a name in its parent folder.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::files::{self, retried};

use super::Problem;

/// A path at which a folder can be put in place, because it ends in the folder's own name.
#[derive(Debug)]
pub(crate) struct FolderDestination {
    path: PathBuf,
}

/// What exists at a destination.
#[derive(Debug)]
pub(crate) enum Existing {
    Nothing,
    Folder(Metadata),
    File,
    /// A device, a pipe or a socket.
    Special,
}

impl FolderDestination {
    /// The destination at a path.
    ///
    /// # Errors
    ///
    /// If the path does not end in a name, as `..` and `/` do not, or is relative to a current folder that was deleted.
    pub fn of(path: &Path) -> Result<Self, Problem> {
        let Some(name) = path.file_name() else {
            return Err(Problem::Nameless);
        };
        refuse_deleted_here(path)?;
        // Drops a trailing slash, which would follow a link.
        Ok(Self {
            path: or_here(path.parent()).join(name),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that contains it.
    pub fn parent(&self) -> &Path {
        or_here(self.path.parent())
    }

    /// Its name in the parent folder.
    pub fn name(&self) -> &OsStr {
        self.path.file_name().expect("a destination has a name")
    }

    /// What exists there now.
    ///
    /// # Errors
    ///
    /// If it is a link, or its metadata cannot be read.
    pub fn existing(&self) -> Result<Existing, Problem> {
        let Some(status) = files::entry(&self.path).map_err(Problem::Unwritable)? else {
            return Ok(Existing::Nothing);
        };
        match status {
            status if status.is_symlink() => Err(Problem::linked(&self.path)),
            status if status.is_dir() => Ok(Existing::Folder(status)),
            status if status.is_file() => Ok(Existing::File),
            _ => Ok(Existing::Special),
        }
    }

    /// Refuses a folder that is a mount point, given its metadata.
    pub fn refuse_mount(&self, folder: &Metadata) -> Result<(), Problem> {
        let parent = retried(|| fs::metadata(self.parent())).map_err(Problem::Unwritable)?;
        if folder.dev() == parent.dev() && !is_mount_root(&self.path) {
            Ok(())
        } else {
            Err(Problem::Mount)
        }
    }
}

/// Whether a folder is known to be a mount point, including bind mounts from the same disk.
#[cfg(target_os = "linux")]
fn is_mount_root(folder: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    statx(CWD, folder, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())
        .is_ok_and(|status| status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(not(target_os = "linux"))]
fn is_mount_root(_: &Path) -> bool {
    false
}

/// A parent folder, or `.` if it is missing or empty, as that of a bare name is.
pub(crate) fn or_here(folder: Option<&Path>) -> &Path {
    folder
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Refuses a relative path if the current folder was deleted: it can still be read, but nothing can be created in it.
pub(crate) fn refuse_deleted_here(path: &Path) -> Result<(), Problem> {
    let is_gone = || env::current_dir().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    if path.is_relative() && is_gone() {
        Err(Problem::HereGone)
    } else {
        Ok(())
    }
}
