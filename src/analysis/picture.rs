//! Kernels as pictures.

use super::{Pair, Relation};

/// A kernel as a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelPicture {
    /// Pixels along the kernel's last axis.
    pub width: usize,
    /// Pixels along the axis before it; 1 for kernels of one axis.
    pub height: usize,
    /// Row by row, for every pixel one number for each colour.
    pub values: Vec<f32>,
    /// 1, or 3 for the red, green and blue input channels.
    pub colours: usize,
}

/// Two kernels side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct PairPicture {
    /// What they are an example of.
    pub relation: Relation,
    /// Which they are.
    pub pair: Pair,
    /// Their pictures.
    pub pictures: [KernelPicture; 2],
    /// What a pixel shows, for the caption: for example `mean over 64 input channels`.
    pub shows: String,
}
