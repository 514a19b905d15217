//! One entry of a checkpoint's tensor table.

use std::borrow::Cow;
use std::ops::Range;

use safetensors::Dtype;

use super::{Arrangement, FloatType};

/// A tensor as the header describes it; its values stay in the file until asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Name, unique within the checkpoint.
    pub name: String,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Extents, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// The file that holds the values, of those that make up the checkpoint, from 0.
    pub shard: usize,
    /// Where the values lie, in bytes from the start of that file; of a view all from its first element to its last.
    pub bytes: Range<usize>,
    /// In which order they lie there.
    pub arrangement: Arrangement,
}

impl Tensor {
    /// Number of dimensions, 0 for a scalar.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Number of elements (1 for a scalar).
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it shows a part of a larger tensor, so that its bytes are not its values alone.
    pub fn is_view(&self) -> bool {
        self.arrangement == Arrangement::View
    }

    /// Its values as they lie in the file, in row-major order; those of a view as they are.
    pub fn row_major<'v>(&self, values: &'v [u8]) -> Cow<'v, [u8]> {
        let size = self.dtype.bitsize() / 8;
        self.arrangement.row_major(&self.shape, values, size)
    }

    /// The element type as one that can be merged; `None` for integers, booleans, FP8 and the like, and for a view.
    pub fn float_type(&self) -> Option<FloatType> {
        FloatType::of(self.dtype).filter(|_| !self.is_view())
    }
}
