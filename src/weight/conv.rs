//! A convolution's weight in a checkpoint.

use crate::checkpoint::{Checkpoint, FloatType, Tensor};
use crate::layers::Kind;
use crate::similarity::{Error, Kernels, NonFinite};

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
    /// The weight in this tensor; `None` where it is of no mergeable type, or cannot be of this kind and these groups.
    pub fn new(tensor: &'a Tensor, kind: Kind, groups: usize) -> Option<Self> {
        Some(Self {
            tensor,
            float: tensor.float_type()?,
            layout: KernelLayout::new(kind, groups, &tensor.shape)?,
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

    /// The kernels ready to be compared, from the rows of this weight.
    ///
    /// # Errors
    ///
    /// Where kernels hold a NaN or an infinity and those are refused.
    pub fn kernels<'s>(&self, rows: Rows<'s>, non_finite: NonFinite) -> Result<Kernels<'s>, Error> {
        Kernels::new(
            &self.tensor.name,
            rows,
            self.layout.kernels(),
            self.groups,
            non_finite,
        )
    }

    /// Where the runs of a kernel lie in the file, in bytes from its start.
    pub fn places_in_file(&self, kernel: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
        let (start, size) = (self.tensor.bytes.start, self.float.size());
        self.layout
            .runs(kernel)
            .map(move |run| start + run.start * size..start + run.end * size)
    }
}
