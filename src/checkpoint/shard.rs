//! One file of a checkpoint, open for reading.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::ops::{Deref, Range};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use memmap2::{Advice, Mmap, MmapOptions};

use super::header::LENGTH_BYTES;
use super::{Error, Header, Problem};

/// A `.safetensors` file open for reading. Opening reads the header only; values are mapped when they are asked for.
#[derive(Debug)]
pub struct Shard {
    path: PathBuf,
    file: File,
    size: usize,
    header_json: Vec<u8>,
    modified: Option<SystemTime>,
}

impl Shard {
    /// Opens the file and checks its header, which comes with it.
    pub(super) fn open(path: &Path) -> Result<(Self, Header), Error> {
        Self::try_open(path).map_err(|problem| problem.of(path))
    }

    fn try_open(path: &Path) -> Result<(Self, Header), Problem> {
        let status = std::fs::metadata(path).map_err(Problem::reading)?;
        if !status.is_file() {
            return Err(Problem::NotRegular);
        }
        let file = File::open(path).map_err(Problem::reading)?;
        let status = file.metadata().map_err(Problem::reading)?;
        let size = usize::try_from(status.len()).map_err(|_| Problem::BeyondMemory {
            bytes: status.len(),
        })?;
        let (header, header_json) = Header::read(&file, size)?;
        let shard = Self {
            path: path.to_owned(),
            modified: modified(&status),
            file,
            size,
            header_json,
        };
        Ok((shard, header))
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

    /// The header's JSON as it stands in the file.
    pub fn header_json(&self) -> &[u8] {
        &self.header_json
    }

    /// Everything before the first value: the header's length and the header.
    pub(super) fn bytes_before_data(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LENGTH_BYTES + self.header_json.len());
        bytes.extend_from_slice(&(self.header_json.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&self.header_json);
        bytes
    }

    /// Maps a range of the file, in bytes from its start, into memory.
    ///
    /// # Errors
    ///
    /// Where the system refuses to.
    pub(super) fn map(&self, range: Range<usize>) -> Result<Mapped, Error> {
        if range.is_empty() {
            return Ok(Mapped(None));
        }
        let mut options = MmapOptions::new();
        options.offset(range.start as u64).len(range.len());
        // SAFETY: the map is private and read-only. A file that another process truncates meanwhile would raise
        // SIGBUS, which no reader by mmap can exclude; one that is rewritten shows as other bytes, never as invalid
        // values (every bit pattern of the types read is valid), and `check_unchanged` reports it before an output
        // replaces anything.
        let map = unsafe { options.map(&self.file) }
            .map_err(|error| Problem::Unreadable(error).of(&self.path))?;
        // From a disk the whole range is fetched at once rather than fault by fault. Advice that is refused costs time only.
        let _ = map.advise(Advice::WillNeed);
        Ok(Mapped(Some(map)))
    }

    /// Reads a range of the file, in bytes from its start, and nothing beside it.
    ///
    /// # Errors
    ///
    /// Where it cannot be read.
    pub(super) fn read(&self, range: Range<usize>) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; range.len()];
        let read = self.file.read_exact_at(&mut bytes, range.start as u64);
        read.map_err(|error| {
            let problem = match error.kind() {
                // The header was held against the size when the file was opened.
                io::ErrorKind::UnexpectedEof => Problem::ChangedMeanwhile,
                _ => Problem::Unreadable(error),
            };
            problem.of(&self.path)
        })?;
        Ok(bytes)
    }

    /// The open file itself, for copying it without passing through user memory.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Whether this is the file at `path`, by whatever name.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        let (Ok(own), Ok(other)) = (self.file.metadata(), std::fs::metadata(path)) else {
            return false;
        };
        (own.dev(), own.ino()) == (other.dev(), other.ino())
    }

    /// Checks that the file is still the one that was opened, by size and time of change.
    pub(super) fn check_unchanged(&self) -> Result<(), Error> {
        let status = self
            .file
            .metadata()
            .map_err(|e| Problem::Unreadable(e).of(&self.path))?;
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

/// Bytes of a file, in memory for as long as this lives.
#[derive(Debug)]
pub struct Mapped(Option<Mmap>);

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}
