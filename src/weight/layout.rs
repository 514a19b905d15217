//! Which elements of a weight tensor belong to which kernel.

use std::ops::Range;

use crate::layers::Kind;

/// The place of every kernel of a weight, in elements.
///
/// Convolutions and linear layers are `[O, I/groups, k…]`: a kernel is one run of elements. Transposed convolutions are
/// `[I, O/groups, k…]`: a kernel is one run of `∏k` elements for every input channel of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelLayout {
    /// Number of kernels (output channels).
    kernels: usize,
    /// Runs of consecutive elements that make up one kernel.
    runs: usize,
    /// Elements in a run.
    run: usize,
    /// Kernels interleaved in one stretch of the tensor: 1, or the output channels of a group when transposed.
    interleaved: usize,
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
            },
            Kind::Conv | Kind::Pointwise | Kind::Depthwise | Kind::Linear => Self {
                kernels: outer,
                runs: 1,
                run: inner.checked_mul(size)?,
                interleaved: 1,
            },
        };
        layout.runs.checked_mul(layout.run)?;
        Some(layout)
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
        self.interleaved == 1 && self.runs == 1
    }

    /// Copies a kernel's numbers, `row`, to their places among the tensor's values; both of numbers of `size` bytes.
    pub fn scatter(&self, kernel: usize, row: &[u8], values: &mut [u8], size: usize) {
        let runs = self.runs(kernel);
        for (run, numbers) in runs.zip(row.chunks_exact(self.run * size)) {
            values[run.start * size..run.end * size].copy_from_slice(numbers);
        }
    }

    /// The runs of elements that make up one kernel, in order.
    pub fn runs(&self, kernel: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let Self {
            runs,
            run,
            interleaved,
            ..
        } = *self;
        let (group, within) = (kernel / interleaved, kernel % interleaved);
        (group * runs..(group + 1) * runs).map(move |input| {
            let start = (input * interleaved + within) * run;
            start..start + run
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
