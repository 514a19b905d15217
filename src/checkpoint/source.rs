//! A checkpoint open for reading, mapped into memory.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use memmap2::Mmap;
use sha2::{Digest, Sha256};

use super::{Error, Header, Problem, Tensor};

/// A `.safetensors` file open for reading. Opening touches the header only; values are paged in as they are used.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    file: File,
    map: Mmap,
    header: Header,
    modified: Option<SystemTime>,
}

impl Checkpoint {
    /// Opens the file and checks its header.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read or is no valid safetensors file; formats that it is mistaken for are named.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::try_open(path).map_err(|problem| problem.of(path))
    }

    fn try_open(path: &Path) -> Result<Self, Problem> {
        let status = std::fs::metadata(path).map_err(Problem::reading)?;
        if status.is_dir() {
            return Err(Problem::Folder);
        }
        if !status.is_file() {
            return Err(Problem::NotRegular);
        }
        if path.to_string_lossy().ends_with(".safetensors.index.json") {
            return Err(Problem::ShardIndex);
        }
        let file = File::open(path).map_err(Problem::reading)?;
        let status = file.metadata().map_err(Problem::reading)?;
        if status.len() == 0 {
            return Err(Problem::Empty);
        }
        // SAFETY: the map is private and read-only. A file that another process truncates meanwhile would raise
        // SIGBUS, which no reader by mmap can exclude; one that is rewritten shows as other bytes, never as invalid
        // values (every bit pattern of the types read is valid), and `check_unchanged` reports it before an output
        // replaces anything.
        let map = unsafe { Mmap::map(&file) }.map_err(Problem::Unreadable)?;
        let header = Header::parse(&map)?;
        Ok(Self {
            path: path.to_owned(),
            modified: modified(&status),
            file,
            map,
            header,
        })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.map.len() as u64
    }

    /// The checked header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The tensor table, in the order of the values in the file.
    pub fn tensors(&self) -> &[Tensor] {
        &self.header.tensors
    }

    /// The values of one of this checkpoint's tensors, as stored (little-endian, row-major, of any alignment).
    ///
    /// # Panics
    ///
    /// If the tensor is of another checkpoint and its range lies beyond this one's end.
    pub fn values(&self, tensor: &Tensor) -> &[u8] {
        &self.map[tensor.bytes.clone()]
    }

    /// SHA-256 of the header's JSON, in hexadecimal: what a plan knows its source by.
    pub fn header_sha256(&self) -> String {
        let json = &self.bytes_before_data()[8..];
        Sha256::digest(json)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Whether this is the file at `path`, by whatever name.
    pub fn is_at(&self, path: &Path) -> bool {
        let (Ok(own), Ok(other)) = (self.file.metadata(), std::fs::metadata(path)) else {
            return false;
        };
        (own.dev(), own.ino()) == (other.dev(), other.ino())
    }

    /// Whether the two files' headers are the same, byte for byte.
    pub fn has_same_header(&self, other: &Self) -> bool {
        self.bytes_before_data() == other.bytes_before_data()
    }

    /// Everything before the first value: the header's length and the header.
    pub(super) fn bytes_before_data(&self) -> &[u8] {
        &self.map[..self.header.data_start]
    }

    /// The open file itself, for copying it without passing through user memory.
    pub(super) fn file(&self) -> &File {
        &self.file
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
