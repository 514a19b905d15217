//! Calls to the file system, shared by all modules.
//!
//! Two rules hold for all of them. A call that a signal interrupts is repeated (network and FUSE file systems return `EINTR` where
//! a local one does not). And only "not found" means that nothing is there; after any other error that is unknown.
//!
//! Open files are read and written by the standard library, which repeats these calls itself, except for
//! [`Read::read`](std::io::Read::read), [`Path::is_file`] and the like, and [`fs::create_dir_all`].

mod copy;
mod identity;

use std::ffi::OsString;
use std::fs::{self, File, FileType, Metadata, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

pub(crate) use copy::{CopyError, copy_to_new};
pub(crate) use identity::{Identity, Version, is_at, lead_to_same, leads_to};

/// Repeats a call for as long as a signal interrupts it.
pub(crate) fn retried<R>(mut call: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// `None` for what is not there.
fn if_there<R>(answer: io::Result<R>) -> io::Result<Option<R>> {
    match answer {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        answer => answer.map(Some),
    }
}

/// The metadata of an entry, without following a link; `None` if there is none.
pub(crate) fn entry(path: &Path) -> io::Result<Option<Metadata>> {
    if_there(retried(|| fs::symlink_metadata(path)))
}

/// The metadata of what a path leads to, following links; `None` if that does not exist.
pub(crate) fn target(path: &Path) -> io::Result<Option<Metadata>> {
    if_there(retried(|| fs::metadata(path)))
}

/// The metadata of an open file.
pub(crate) fn status(file: &File) -> io::Result<Metadata> {
    retried(|| file.metadata())
}

/// Whether a path leads to a folder.
pub(crate) fn is_folder(path: &Path) -> io::Result<bool> {
    Ok(target(path)?.is_some_and(|status| status.is_dir()))
}

/// The names of a folder's entries.
pub(crate) fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    // An interrupted listing starts over: the standard library ends it there.
    retried(|| {
        fs::read_dir(folder)?
            .map(|entry| Ok(entry?.file_name()))
            .collect()
    })
}

/// The names of a folder's entries, and of which type each is; a link's own type.
pub(crate) fn entries(folder: &Path) -> io::Result<Vec<(OsString, FileType)>> {
    retried(|| {
        let entries = fs::read_dir(folder)?.map(|entry| {
            let entry = entry?;
            match entry.file_type() {
                Ok(file_type) => Ok(Some((entry.file_name(), file_type))),
                // It is gone again.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        });
        entries.filter_map(io::Result::transpose).collect()
    })
}

/// The path without links and `.` and `..`.
pub(crate) fn canonical(path: &Path) -> io::Result<PathBuf> {
    retried(|| path.canonicalize())
}

/// Renames an entry, replacing a file that has the new name.
///
/// A file server may have done it and its answer may have been lost: what counts is where the entry is.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match retried(|| fs::rename(from, to)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound && has_moved(from, to) => Ok(()),
        renamed => renamed,
    }
}

fn has_moved(from: &Path, to: &Path) -> bool {
    matches!((entry(from), entry(to)), (Ok(None), Ok(Some(_))))
}

/// Gives a file another name, which must be free.
pub(crate) fn hard_link(from: &Path, to: &Path) -> io::Result<()> {
    retried(|| fs::hard_link(from, to))
}

/// Makes a folder; the path must be free.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    retried(|| fs::create_dir(path))
}

/// Makes a folder unless one is there, and says whether it did.
///
/// # Errors
///
/// [`io::ErrorKind::NotFound`] also if another run makes the folder and removes it again in the same moment.
pub(crate) fn ensure_folder(path: &Path) -> io::Result<bool> {
    match create_folder(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match entry(path)? {
            Some(status) if status.is_dir() => Ok(false),
            Some(_) if is_folder(path)? => Ok(false),
            Some(_) => Err(error),
            None => Err(io::ErrorKind::NotFound.into()),
        },
        created => created.map(|()| true),
    }
}

/// Makes a folder and its missing parents.
pub(crate) fn create_folders(path: &Path) -> io::Result<()> {
    for folder in missing_folders(path)? {
        ensure_folder(folder)?;
    }
    Ok(())
}

/// The ones that do not exist among a folder and its parents, outermost first.
pub(crate) fn missing_folders(path: &Path) -> io::Result<Vec<&Path>> {
    let mut missing = Vec::new();
    for folder in path.ancestors() {
        // The current folder has no name.
        if folder.as_os_str().is_empty() || is_folder(folder)? {
            break;
        }
        missing.push(folder);
    }
    missing.reverse();
    Ok(missing)
}

pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    retried(|| fs::remove_file(path))
}

/// Removes an empty folder.
pub(crate) fn remove_folder(path: &Path) -> io::Result<()> {
    retried(|| fs::remove_dir(path))
}

/// Removes a folder with its contents.
pub(crate) fn remove_folder_and_all(path: &Path) -> io::Result<()> {
    retried(|| fs::remove_dir_all(path))
}

/// Whether a call failed because too many files are open, in this process or in all.
pub(crate) fn are_too_many_open(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::MFILE, Errno::NFILE])
}

/// Whether a call was answered with one of these.
pub(crate) fn is_one_of(error: &io::Error, answers: &[Errno]) -> bool {
    Errno::from_io_error(error).is_some_and(|answer| answers.contains(&answer))
}

/// Makes an empty file share all blocks of another, if the file system can; returns whether it did.
#[cfg(target_os = "linux")]
pub(crate) fn share_blocks(from: &File, to: &File) -> bool {
    retried(|| Ok(rustix::fs::ioctl_ficlone(to, from)?)).is_ok()
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn share_blocks(_: &File, _: &File) -> bool {
    false
}

/// Locks an open file for as long as it is open; returns whether another process holds the lock already, or `None` if the file
/// system has no locks.
pub(crate) fn is_locked(file: &File) -> Option<bool> {
    let locked = retried(|| match file.try_lock() {
        Ok(()) => Ok(Some(false)),
        Err(TryLockError::WouldBlock) => Ok(Some(true)),
        Err(TryLockError::Error(error)) => Err(error),
    });
    locked.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_a_signal_cut_short_is_made_again() {
        let mut calls = 0;
        let done = retried(|| {
            calls += 1;
            match calls {
                1 | 2 => Err(io::ErrorKind::Interrupted.into()),
                _ => Ok(calls),
            }
        });
        assert_eq!(done.unwrap(), 3);
        let failed = retried(|| Err::<(), _>(io::ErrorKind::NotFound.into()));
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn only_what_is_not_found_is_not_there() {
        let desk = tempfile::tempdir().unwrap();
        let file = desk.path().join("file");
        assert!(entry(&file).unwrap().is_none() && target(&file).unwrap().is_none());
        fs::write(&file, "").unwrap();
        assert!(entry(&file).unwrap().is_some() && !is_folder(&file).unwrap());
        // Below a file nothing can be, but that is not what the system was asked.
        assert!(entry(&file.join("below")).is_err() && is_folder(&file.join("below")).is_err());
        let link = desk.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert!(entry(&link).unwrap().is_some() && target(&link).unwrap().is_none());
        let mut found = names(desk.path()).unwrap();
        found.sort();
        assert_eq!(found, ["file", "link"]);
    }
}
