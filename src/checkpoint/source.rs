//! A checkpoint open for reading.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::shard::{Mapped, Shard};
use super::{Error, Piece, Tensor};

/// A checkpoint open for reading. Opening reads headers only; values are mapped when they are asked for.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    shards: Vec<Shard>,
    tensors: Vec<Tensor>,
}

impl Checkpoint {
    /// Opens a checkpoint and checks its headers.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read or is no valid safetensors file; formats that it is mistaken for are named.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let shard = Shard::open(path)?;
        Ok(Self {
            path: path.to_owned(),
            tensors: shard.header().tensors.clone(),
            shards: vec![shard],
        })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files that make it up.
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// Size of all its files in bytes.
    pub fn size(&self) -> u64 {
        self.shards.iter().map(Shard::size).sum()
    }

    /// The tensors of all files, by file and then in the order of their values.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The `__metadata__` of its files; of a key that several have, the first file's value.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let entries = self
            .shards
            .iter()
            .rev()
            .flat_map(|shard| &shard.header().metadata);
        entries
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Its files in pieces of this size.
    pub(super) fn in_pieces(&self, size: usize) -> Vec<Piece> {
        let shards = self.shards.iter().enumerate();
        let pieces = shards.flat_map(|(index, shard)| {
            let end = shard.size() as usize;
            let starts = (0..end).step_by(size);
            starts.map(move |start| Piece {
                shard: index,
                bytes: start..end.min(start + size),
            })
        });
        pieces.collect()
    }

    /// All that does not belong to one of some of its tensors, the headers included.
    pub(super) fn all_but(&self, tensors: &[&Tensor]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for (index, shard) in self.shards.iter().enumerate() {
            let mut left_out: Vec<&Tensor> = tensors
                .iter()
                .copied()
                .filter(|tensor| tensor.shard == index)
                .collect();
            left_out.sort_by_key(|tensor| tensor.bytes.start);
            let ends = left_out.iter().map(|tensor| tensor.bytes.end);
            let starts = left_out.iter().map(|tensor| tensor.bytes.start);
            let gaps = std::iter::once(0)
                .chain(ends)
                .zip(starts.chain([shard.size() as usize]));
            let gaps = gaps.filter(|(start, end)| start < end);
            pieces.extend(gaps.map(|(start, end)| Piece {
                shard: index,
                bytes: start..end,
            }));
        }
        pieces
    }

    /// The values of one of this checkpoint's tensors, as stored (little-endian, row-major, of any alignment).
    ///
    /// # Errors
    ///
    /// Where the file cannot be mapped into memory.
    ///
    /// # Panics
    ///
    /// If the tensor is of another checkpoint that has more files.
    pub fn values(&self, tensor: &Tensor) -> Result<Mapped, Error> {
        self.shards[tensor.shard].map(tensor.bytes.clone())
    }

    /// SHA-256 of its headers' JSON, one after the other, in hexadecimal: what a plan knows its source by.
    pub fn header_sha256(&self) -> String {
        let mut hash = Sha256::new();
        for shard in &self.shards {
            hash.update(shard.header_json());
        }
        hash.finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Whether one of its files is the one at `path`, by whatever name.
    pub fn is_at(&self, path: &Path) -> bool {
        self.shards.iter().any(|shard| shard.is_at(path))
    }

    /// Whether the two checkpoints' headers are the same, byte for byte.
    pub fn has_same_header(&self, other: &Self) -> bool {
        let own = self.shards.iter().map(Shard::header_json);
        own.eq(other.shards.iter().map(Shard::header_json))
    }
}
