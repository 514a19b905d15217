//! Files that have no name, or a hidden one, until they are complete.

use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::{NamedTempFile, TempPath};

use crate::files::{self, is_at, retried};

use super::or_here;

/// The mode of a new file before the umask, the same as other programs use.
const MODE: u32 = 0o666;

/// The start of a hidden name.
const PREFIX: &str = ".inmerge-";

/// The end of a hidden name.
const SUFFIX: &str = ".tmp";

/// Without locks, the age at which a file counts as abandoned: a run writes to its file all the time.
const ABANDONED_AFTER: Duration = Duration::from_secs(600);

/// Attempts to create and lock a file before another run takes it for that of a dead run.
const ATTEMPTS: usize = 100;

/// A new file in a folder, removed if it is dropped before it is put in place.
///
/// On Linux it has no name at first (`O_TMPFILE`), so that even a killed process or a power cut leaves nothing behind. On file
/// systems that cannot do that, such as NFS, it has a hidden name. It is locked while its process is alive, so that others can
/// recognize what a killed run left.
#[derive(Debug)]
pub(crate) struct TemporaryFile {
    folder: PathBuf,
    file: Kind,
}

#[derive(Debug)]
enum Kind {
    #[cfg(target_os = "linux")]
    Nameless(File),
    Named(NamedTempFile),
}

impl TemporaryFile {
    /// Creates a file that will be put in place in this folder.
    pub fn create(folder: &Path) -> io::Result<Self> {
        let file = create(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            file,
        })
    }

    /// Creates a file under its final name, which must be free, in a folder that is itself a draft.
    pub fn create_at(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        let options = options.read(true).write(true).create_new(true);
        let file = options.open(path)?;
        Ok(Self {
            folder: or_here(path.parent()).to_owned(),
            file: Kind::Named(NamedTempFile::from_parts(
                file,
                TempPath::try_from_path(path)?,
            )),
        })
    }

    /// Keeps a file that was created under its final name.
    pub fn keep(self) -> io::Result<()> {
        match self.file {
            Kind::Named(file) => Ok(file.into_temp_path().keep().map(drop)?),
            #[cfg(target_os = "linux")]
            Kind::Nameless(_) => unreachable!("it was created under its final name"),
        }
    }

    /// Removes it; if that fails, it stays.
    pub fn remove(self) -> io::Result<()> {
        match self.file {
            Kind::Named(file) => files::remove_file(&file.into_temp_path().keep()?),
            #[cfg(target_os = "linux")]
            Kind::Nameless(_) => Ok(()),
        }
    }

    /// The file, open for reading and writing.
    pub fn as_file(&self) -> &File {
        match &self.file {
            #[cfg(target_os = "linux")]
            Kind::Nameless(file) => file,
            Kind::Named(file) => file.as_file(),
        }
    }

    /// Opens the file again, for reading only.
    pub fn reopen(&self) -> io::Result<File> {
        retried(|| match &self.file {
            #[cfg(target_os = "linux")]
            Kind::Nameless(file) => File::open(descriptor_path(file)),
            Kind::Named(file) => file.reopen(),
        })
    }

    /// Puts the file at a free path in its folder; fails with `AlreadyExists` if the path is taken.
    pub fn put_at_new(self, path: &Path) -> io::Result<()> {
        match self.file {
            #[cfg(target_os = "linux")]
            Kind::Nameless(file) => link(&file, path),
            Kind::Named(mut file) => loop {
                match file.persist_noclobber(path) {
                    Ok(_) => return Ok(()),
                    Err(cut) if cut.error.kind() == io::ErrorKind::Interrupted => file = cut.file,
                    Err(error) => return Err(error.error),
                }
            },
        }
    }

    /// Puts the file at a path in its folder, and replaces in one step what exists there.
    pub fn replace(self, path: &Path) -> io::Result<()> {
        match self.file {
            // Only a rename can replace a file, and it needs a name to start from.
            #[cfg(target_os = "linux")]
            Kind::Nameless(file) => {
                let named = hidden_name().make_in(&self.folder, |name| link(&file, name))?;
                rename(named.into_temp_path(), path)
            }
            Kind::Named(file) => {
                let (_open, hidden) = file.into_parts();
                rename(hidden, path)
            }
        }
    }
}

/// Renames a file; if that fails, removes it.
fn rename(mut hidden: TempPath, path: &Path) -> io::Result<()> {
    files::rename(&hidden, path)?;
    hidden.disable_cleanup(true);
    Ok(())
}

/// Removes the files that killed runs left in a folder under hidden names, as far as possible: those that are not locked or, if
/// the file system has no locks, to which nobody has written for [`ABANDONED_AFTER`].
pub(crate) fn remove_abandoned(folder: &Path) {
    for name in files::names(folder).unwrap_or_default() {
        let bytes = name.as_encoded_bytes();
        if bytes.starts_with(PREFIX.as_bytes()) && bytes.ends_with(SUFFIX.as_bytes()) {
            let path = folder.join(&name);
            // The lock is held until the file is gone.
            if let Ok(Some(_held)) = abandoned(&path) {
                let _ = files::remove_file(&path);
            }
        }
    }
}

/// The file at a path if its run is dead, locked if the file system has locks.
fn abandoned(path: &Path) -> io::Result<Option<File>> {
    if !files::entry(path)?.is_some_and(|status| status.is_file()) {
        return Ok(None);
    }
    // NFS locks only files that are open for writing.
    let file = retried(|| File::options().read(true).write(true).open(path))?;
    let is_old = |status: Metadata| {
        let age = status.modified().ok().and_then(|time| time.elapsed().ok());
        age.is_some_and(|age| age > ABANDONED_AFTER)
    };
    let is_abandoned = match files::is_locked(&file) {
        Some(is_locked) => !is_locked,
        None => is_old(files::status(&file)?),
    };
    Ok(is_abandoned.then_some(file))
}

fn hidden_name() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    builder
}

fn create_named(folder: &Path) -> io::Result<Kind> {
    for _ in 0..ATTEMPTS {
        let file = retried(|| {
            hidden_name()
                .permissions(Permissions::from_mode(MODE))
                .tempfile_in(folder)
        })?;
        // Otherwise another run has taken it for that of a dead run.
        if files::is_locked(file.as_file()) != Some(true) && is_at(file.as_file(), file.path()) {
            return Ok(Kind::Named(file));
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

#[cfg(target_os = "linux")]
fn create(folder: &Path) -> io::Result<Kind> {
    use rustix::fs::{Mode, OFlags, open};
    use rustix::io::Errno;
    // Without /proc the file could not get a name later.
    if !files::is_folder(Path::new("/proc/self/fd")).unwrap_or(false) {
        return create_named(folder);
    }
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let opened = retried(|| Ok(open(folder, flags, Mode::from_raw_mode(MODE))?));
    match opened {
        Ok(descriptor) => {
            let file = File::from(descriptor);
            files::is_locked(&file);
            Ok(Kind::Nameless(file))
        }
        // The file system or kernel does not support O_TMPFILE (open(2)).
        Err(error) if files::is_one_of(&error, &[Errno::OPNOTSUPP, Errno::ISDIR, Errno::NOENT]) => {
            create_named(folder)
        }
        Err(error) => Err(error),
    }
}

#[cfg(not(target_os = "linux"))]
fn create(folder: &Path) -> io::Result<Kind> {
    create_named(folder)
}

/// A path to an open file, which may have no name.
#[cfg(target_os = "linux")]
fn descriptor_path(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(target_os = "linux")]
fn link(file: &File, name: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    let path = descriptor_path(file);
    retried(|| Ok(linkat(CWD, &path, CWD, name, AtFlags::SYMLINK_FOLLOW)?))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_shows_only_when_it_is_put_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        fs::write(&path, "old").unwrap();
        for named in [false, true] {
            let file = if named {
                TemporaryFile {
                    folder: folder.path().to_owned(),
                    file: create_named(folder.path()).unwrap(),
                }
            } else {
                TemporaryFile::create(folder.path()).unwrap()
            };
            file.as_file().write_all(b"new").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"old");
            assert_eq!(file.reopen().unwrap().metadata().unwrap().len(), 3);
            file.replace(&path).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"new");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
            fs::write(&path, "old").unwrap();
        }
    }

    #[test]
    fn a_new_file_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let create: [fn(&Path) -> io::Result<Kind>; 2] = [create, create_named];
        for create in create {
            let file = || TemporaryFile {
                folder: folder.path().to_owned(),
                file: create(folder.path()).unwrap(),
            };
            file().put_at_new(&path).unwrap();
            let error = file().put_at_new(&path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_file_that_is_dropped_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(create_named(folder.path()).unwrap());
        drop(TemporaryFile::create(folder.path()).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_what_was_abandoned_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = folder.path().join(name);
            File::create(&path).unwrap();
            path
        };
        let abandoned = write(".inmerge-a1B2c3.tmp");
        let kept = [write(".inmerge-watch.jsonl"), write("inmerge-a.tmp")];
        let Kind::Named(living) = create_named(folder.path()).unwrap() else {
            panic!("it has a name");
        };
        remove_abandoned(folder.path());
        assert!(!abandoned.exists() && living.path().exists());
        assert!(kept.iter().all(|path| path.exists()));
    }
}
