//! In which order a tensor's elements lie in its file.

use std::borrow::Cow;

/// How the elements of a tensor lie in its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arrangement {
    /// One after the other, the last axis fastest: all that safetensors has, and what PyTorch calls contiguous.
    #[default]
    RowMajor,
    /// One after the other with the axes in this order, the last one fastest: `[0, 2, 3, 1]` where PyTorch says `channels_last`.
    Permuted(Vec<usize>),
    /// With gaps, or some of them several times: a view of a larger tensor. Such values are neither read nor merged.
    View,
}

impl Arrangement {
    /// The arrangement of a tensor of these extents whose elements are this many elements apart along each axis.
    pub fn of(shape: &[usize], strides: &[usize]) -> Self {
        if shape.contains(&0) {
            return Self::RowMajor;
        }
        // Where an axis is of one element, its stride says nothing.
        let mut axes: Vec<usize> = (0..shape.len()).filter(|&axis| shape[axis] > 1).collect();
        axes.sort_by_key(|&axis| std::cmp::Reverse(strides[axis]));
        let mut next = 1usize;
        for &axis in axes.iter().rev() {
            if strides[axis] != next {
                return Self::View;
            }
            next = next.saturating_mul(shape[axis]);
        }
        if axes.is_sorted() {
            return Self::RowMajor;
        }
        let single = (0..shape.len()).filter(|&axis| shape[axis] == 1);
        Self::Permuted(single.chain(axes.iter().copied()).collect())
    }

    /// Elements from each one to the next along each axis, in a tensor of these extents whose axes are in this order.
    pub fn strides(axes: &[usize], shape: &[usize]) -> Vec<usize> {
        let mut strides = vec![1; axes.len()];
        for pair in axes.windows(2).rev() {
            strides[pair[0]] = strides[pair[1]] * shape[pair[1]];
        }
        strides
    }

    /// Elements of `size` bytes that are arranged in this way, in row-major order; those of a view as they are.
    pub fn row_major<'v>(&self, shape: &[usize], values: &'v [u8], size: usize) -> Cow<'v, [u8]> {
        let Self::Permuted(axes) = self else {
            return Cow::Borrowed(values);
        };
        let strides = Self::strides(axes, shape);
        let mut index = vec![0; shape.len()];
        let mut at = 0;
        let mut rows = Vec::with_capacity(values.len());
        while rows.len() < values.len() {
            rows.extend_from_slice(&values[at * size..(at + 1) * size]);
            // Counts up, the last axis first.
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                at += strides[axis];
                if index[axis] < shape[axis] {
                    break;
                }
                at -= strides[axis] * shape[axis];
                index[axis] = 0;
            }
        }
        Cow::Owned(rows)
    }
}
