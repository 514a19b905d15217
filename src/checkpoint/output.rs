//! Writing a checkpoint: a copy of the source in which some bytes are overwritten, complete before it appears.

use std::fs::{self, File, Permissions};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use memmap2::Mmap;

use super::temporary::TemporaryFile;
use super::{Checkpoint, Error, Problem};

/// A place where an output may be written, checked before anything is computed.
#[derive(Debug)]
pub struct Destination {
    path: PathBuf,
    folder: PathBuf,
    /// Whether a file there is to be replaced.
    may_replace: bool,
    /// The permissions of the one that is.
    replaced: Option<Permissions>,
}

/// Whether an output must survive a power cut once it is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The file and its folder are synced to the disk.
    Synced,
    /// Left to the operating system.
    Unsynced,
}

impl Destination {
    /// Checks that an output may be written at `path`, which must be a regular file, with `replace`, or not exist.
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
            _ => return Err(Problem::OutputFolder),
        };
        let folder = if folder.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            folder.to_owned()
        };
        let replaced = match fs::symlink_metadata(path) {
            Ok(status) if status.is_symlink() => return Err(Problem::OutputLink),
            Ok(status) if status.is_dir() => return Err(Problem::OutputFolder),
            Ok(status) if !status.is_file() => return Err(Problem::OutputSpecial),
            Ok(_) if !replace => return Err(Problem::OutputExists),
            Ok(status) => Some(status.permissions()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Problem::Unwritable(error)),
        };
        if !folder.is_dir() {
            return Err(Problem::OutputFolderMissing(folder));
        }
        Ok(Self {
            path: path.to_owned(),
            folder,
            may_replace: replace,
            replaced,
        })
    }

    /// Where the output goes.
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

    /// A file in the destination's folder, with the mode that the destination is to have.
    fn temporary_file(&self) -> io::Result<TemporaryFile> {
        let file = TemporaryFile::create(&self.folder)?;
        if let Some(permissions) = &self.replaced {
            file.as_file().set_permissions(permissions.clone())?;
        }
        Ok(file)
    }

    /// Makes the file the destination in one step, after and before which the disk holds what it should.
    fn put_in_place(&self, file: TemporaryFile, durability: Durability) -> Result<(), Problem> {
        let folder = match durability {
            Durability::Synced => {
                file.as_file().sync_all().map_err(Problem::writing)?;
                // Opened beforehand: a folder that cannot be is found out while nothing has happened.
                Some(File::open(&self.folder).map_err(Problem::writing)?)
            }
            Durability::Unsynced => None,
        };
        if self.may_replace {
            file.replace(&self.path).map_err(Problem::writing)?;
        } else {
            file.put_at_new(&self.path)
                .map_err(|error| match error.kind() {
                    io::ErrorKind::AlreadyExists => Problem::OutputExists,
                    _ => Problem::writing(error),
                })?;
        }
        match folder.map(|folder| folder.sync_all()) {
            Some(Err(error)) => Err(Problem::Unsynced(error)),
            _ => Ok(()),
        }
    }
}

/// An output in the making: a temporary file in its destination's folder, a copy of the source to begin with.
///
/// Dropped before [`Draft::publish`], it leaves nothing behind.
#[derive(Debug)]
pub struct Draft<'a> {
    source: &'a Checkpoint,
    destination: &'a Destination,
    file: TemporaryFile,
    patched: Mutex<Vec<Patched>>,
}

/// A range of the file that was overwritten, and the hash of what it must hold.
#[derive(Debug)]
struct Patched {
    start: u64,
    length: usize,
    hash: u64,
}

impl<'a> Draft<'a> {
    /// Copies the source into a temporary file in the destination's folder: in the kernel, by reference where the file
    /// system can (`copy_file_range`).
    ///
    /// # Errors
    ///
    /// Where the folder cannot be written to or the disk is full.
    pub fn copy(source: &'a Checkpoint, destination: &'a Destination) -> Result<Self, Error> {
        let copied = destination.temporary_file().and_then(|file| {
            // The copy goes by the file's own position, which an earlier copy has left at the end.
            source.file().rewind()?;
            io::copy(&mut source.file(), &mut file.as_file())?;
            Ok(file)
        });
        Ok(Self {
            source,
            destination,
            file: copied.map_err(|e| Problem::writing(e).of(&destination.path))?,
            patched: Mutex::new(Vec::new()),
        })
    }

    /// Overwrites the bytes from `start` on. Ranges of different calls must not overlap; threads may call it together.
    ///
    /// # Errors
    ///
    /// Where the disk fails or is full.
    pub fn patch(&self, start: u64, bytes: &[u8]) -> Result<(), Error> {
        self.file
            .as_file()
            .write_all_at(bytes, start)
            .map_err(|e| self.failed(e))?;
        let patched = Patched {
            start,
            length: bytes.len(),
            hash: hash(bytes),
        };
        self.patched
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .push(patched);
        Ok(())
    }

    /// Reads the file back, makes it durable if asked to, and puts it in its place in one step.
    ///
    /// # Errors
    ///
    /// Where it does not read back as written, the source was changed meanwhile, or the disk fails. Whatever stood at
    /// the destination before is then still whole.
    pub fn publish(self, durability: Durability) -> Result<(), Error> {
        self.verify()?;
        self.source.check_unchanged()?;
        self.destination
            .put_in_place(self.file, durability)
            .map_err(|problem| problem.of(&self.destination.path))
    }

    /// Opens the file again and checks its size, its header and every range that was overwritten.
    fn verify(&self) -> Result<(), Error> {
        let file = self.file.reopen().map_err(|e| self.failed(e))?;
        // SAFETY: the map is read-only, and the file is this process's own temporary one, which nobody else writes.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| self.failed(e))?;
        let differs = |at| Problem::ReadBackDiffers { at }.of(&self.destination.path);
        if map.len() as u64 != self.source.size() {
            return Err(differs(map.len() as u64));
        }
        let header = self.source.bytes_before_data();
        if let Some(at) = (0..header.len()).find(|&at| map[at] != header[at]) {
            return Err(differs(at as u64));
        }
        let patched = self
            .patched
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        for range in patched.iter() {
            let start = range.start as usize;
            if hash(&map[start..start + range.length]) != range.hash {
                return Err(differs(range.start));
            }
        }
        Ok(())
    }

    fn failed(&self, error: io::Error) -> Error {
        Problem::writing(error).of(&self.destination.path)
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn source(folder: &Path) -> Checkpoint {
        let json = r#"{"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}}"#;
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(json.as_bytes());
        bytes.extend_from_slice(&[1, 2, 3, 4]);
        let path = folder.join("in.safetensors");
        fs::write(&path, bytes).unwrap();
        Checkpoint::open(&path).unwrap()
    }

    #[test]
    fn a_draft_that_is_dropped_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path());
        let out = Destination::check(&folder.path().join("out"), false).unwrap();
        drop(Draft::copy(&source, &out).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_published_draft_differs_in_the_patched_bytes_only() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path());
        let out = Destination::check(&folder.path().join("out"), false).unwrap();
        let draft = Draft::copy(&source, &out).unwrap();
        let at = source.tensors()[0].bytes.start + 1;
        draft.patch(at as u64, &[9]).unwrap();
        draft.publish(Durability::Synced).unwrap();
        let mut expected = fs::read(source.path()).unwrap();
        expected[at] = 9;
        assert_eq!(fs::read(out.path()).unwrap(), expected);
    }

    #[test]
    fn bytes_lost_between_writing_and_reading_back_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path());
        let out = Destination::check(&folder.path().join("out"), false).unwrap();
        let draft = Draft::copy(&source, &out).unwrap();
        let at = source.tensors()[0].bytes.start as u64;
        draft.patch(at, &[9, 9]).unwrap();
        draft.file.as_file().write_all_at(&[7], at).unwrap();
        let error = draft.publish(Durability::Unsynced).unwrap_err();
        assert!(matches!(*error.problem, Problem::ReadBackDiffers { at: found } if found == at));
        assert!(!out.path().exists());
    }

    #[test]
    fn a_source_that_changes_meanwhile_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path());
        let out = Destination::check(&folder.path().join("out"), false).unwrap();
        let draft = Draft::copy(&source, &out).unwrap();
        let writer = File::options().append(true).open(source.path()).unwrap();
        writer.set_len(source.size() + 1).unwrap();
        let error = draft.publish(Durability::Unsynced).unwrap_err();
        assert!(matches!(*error.problem, Problem::ChangedMeanwhile));
        assert!(!out.path().exists());
    }

    #[test]
    fn modes_follow_the_umask_or_the_replaced_file() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path());
        let reference = folder.path().join("reference");
        fs::write(&reference, "").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;

        let out = folder.path().join("out");
        let fresh = Destination::check(&out, false).unwrap();
        Draft::copy(&source, &fresh)
            .unwrap()
            .publish(Durability::Unsynced)
            .unwrap();
        assert_eq!(mode(&out), mode(&reference));

        fs::set_permissions(&out, Permissions::from_mode(0o640)).unwrap();
        let again = Destination::check(&out, true).unwrap();
        Draft::copy(&source, &again)
            .unwrap()
            .publish(Durability::Unsynced)
            .unwrap();
        assert_eq!(mode(&out), 0o640);
    }
}
