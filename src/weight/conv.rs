//! A convolution's weight in a checkpoint.

use std::collections::HashSet;

use crate::checkpoint::{FloatType, Tensor};
use crate::layers::Kind;

use super::{KernelLayout, Rows};

/// A weight whose kernels are known, with the tensor that holds it and those that hold a copy.
#[derive(Clone, Debug)]
pub struct ConvWeight<'a> {
    tensor: &'a Tensor,
    copies: Vec<&'a Tensor>,
    float: FloatType,
    layout: KernelLayout,
    groups: usize,
    channels_last: bool,
}

impl<'a> ConvWeight<'a> {
    /// The weight in this tensor; `None` if its type cannot be merged, it has no elements, more kernels or longer ones than BLAS can
    /// index (2³¹ − 1), or cannot be of this kind with this many groups.
    pub fn new(tensor: &'a Tensor, kind: Kind, groups: usize) -> Option<Self> {
        let layout = KernelLayout::of(kind, groups, tensor)?;
        let blas_extent = 1..=i32::MAX as usize;
        if !blas_extent.contains(&layout.kernels()) || !blas_extent.contains(&layout.kernel_len()) {
            return None;
        }
        Some(Self {
            tensor,
            copies: Vec::new(),
            float: tensor.float_type()?,
            layout,
            groups: kind.groups_compared(groups),
            channels_last: false,
        })
    }

    /// The same, with the input channels on the last axis or not: `[out, k…, in/groups]`. The kernels are the same runs of
    /// elements.
    pub fn with_channels_last(self, channels_last: bool) -> Self {
        Self {
            channels_last,
            ..self
        }
    }

    /// Whether the input channels are on the last axis.
    pub fn is_channels_last(&self) -> bool {
        self.channels_last
    }

    /// The same weight with these copies: tensors of the same dtype and shape that are equal in every byte. Those that lie in
    /// the same bytes as another are left out.
    pub fn with_copies(self, mut copies: Vec<&'a Tensor>) -> Self {
        let mut taken = HashSet::from([place(self.tensor)]);
        copies.retain(|copy| taken.insert(place(copy)));
        Self { copies, ..self }
    }

    /// The tensor whose name stands for the weight.
    pub fn tensor(&self) -> &'a Tensor {
        self.tensor
    }

    /// The other tensors that hold it, in bytes of their own; none if it has no copies.
    pub fn copies(&self) -> &[&'a Tensor] {
        &self.copies
    }

    /// All tensors that hold it, one for all that lie in the same bytes.
    pub fn tensors(&self) -> impl Iterator<Item = &'a Tensor> {
        std::iter::once(self.tensor).chain(self.copies.iter().copied())
    }

    /// Where the kernels lie in it.
    pub fn layout(&self) -> &KernelLayout {
        &self.layout
    }

    /// Number of equal groups within which kernels are compared.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// The multiply-adds of a comparison of all pairs of its kernels.
    pub fn pairs_products(&self) -> u64 {
        let (n, d) = (
            self.layout.kernels() as u64,
            self.layout.kernel_len() as u64,
        );
        n.saturating_mul(n).saturating_mul(d) / 2 / self.groups as u64
    }

    /// The type of its numbers.
    pub fn float(&self) -> FloatType {
        self.float
    }

    /// Size of its values in bytes, counted once.
    pub fn bytes(&self) -> usize {
        self.tensor.bytes.len()
    }

    /// Size of its values in bytes in all tensors that hold it.
    pub fn bytes_with_copies(&self) -> usize {
        self.bytes() * (1 + self.copies.len())
    }

    /// The kernels' numbers, from the tensor's values.
    pub fn rows<'s>(&self, values: &'s [u8]) -> Rows<'s> {
        Rows::gather(values, self.float, &self.layout)
    }
}

/// Where a tensor's bytes begin.
fn place(tensor: &Tensor) -> (usize, usize) {
    (tensor.shard, tensor.bytes.start)
}
