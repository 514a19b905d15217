//! One entry of a checkpoint's tensor table.

use std::ops::Range;

use safetensors::Dtype;

use super::FloatType;

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
    /// Where the values lie, in bytes from the start of that file.
    pub bytes: Range<usize>,
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

    /// The element type as one that can be merged; `None` for integers, booleans, FP8 and the like.
    pub fn float_type(&self) -> Option<FloatType> {
        FloatType::of(self.dtype)
    }
}
