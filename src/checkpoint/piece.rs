//! A range of one of a checkpoint's files.

use std::ops::Range;

use super::Tensor;

/// Bytes that a change may have at most, and that are copied at once.
pub const PIECE_BYTES: usize = 1 << 20;

/// A range of one of a checkpoint's files, in bytes from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The file, from 0.
    pub shard: usize,
    /// The bytes.
    pub bytes: Range<usize>,
}

impl Piece {
    /// The bytes of a tensor.
    pub fn of(tensor: &Tensor) -> Self {
        Self {
            shard: tensor.shard,
            bytes: tensor.bytes.clone(),
        }
    }
}
