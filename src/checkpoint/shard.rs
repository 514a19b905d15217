//! One file of a checkpoint, open for reading.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::files::{self, Version, retried};

use super::container::Container;
use super::contents::Contents;
use super::mapped::Mapped;
use super::{Error, Problem};

/// A file open for reading. Opening reads what it says of its tensors only; values are mapped when they are asked for.
#[derive(Debug)]
pub struct Shard {
    path: PathBuf,
    file: File,
    size: usize,
    container: Container,
    modified: Option<SystemTime>,
}

impl Shard {
    /// Opens the file and checks what it says of its tensors, which comes with it; of several state dicts, that of this path.
    pub(super) fn open(path: &Path, state_dict: Option<&str>) -> Result<(Self, Contents), Error> {
        Self::try_open(path, state_dict).map_err(|problem| problem.of(path))
    }

    fn try_open(path: &Path, state_dict: Option<&str>) -> Result<(Self, Contents), Problem> {
        let status = retried(|| fs::metadata(path)).map_err(Problem::reading)?;
        if !status.is_file() {
            return Err(Problem::NotRegular);
        }
        let file = File::open(path).map_err(Problem::reading)?;
        let status = files::status(&file).map_err(Problem::reading)?;
        let size = usize::try_from(status.len()).map_err(|_| Problem::BeyondMemory {
            bytes: status.len(),
        })?;
        let (container, contents) = Container::read(&file, size, state_dict)?;
        let shard = Self {
            path: path.to_owned(),
            modified: modified(&status),
            file,
            size,
            container,
        };
        Ok((shard, contents))
    }

    /// A safetensors file without a name, with this header; messages call it by the path of what it was made from.
    pub(super) fn unnamed(path: &Path, file: File, json: Vec<u8>) -> io::Result<Self> {
        let status = files::status(&file)?;
        Ok(Self {
            path: path.to_owned(),
            modified: modified(&status),
            size: status.len() as usize,
            file,
            container: Container::Safetensors { json },
        })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name it was opened by, without its folder.
    pub(super) fn name(&self) -> &OsStr {
        self.path.file_name().unwrap_or(self.path.as_os_str())
    }

    /// Size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.size as u64
    }

    /// What kind of file it is.
    pub(super) fn container(&self) -> &Container {
        &self.container
    }

    /// The bytes by which the file describes its tensors: a header's JSON, or a pickle.
    pub fn description(&self) -> &[u8] {
        self.container.description().0
    }

    /// What `use_them` makes of a range of the file, in bytes from its start, which is mapped into memory.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, or was cut short meanwhile.
    pub(super) fn with_bytes<R>(
        &self,
        range: Range<usize>,
        use_them: impl FnOnce(&[u8]) -> R,
    ) -> Result<R, Error> {
        let failed = |problem: Problem| problem.of(&self.path);
        let bytes = Mapped::new(&self.file, range.clone())
            .map_err(|error| failed(Problem::reading_on(error)))?;
        let result = use_them(&bytes);
        if bytes.is_whole() {
            return Ok(result);
        }
        let size = files::status(&self.file).map_err(|error| failed(Problem::Unreadable(error)))?;
        Err(failed(if size.len() < range.end as u64 {
            Problem::ChangedMeanwhile
        } else {
            Problem::Unreadable(io::Error::other("the disk does not give all of it"))
        }))
    }

    /// Reads a range of the file, in bytes from its start, and nothing beside it.
    ///
    /// # Errors
    ///
    /// Where it cannot be read.
    pub(super) fn read(&self, range: Range<usize>) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; range.len()];
        let read = self.file.read_exact_at(&mut bytes, range.start as u64);
        read.map_err(|error| Problem::reading_on(error).of(&self.path))?;
        Ok(bytes)
    }

    /// The open file itself, for copying it without passing through user memory.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Whether `path` leads to this file.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        files::leads_to(path, &self.file)
    }

    /// The version of the file.
    pub(super) fn version(&self) -> io::Result<Version> {
        Ok(Version::of(&files::status(&self.file)?))
    }

    /// Checks that the file is still the one that was opened, by size and time of change.
    pub(super) fn check_unchanged(&self) -> Result<(), Error> {
        let status = files::status(&self.file);
        let status = status.map_err(|e| Problem::Unreadable(e).of(&self.path))?;
        if status.len() != self.size() || modified(&status) != self.modified {
            return Err(Problem::ChangedMeanwhile.of(&self.path));
        }
        Ok(())
    }
}

/// The time of the last change; `None` where the file system keeps none.
fn modified(status: &Metadata) -> Option<SystemTime> {
    status.modified().ok()
}
