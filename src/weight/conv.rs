//! A convolution's weight in a checkpoint.

use std::borrow::Cow;

use crate::checkpoint::{Checkpoint, FloatType, Tensor};
use crate::layers::Kind;

use super::{KernelLayout, Rows};

/// A weight tensor whose kernels are known.
#[derive(Clone, Debug)]
pub struct ConvWeight<'a> {
    tensor: &'a Tensor,
    float: FloatType,
    layout: KernelLayout,
    groups: usize,
}

impl<'a> ConvWeight<'a> {
    /// The weight in this tensor; `None` where it is of no mergeable type, has no elements, more kernels or longer ones
    /// than BLAS can count (2³¹ − 1), or cannot be of this kind and these groups.
    pub fn new(tensor: &'a Tensor, kind: Kind, groups: usize) -> Option<Self> {
        let layout = KernelLayout::new(kind, groups, &tensor.shape)?;
        let blas_extent = 1..=i32::MAX as usize;
        if !blas_extent.contains(&layout.kernels()) || !blas_extent.contains(&layout.kernel_len()) {
            return None;
        }
        Some(Self {
            tensor,
            float: tensor.float_type()?,
            layout,
            // Every depthwise kernel is a group of its own, in which it would have no partner. Who asks for depthwise
            // kernels wants all of them compared.
            groups: if kind == Kind::Depthwise { 1 } else { groups },
        })
    }

    /// The tensor.
    pub fn tensor(&self) -> &'a Tensor {
        self.tensor
    }

    /// Where the kernels lie in it.
    pub fn layout(&self) -> &KernelLayout {
        &self.layout
    }

    /// The equal parts within which kernels are compared.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// The kernels' numbers.
    pub fn rows<'s>(&self, source: &'s Checkpoint) -> Rows<'s> {
        Rows::gather(source.values(self.tensor), self.float, &self.layout)
    }

    /// The bytes that merging has changed, with their places in the file: `(start, bytes)`, in bytes from its start.
    ///
    /// Where kernels are interleaved, as in transposed weights, that is the whole tensor in one piece rather than
    /// thousands of runs of a few bytes.
    pub fn patches<'r>(
        &self,
        source: &Checkpoint,
        rows: &'r Rows<'_>,
    ) -> Vec<(usize, Cow<'r, [u8]>)> {
        let (start, size) = (self.tensor.bytes.start, self.float.size());
        if self.layout.is_contiguous() {
            let place = |kernel| start + kernel * self.layout.kernel_len() * size;
            return rows
                .merged()
                .map(|(kernel, row)| (place(kernel), Cow::Borrowed(row)))
                .collect();
        }
        let mut values = source.values(self.tensor).to_vec();
        for (kernel, row) in rows.merged() {
            let runs = self
                .layout
                .runs(kernel)
                .map(|run| run.start * size..run.end * size);
            let mut at = 0;
            for run in runs {
                let length = run.len();
                values[run].copy_from_slice(&row[at..at + length]);
                at += length;
            }
        }
        vec![(start, Cow::Owned(values))]
    }
}
