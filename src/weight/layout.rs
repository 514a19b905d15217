//! Which elements of a weight tensor belong to which kernel.

use std::ops::Range;
use std::sync::Arc;

use crate::checkpoint::{Arrangement, Tensor};
use crate::layers::Kind;

/// The place of every kernel of a weight, in elements.
///
/// Convolutions and linear layers are `[O, I/groups, k…]`: a kernel is one run of elements. Transposed convolutions are
/// `[I, O/groups, k…]`: a kernel is one run of `∏k` elements for every input channel of its group. Where the axes are permuted
/// in the file, every element is a run: a kernel's numbers are read in the order of its shape, so that the results of every
/// sum over them are those of the same weight in row-major order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelLayout {
    /// Number of kernels (output channels).
    kernels: usize,
    /// Runs of consecutive elements that make up one kernel.
    runs: usize,
    /// Elements in a run.
    run: usize,
    /// Kernels interleaved in one stretch of the tensor: 1, or the output channels of a group when transposed.
    interleaved: usize,
    /// If the axes are permuted.
    permuted: Option<Arc<Permuted>>,
}

/// Where the elements of a weight with permuted axes lie.
#[derive(Debug, PartialEq, Eq)]
struct Permuted {
    /// Of the first kernel, in the order of its shape.
    elements: Vec<usize>,
    /// From a group's kernels to those of the next; a convolution's kernel is a group of its own here.
    group: usize,
    /// From a kernel to the next one of its group.
    kernel: usize,
}

impl KernelLayout {
    /// The layout of a weight of this shape; `None` where the shape cannot be one of this kind and these groups.
    pub fn new(kind: Kind, groups: usize, shape: &[usize]) -> Option<Self> {
        let &[outer, inner, ref spatial @ ..] = shape else {
            return None;
        };
        if groups == 0 || !outer.is_multiple_of(groups) {
            return None;
        }
        // Of a tensor without elements, the other extents may be anything.
        let size = spatial
            .iter()
            .try_fold(1usize, |product, &extent| product.checked_mul(extent))?;
        let layout = match kind {
            Kind::Transposed => Self {
                kernels: inner.checked_mul(groups)?,
                runs: outer / groups,
                run: size,
                interleaved: inner.max(1),
                permuted: None,
            },
            Kind::Conv | Kind::Pointwise | Kind::Depthwise | Kind::Linear => Self {
                kernels: outer,
                runs: 1,
                run: inner.checked_mul(size)?,
                interleaved: 1,
                permuted: None,
            },
        };
        layout.runs.checked_mul(layout.run)?;
        Some(layout)
    }

    /// The layout of a weight in this tensor; `None` as for [`KernelLayout::new`], and if it is a view.
    pub fn of(kind: Kind, groups: usize, tensor: &Tensor) -> Option<Self> {
        let layout = Self::new(kind, groups, &tensor.shape)?;
        let axes = match &tensor.arrangement {
            Arrangement::RowMajor => return Some(layout),
            Arrangement::Permuted(axes) => axes,
            Arrangement::View => return None,
        };
        let strides = Arrangement::strides(axes, &tensor.shape);
        // The axis of the kernels comes first in a convolution, second in a transposed one.
        let (kernel, group) = match kind {
            Kind::Transposed => (1, strides[0] * layout.runs),
            _ => (0, strides[0]),
        };
        let mut elements = vec![0];
        for axis in (0..axes.len()).filter(|&axis| axis != kernel) {
            let extent = match (kind, axis) {
                (Kind::Transposed, 0) => layout.runs,
                _ => tensor.shape[axis],
            };
            let along = |start: &usize| {
                let start = *start;
                let step = strides[axis];
                (0..extent).map(move |index| start + index * step)
            };
            elements = elements.iter().flat_map(along).collect();
        }
        Some(Self {
            runs: elements.len(),
            run: 1,
            permuted: Some(Arc::new(Permuted {
                elements,
                group,
                kernel: strides[kernel],
            })),
            ..layout
        })
    }

    /// Number of kernels, `n`.
    pub fn kernels(&self) -> usize {
        self.kernels
    }

    /// Numbers in a kernel, `d`.
    pub fn kernel_len(&self) -> usize {
        self.runs * self.run
    }

    /// Whether every kernel is one run of elements, so that the tensor itself is the row-major matrix of kernels.
    pub fn is_contiguous(&self) -> bool {
        self.interleaved == 1 && self.runs == 1 && self.permuted.is_none()
    }

    /// Copies a kernel's numbers, `row`, to their places among the tensor's values; both of numbers of `size` bytes.
    pub fn scatter(&self, kernel: usize, row: &[u8], values: &mut [u8], size: usize) {
        let runs = self.runs(kernel);
        for (run, numbers) in runs.zip(row.chunks_exact(self.run * size)) {
            values[run.start * size..run.end * size].copy_from_slice(numbers);
        }
    }

    /// The runs of elements that make up one kernel, in order.
    pub fn runs(&self, kernel: usize) -> impl Iterator<Item = Range<usize>> {
        let (group, within) = (kernel / self.interleaved, kernel % self.interleaved);
        (0..self.runs).map(move |index| {
            let start = match &self.permuted {
                None => ((group * self.runs + index) * self.interleaved + within) * self.run,
                Some(places) => {
                    group * places.group + within * places.kernel + places.elements[index]
                }
            };
            start..start + self.run
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_convolution_kernel_is_one_run() {
        let layout = KernelLayout::new(Kind::Conv, 2, &[4, 3, 2, 2]).unwrap();
        assert_eq!((layout.kernels(), layout.kernel_len()), (4, 12));
        assert!(layout.is_contiguous());
        assert!(layout.runs(2).eq(std::iter::once(24..36)));
    }

    #[test]
    fn a_transposed_kernel_has_a_run_for_every_input_of_its_group() {
        // I = 4, groups = 2, O/groups = 3, k = 2.
        let layout = KernelLayout::new(Kind::Transposed, 2, &[4, 3, 2]).unwrap();
        assert_eq!((layout.kernels(), layout.kernel_len()), (6, 4));
        assert!(!layout.is_contiguous());
        assert_eq!(layout.runs(1).collect::<Vec<_>>(), [2..4, 8..10]);
        assert_eq!(layout.runs(5).collect::<Vec<_>>(), [16..18, 22..24]);
    }

    #[test]
    fn the_elements_of_permuted_kernels_come_in_the_order_of_their_shape() {
        let of = |kind, groups, shape: &[usize], axes: &[usize]| {
            let tensor = Tensor {
                name: "w".to_owned(),
                dtype: crate::checkpoint::Dtype::F32,
                shape: shape.to_vec(),
                shard: 0,
                bytes: 0..4 * shape.iter().product::<usize>(),
                arrangement: Arrangement::Permuted(axes.to_vec()),
            };
            KernelLayout::of(kind, groups, &tensor).unwrap()
        };
        let starts = |layout: &KernelLayout, kernel| -> Vec<usize> {
            layout.runs(kernel).map(|run| run.start).collect()
        };
        // [O, H, W, I] in the file: channel after channel of a kernel, each of its numbers two apart.
        let conv = of(Kind::Conv, 1, &[3, 2, 1, 2], &[0, 2, 3, 1]);
        assert_eq!(starts(&conv, 1), [4, 6, 5, 7]);
        assert!(!conv.is_contiguous());
        // I = 4, groups = 2, O/groups = 3, k = 2, and [O/groups, k, I] in the file.
        let transposed = of(Kind::Transposed, 2, &[4, 3, 2], &[1, 2, 0]);
        assert_eq!((transposed.kernels(), transposed.kernel_len()), (6, 4));
        assert_eq!(starts(&transposed, 0), [0, 4, 1, 5]);
        assert_eq!(starts(&transposed, 5), [18, 22, 19, 23]);
    }

    #[test]
    fn the_kernels_of_a_layout_cover_each_element_once() {
        for (kind, groups, shape) in [
            (Kind::Conv, 2, vec![6, 3, 2]),
            (Kind::Transposed, 1, vec![6, 3, 2]),
            (Kind::Transposed, 3, vec![6, 3, 2]),
        ] {
            let layout = KernelLayout::new(kind, groups, &shape).unwrap();
            let mut elements: Vec<usize> = (0..layout.kernels())
                .flat_map(|k| layout.runs(k))
                .flatten()
                .collect();
            elements.sort_unstable();
            assert_eq!(elements, (0..36).collect::<Vec<_>>());
        }
    }

    proptest! {
        #[test]
        fn no_shape_is_too_strange(
            kind in prop::sample::select(vec![Kind::Conv, Kind::Transposed]),
            groups in prop::sample::select(vec![0, 1, 2, usize::MAX]),
            shape in prop::collection::vec(prop::sample::select(vec![0, 1, 2, 1 << 40, usize::MAX]), 0..6),
        ) {
            if let Some(layout) = KernelLayout::new(kind, groups, &shape) {
                let _ = (layout.kernels(), layout.kernel_len(), layout.is_contiguous());
            }
        }
    }

    #[test]
    fn groups_that_do_not_divide_are_refused() {
        assert_eq!(KernelLayout::new(Kind::Conv, 3, &[4, 3]), None);
        assert_eq!(KernelLayout::new(Kind::Transposed, 3, &[4, 3, 1]), None);
        assert_eq!(KernelLayout::new(Kind::Conv, 0, &[4, 3]), None);
        assert_eq!(KernelLayout::new(Kind::Conv, 1, &[4]), None);
    }
}
