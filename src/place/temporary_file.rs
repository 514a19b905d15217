//! A file that has no name until it is complete.

use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;

/// The mode of a fresh file before the umask, as other programs create theirs.
const MODE: u32 = 0o666;

/// How a hidden name begins.
const PREFIX: &str = ".inmerge-";

/// How a hidden name ends.
const SUFFIX: &str = ".tmp";

/// A run writes to its file all the time.
const ABANDONED_AFTER: Duration = Duration::from_secs(600);

/// A new file in some folder, gone if it is dropped before it is put in its place.
///
/// On Linux it has no name to begin with (`O_TMPFILE`), so even a killed process or a power cut leaves nothing behind;
/// file systems that cannot do that, such as NFS, give it a hidden name.
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
    /// Creates a file in the folder.
    pub fn create(folder: &Path) -> io::Result<Self> {
        let file = create(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            file,
        })
    }

    /// The file, open for reading and writing.
    pub fn as_file(&self) -> &File {
        match &self.file {
            #[cfg(target_os = "linux")]
            Kind::Nameless(file) => file,
            Kind::Named(file) => file.as_file(),
        }
    }

    /// Opens the file once more.
    pub fn reopen(&self) -> io::Result<File> {
        match &self.file {
            #[cfg(target_os = "linux")]
            Kind::Nameless(file) => File::open(descriptor_path(file)),
            Kind::Named(file) => file.reopen(),
        }
    }

    /// Puts the file at a place in its folder where nothing stands; fails with `AlreadyExists` where something does.
    pub fn put_at_new(self, path: &Path) -> io::Result<()> {
        match self.file {
            #[cfg(target_os = "linux")]
            Kind::Nameless(file) => link(&file, path),
            Kind::Named(file) => {
                file.persist_noclobber(path).map_err(|error| error.error)?;
                Ok(())
            }
        }
    }

    /// Puts the file at a place in its folder, replacing in one step what stands there.
    pub fn replace(self, path: &Path) -> io::Result<()> {
        let named = match self.file {
            // A link cannot replace a file, a rename can; so the file gets a name for the moment between the two.
            #[cfg(target_os = "linux")]
            Kind::Nameless(file) => hidden_name().make_in(&self.folder, |name| {
                link(&file, name)?;
                file.try_clone()
            })?,
            Kind::Named(file) => file,
        };
        named.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}

/// Removes files that killed runs have left in a folder under hidden names: those to which nobody has written for
/// [`ABANDONED_AFTER`]. Whatever cannot be removed stays.
pub(crate) fn remove_abandoned(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        let is_hidden = name.starts_with(PREFIX.as_bytes()) && name.ends_with(SUFFIX.as_bytes());
        let is_abandoned = |status: Metadata| {
            let age = status.modified().ok().and_then(|time| time.elapsed().ok());
            status.is_file() && age.is_some_and(|age| age > ABANDONED_AFTER)
        };
        if is_hidden && entry.metadata().is_ok_and(is_abandoned) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn hidden_name() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    builder
}

fn create_named(folder: &Path) -> io::Result<Kind> {
    let file = hidden_name()
        .permissions(Permissions::from_mode(MODE))
        .tempfile_in(folder)?;
    Ok(Kind::Named(file))
}

#[cfg(target_os = "linux")]
fn create(folder: &Path) -> io::Result<Kind> {
    use rustix::fs::{Mode, OFlags, open};
    use rustix::io::Errno;
    // Without /proc the file could not be given its name later.
    if !Path::new("/proc/self/fd").is_dir() {
        return create_named(folder);
    }
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match open(folder, flags, Mode::from_raw_mode(MODE)) {
        Ok(descriptor) => Ok(Kind::Nameless(File::from(descriptor))),
        // What file systems and kernels that know no nameless files answer (open(2)).
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => create_named(folder),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn create(folder: &Path) -> io::Result<Kind> {
    create_named(folder)
}

/// The path under which an open file can be reached even if it has no name.
#[cfg(target_os = "linux")]
fn descriptor_path(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(target_os = "linux")]
fn link(file: &File, name: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    let path = descriptor_path(file);
    Ok(linkat(CWD, &path, CWD, name, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::SystemTime;

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
        let write = |name: &str, age: Duration| {
            let path = folder.path().join(name);
            let file = File::create(&path).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
            path
        };
        let old = 2 * ABANDONED_AFTER;
        let abandoned = write(".inmerge-a1B2c3.tmp", old);
        let kept = [
            write(".inmerge-x1Y2z3.tmp", Duration::ZERO),
            write(".inmerge-watch.jsonl", old),
            write("inmerge-a.tmp", old),
        ];
        remove_abandoned(folder.path());
        assert!(!abandoned.exists());
        assert!(kept.iter().all(|path| path.exists()));
    }
}
