//! A folder that has another name until it is complete, and what remains of such folders of killed runs.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Durability, FolderPlace, Problem, Warning, exchange};

/// The mode of a fresh folder before the umask, as other programs create theirs.
const MODE: u32 = 0o777;

/// Attempts to make a folder that no other run takes for one of a dead run's in the moment before it is locked.
const ATTEMPTS: usize = 100;

/// How the name of a folder in the making ends.
const UNFINISHED: &str = ".tmp";

/// How the name of a folder ends that was moved out of the way for the moment in which another takes its place.
const ASIDE: &str = ".old";

/// A new folder beside the one it is to become, gone if it is dropped before.
///
/// It is locked while its maker lives, so that others can tell what a killed run has left behind, and clean up. File systems
/// that cannot lock folders, such as NFS, keep such remains.
#[derive(Debug)]
pub(crate) struct TemporaryFolder {
    folder: TempDir,
    /// Held open for its lock.
    lock: File,
}

impl TemporaryFolder {
    /// Creates a folder beside its place, and removes what killed runs have left of others like it.
    pub fn create(place: &FolderPlace) -> io::Result<Self> {
        remove_leftovers(place.parent(), place.name());
        Self::create_in(place.parent(), place.name())
    }

    /// Creates a folder in `parent` that is to be called `name`.
    fn create_in(parent: &Path, name: &OsStr) -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            let folder = tempfile::Builder::new()
                .prefix(&prefix(name))
                .suffix(UNFINISHED)
                .permissions(Permissions::from_mode(MODE))
                .tempdir_in(parent)
                // Without the hidden name that comes with it.
                .map_err(|error| io::Error::from(error.kind()))?;
            let Ok(handle) = File::open(folder.path()) else {
                continue;
            };
            if is_locked(&handle) != Some(true) && is_at(&handle, folder.path()) {
                return Ok(Self {
                    folder,
                    lock: handle,
                });
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Opens the folder itself.
    pub fn open(&self) -> io::Result<File> {
        File::open(self.path())
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
        durability.change_in(place.parent(), || {
            exchange::put_at_new(self.path(), place.path()).map_err(Problem::putting_at_new)?;
            self.disown();
            Ok(())
        })
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
        durability.change_in(place.parent(), || {
            // So that no other run takes the old folder for a dead run's before this one is done with it.
            let mut old = File::open(place.path()).map_err(Problem::writing)?;
            let _ = is_locked(&old);
            let folder = exchange::replace(self.path(), place.path(), self.aside())
                .map_err(Problem::writing)?;
            // What another run has put there in this moment, and holds no more.
            if !is_at(&old, &folder)
                && let Ok(there) = File::open(&folder)
            {
                let _ = is_locked(&there);
                old = there;
            }
            self.disown();
            Ok(Replaced { folder, _lock: old })
        })
    }

    /// A free name beside it, for what it replaces.
    fn aside(&self) -> PathBuf {
        self.path().with_extension(&ASIDE[1..])
    }

    /// Leaves what stands at its path now where it is, and lets others lock the folder, which is in its place.
    fn disown(&mut self) {
        self.folder.disable_cleanup(true);
        let _ = self.lock.unlock();
    }
}

/// A folder that another has taken the place of.
#[derive(Debug)]
pub(crate) struct Replaced {
    folder: PathBuf,
    /// Held open for its lock.
    _lock: File,
}

impl Replaced {
    /// Removes it, once `save` has taken out of it what is to stay. What the user should know of it.
    pub fn remove(self, mut save: impl FnMut(&Path) -> io::Result<()>) -> Option<Warning> {
        let mut remove = || save(&self.folder).and_then(|()| fs::remove_dir_all(&self.folder));
        let mut error = remove().err()?;
        for _ in 0..ATTEMPTS {
            if fs::symlink_metadata(&self.folder).is_err() {
                return None;
            }
            if error.kind() != io::ErrorKind::NotFound {
                break;
            }
            // Another run removes it, too.
            error = remove().err()?;
        }
        let folder = self.folder;
        Some(Warning::OldRemains { folder, error })
    }
}

/// Locks a folder for as long as it is held open: whether another has locked it already; `None` where it cannot be known.
fn is_locked(folder: &File) -> Option<bool> {
    match folder.try_lock() {
        Ok(()) => Some(false),
        Err(TryLockError::WouldBlock) => Some(true),
        Err(TryLockError::Error(_)) => None,
    }
}

/// Removes what runs that were killed have left behind on their way to `name`. What cannot be removed stays.
fn remove_leftovers(parent: &Path, name: &OsStr) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        match end_of(&entry.file_name(), name) {
            Some(UNFINISHED) => {}
            // Where the folder itself is missing, this is all that is left of it.
            Some(ASIDE) if parent.join(name).is_dir() => {}
            _ => continue,
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Ok(folder) = File::open(entry.path())
            && is_locked(&folder) == Some(false)
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// `.NAME.inmerge-`
fn prefix(name: &OsStr) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".inmerge-");
    prefix
}

/// How the name of a temporary folder on its way to `name` ends; `None` where it is of another kind.
fn end_of(found: &OsStr, name: &OsStr) -> Option<&'static str> {
    let rest = found
        .as_encoded_bytes()
        .strip_prefix(prefix(name).as_encoded_bytes())?;
    let is_random = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_alphanumeric);
    [UNFINISHED, ASIDE]
        .into_iter()
        .find(|end| rest.strip_suffix(end.as_bytes()).is_some_and(is_random))
}

fn is_at(folder: &File, path: &Path) -> bool {
    match (folder.metadata(), fs::symlink_metadata(path)) {
        (Ok(own), Ok(other)) => (own.dev(), own.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_that_another_run_removes_too_is_nothing_to_warn_of() {
        let desk = tempfile::tempdir().unwrap();
        let replaced = |name: &str| {
            let folder = desk.path().join(name);
            fs::create_dir(&folder).unwrap();
            let _lock = File::open(&folder).unwrap();
            Replaced { folder, _lock }
        };
        let mut turns = 0;
        let warning = replaced("going").remove(|_| {
            turns += 1;
            match turns {
                1 => Err(io::ErrorKind::NotFound.into()),
                _ => Ok(()),
            }
        });
        assert!(warning.is_none() && !desk.path().join("going").exists());
        let warning = replaced("gone").remove(|folder| {
            fs::remove_dir(folder)?;
            Err(io::ErrorKind::NotFound.into())
        });
        assert!(warning.is_none());
        let denied = replaced("kept").remove(|_| Err(io::ErrorKind::PermissionDenied.into()));
        assert!(
            matches!(denied, Some(Warning::OldRemains { folder, .. }) if folder.ends_with("kept"))
        );
    }

    #[test]
    fn only_what_dead_runs_left_on_their_way_to_the_same_name_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let parent = folder.path();
        let kept = [
            ".other.inmerge-abc123.tmp",
            ".out.inmerge-abc.inmerge-abc123.tmp",
            ".out.inmerge-.tmp",
            ".out.inmerge-abc123.old",
            "out.inmerge-abc123.tmp",
        ];
        for name in kept {
            fs::create_dir(parent.join(name)).unwrap();
        }
        let living = TemporaryFolder::create_in(parent, OsStr::new("out")).unwrap();
        let dead = parent.join(".out.inmerge-abc123.tmp");
        fs::create_dir_all(dead.join("inner")).unwrap();
        fs::write(dead.join("inner/file"), "x").unwrap();
        remove_leftovers(parent, OsStr::new("out"));
        assert!(!dead.exists());
        assert!(living.path().exists());
        drop(living);
        let mut kept = kept.map(str::to_owned).to_vec();
        kept.sort();
        assert_eq!(names(parent), kept);

        // Once the folder itself is there again, what it replaced may go.
        fs::create_dir(parent.join("out")).unwrap();
        remove_leftovers(parent, OsStr::new("out"));
        assert!(!parent.join(".out.inmerge-abc123.old").exists());
    }
}
