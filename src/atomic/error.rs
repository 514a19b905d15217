//! Errors of putting a file or a folder in place; each message names the path and the remedy.

use std::io;
use std::path::{Path, PathBuf};

use crate::files;

/// An output could not be put in place.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct Error {
    /// The path of the output.
    pub path: PathBuf,
    /// Why it could not.
    pub problem: Box<Problem>,
}

/// Why an output could not be put in place.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "every variant's message says what it means")]
pub enum Problem {
    #[error("exists already; use --force to replace it, or name another output")]
    Exists,
    #[error(
        "is a symbolic link; name what it points to, so that no link's target is replaced by surprise"
    )]
    Link,
    #[error("is a folder; name a file in it as the output")]
    Folder,
    #[error("is a device, a pipe or another special file; name a regular file as the output")]
    Special,
    #[error(
        "would go into the current folder, which was deleted; change to one that is there, or give the whole path of an output elsewhere"
    )]
    HereGone,
    #[error(
        "has no name of its own (`.`, `..` and `/` have none); name the output folder by its own name"
    )]
    Nameless,
    #[error(
        "is where a disk is mounted, or holds such a place, and cannot be replaced in one step; name a folder inside it"
    )]
    Mount,
    #[error("its folder does not exist; create {} first", .0.display())]
    FolderMissing(PathBuf),
    #[error("cannot be created, because {} is not a folder; name another output", .0.display())]
    NotInFolder(PathBuf),
    #[error("holds {}, where the output has something of another kind; move that elsewhere, or name another output", .0.display())]
    InTheWay(PathBuf),
    #[error("no space left on the device; free some or write elsewhere (nothing was replaced)")]
    DiskFull,
    #[error(
        "is too large for the limit on files' sizes (ulimit -f) or for the file system; raise that limit or write elsewhere (nothing was replaced)"
    )]
    TooLarge,
    #[error(
        "cannot be written, because no more files can be open at once; raise that limit (ulimit -n; nothing was replaced)"
    )]
    TooManyOpen,
    #[error("cannot be written ({0}); check the folder's permissions (nothing was replaced)")]
    Unwritable(io::Error),
    #[error("{} could not be taken over into it ({error}); check it and the disk (nothing was replaced)", entry.display())]
    NotKept { entry: PathBuf, error: io::Error },
    #[error("was written, but may not survive a power cut: its folder could not be synced ({0})")]
    Unsynced(io::Error),
    #[error(
        "was written, but may not survive a power cut: its folder could not be synced ({error}); what it replaced is kept in {}",
        aside.display()
    )]
    UnsyncedOver { error: io::Error, aside: PathBuf },
    #[error(
        "could not be replaced ({error}), and what stood there could not be put back: all of it is in {}; move that back",
        aside.display()
    )]
    Stranded { aside: PathBuf, error: io::Error },
}

impl Problem {
    /// Attaches the output's path.
    pub fn of(self, path: &Path) -> Error {
        Error {
            path: path.to_owned(),
            problem: Box::new(self),
        }
    }

    /// The problem with a link at an output's path. `/dev/stdout` is one, and so are all names in `/dev/fd`.
    pub(super) fn linked(path: &Path) -> Self {
        match files::target(path) {
            Ok(Some(target)) if !target.is_file() && !target.is_dir() => Self::Special,
            _ => Self::Link,
        }
    }

    /// The problem that made a write fail.
    pub(crate) fn writing(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            io::ErrorKind::FileTooLarge => Self::TooLarge,
            _ if files::are_too_many_open(&error) => Self::TooManyOpen,
            _ => Self::Unwritable(error),
        }
    }

    /// The problem that kept an output from a path that must be free.
    pub(super) fn putting_at_new(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AlreadyExists => Self::Exists,
            _ => Self::writing(error),
        }
    }
}
