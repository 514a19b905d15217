//! The files of an output in the making: the source's bytes, and the changes written over them.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::FileExt;

use rayon::prelude::*;

use crate::atomic::TemporaryFile;
use crate::checkpoint::container::Container;
use crate::checkpoint::{Checkpoint, Destination, Error, Piece, Problem, Shard, Tensor};
use crate::files::{self, CopyError, retried};

use super::copy::Copier;
use super::seal::new_checksums;
use super::written::Written;

/// Bytes read back at once.
const READ_BACK_BYTES: usize = 256 << 10;

/// The counterparts of the source's files, in their order.
#[derive(Debug)]
pub(super) struct DraftFiles<'a> {
    source: &'a Checkpoint,
    destination: &'a Destination,
    pub files: Vec<DraftFile>,
}

/// The counterpart of one of the source's files.
#[derive(Debug)]
pub(super) enum DraftFile {
    New {
        file: TemporaryFile,
        /// Whether it shares the source's blocks on the disk, so that only changes need writing.
        is_clone: bool,
    },
    /// The source's own, in which nothing changes.
    Kept,
}

impl DraftFile {
    /// Removes the new file, so that the source's own stays.
    fn become_kept(&mut self) -> io::Result<()> {
        match std::mem::replace(self, Self::Kept) {
            Self::New { file, .. } => file.remove(),
            Self::Kept => Ok(()),
        }
    }

    /// Whether it holds the source's bytes without being written.
    pub fn holds_source(&self) -> bool {
        match self {
            Self::New { is_clone, .. } => *is_clone,
            Self::Kept => true,
        }
    }
}

impl<'a> DraftFiles<'a> {
    /// Empty files, each made by `create`.
    pub fn create(
        source: &'a Checkpoint,
        destination: &'a Destination,
        create: impl Fn(&Shard) -> io::Result<TemporaryFile>,
    ) -> io::Result<Self> {
        let new = |shard| {
            Ok(DraftFile::New {
                file: create(shard)?,
                is_clone: false,
            })
        };
        let files: io::Result<_> = source.shards().iter().map(new).collect();
        Ok(Self {
            source,
            destination,
            files: files?,
        })
    }

    /// Makes each file a clone of the source's, or gives it its size. Where `keeps_source`, those in which none of these tensors
    /// lies are the source's own instead.
    pub fn prepare(&mut self, tensors: &[&Tensor], keeps_source: bool) -> io::Result<()> {
        for (number, draft) in self.files.iter_mut().enumerate() {
            let shard = &self.source.shards()[number];
            if keeps_source && tensors.iter().all(|tensor| tensor.shard != number) {
                draft.become_kept()?;
            }
            if let DraftFile::New { file, is_clone } = draft {
                *is_clone = files::share_blocks(shard.file(), file.as_file());
                if !*is_clone {
                    allocate(file.as_file(), shard.size())?;
                }
            }
        }
        Ok(())
    }

    /// Removes the files in which nothing was written, so that the source's own stay.
    pub fn keep_unchanged(&mut self, written: &[Written]) -> io::Result<()> {
        for (number, file) in self.files.iter_mut().enumerate() {
            if written.iter().all(|written| written.shard != number) {
                file.become_kept()?;
            }
        }
        Ok(())
    }

    /// What the system says of the new files.
    pub fn metadata(&self) -> Result<Vec<Metadata>, Error> {
        let new = self.files.iter().filter_map(|file| match file {
            DraftFile::New { file, .. } => Some(file.as_file()),
            DraftFile::Kept => None,
        });
        let metadata: io::Result<_> = new.map(files::status).collect();
        metadata.map_err(|error| self.failed(error))
    }

    /// Copies a little from the beginning of a piece of the source, if it is not there already; how many bytes.
    pub fn copy_some(&self, copier: &mut Copier, piece: &Piece) -> Result<usize, Error> {
        match &self.files[piece.shard] {
            DraftFile::New {
                file,
                is_clone: false,
            } => {
                let shard = &self.source.shards()[piece.shard];
                let copied = copier.copy_some(shard.file(), file.as_file(), &piece.bytes);
                copied.map_err(|error| match error {
                    CopyError::Reading(error) => Problem::reading_on(error).of(shard.path()),
                    CopyError::Writing(error) => self.failed(error),
                })
            }
            DraftFile::New { is_clone: true, .. } | DraftFile::Kept => Ok(piece.bytes.len()),
        }
    }

    /// Writes bytes at an offset of a file.
    pub fn write(&self, shard: usize, start: usize, bytes: &[u8]) -> Result<(), Error> {
        let DraftFile::New { file, .. } = &self.files[shard] else {
            unreachable!("a file is kept only where nothing changes in it");
        };
        file.as_file()
            .write_all_at(bytes, start as u64)
            .map_err(|e| self.failed(e))
    }

    /// Corrects the checksums that the containers keep of what was changed. Returns the ranges where they stand.
    pub fn seal(&self, written: &[Written]) -> Result<Vec<Written>, Error> {
        let mut sealed = Vec::new();
        for (number, shard) in self.source.shards().iter().enumerate() {
            let Container::Torch(torch) = shard.container() else {
                continue;
            };
            let written: Vec<&Written> = written
                .iter()
                .filter(|written| written.shard == number)
                .collect();
            for checksum in new_checksums(shard, torch, &written)? {
                let bytes = checksum.value.to_le_bytes();
                self.write(number, checksum.at, &bytes)?;
                sealed.push(Written {
                    shard: number,
                    start: checksum.at,
                    length: bytes.len(),
                    checksum: crc32fast::hash(&bytes),
                });
            }
        }
        Ok(sealed)
    }

    /// Opens the files again and checks their sizes, their descriptions of the tensors and every range that was changed.
    pub fn verify(&self, written: &[Written]) -> Result<(), Error> {
        let differs = |at| Problem::ReadBackDiffers { at }.of(self.destination.path());
        for (number, draft) in self.files.iter().enumerate() {
            let DraftFile::New { file, .. } = draft else {
                continue;
            };
            let shard = &self.source.shards()[number];
            let file = file.reopen().map_err(|e| self.failed(e))?;
            let size = files::status(&file).map_err(|e| self.failed(e))?.len();
            if size != shard.size() {
                return Err(differs(size));
            }
            let (expected, start) = shard.container().description();
            let mut description = vec![0; expected.len()];
            file.read_exact_at(&mut description, start as u64)
                .map_err(|e| self.failed(e))?;
            if let Some(at) = (0..expected.len()).find(|&at| description[at] != expected[at]) {
                return Err(differs((start + at) as u64));
            }
            let written: Vec<&Written> = written
                .iter()
                .filter(|written| written.shard == number)
                .collect();
            written.par_iter().try_for_each_init(
                || vec![0; READ_BACK_BYTES],
                |buffer, written| {
                    let checksum = read_back(&file, written, buffer).map_err(|e| self.failed(e))?;
                    if checksum == written.checksum {
                        Ok(())
                    } else {
                        Err(differs(written.start as u64))
                    }
                },
            )?;
        }
        Ok(())
    }

    /// The error where no thread can be started to write.
    pub fn no_writer(&self, error: io::Error) -> Error {
        Problem::NoWriter(error).of(self.destination.path())
    }

    pub fn failed(&self, error: io::Error) -> Error {
        Problem::writing(error).of(self.destination.path())
    }
}

/// The checksum of a range as it is in the file now.
fn read_back(file: &File, written: &Written, buffer: &mut [u8]) -> io::Result<u32> {
    let mut hasher = crc32fast::Hasher::new();
    let end = written.start + written.length;
    let mut at = written.start;
    while at < end {
        let part = &mut buffer[..(end - at).min(READ_BACK_BYTES)];
        file.read_exact_at(part, at as u64)?;
        hasher.update(part);
        at += part.len();
    }
    Ok(hasher.finalize())
}

/// Gives a file its size, and the space for it where the file system can set it aside: a full disk is then found out at
/// once, and writing takes half the time (ext4 on Linux 6.18: 9 GB/s against 5).
fn allocate(file: &File, size: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        let allocated = retried(|| Ok(fallocate(file, FallocateFlags::empty(), 0, size)?));
        match allocated {
            // What file systems and kernels that cannot do it answer (fallocate(2)).
            Err(error)
                if files::is_one_of(&error, &[Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL]) => {}
            allocated => return allocated,
        }
    }
    retried(|| file.set_len(size))
}
