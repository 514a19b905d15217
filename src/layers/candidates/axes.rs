//! The order of axes: `[out, in, k…]` in PyTorch, `[out, k…, in]` in MLX, `[k…, in, out]` in Keras, Flax and TensorFlow.
//!
//! Kernels are usually as high as they are wide, so axes that are equal and small are the kernel's. Few shapes allow only
//! one reading (`[3, 3, 64, 64]` allows two), so all weights of a file vote.

use std::collections::{BTreeMap, HashSet};

/// Largest kernel extent in weights of rank 4 and 5: large-kernel networks go up to 31.
const LARGEST_KERNEL: usize = 31;

/// Smallest extent that is taken for channels where the other axes are a kernel's.
const MIN_CHANNELS: usize = 8;

/// Largest kernel extent in weights of rank 3, where no second axis confirms it.
const LARGEST_LONE_KERNEL: usize = 11;

/// So many votes against PyTorch's order decide without further evidence, such as a chain of widths.
const MIN_VOTES: usize = 3;

/// The order of one weight's axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AxisOrder {
    /// `[out, in, k…]`, or `[in, out, k…]` where transposed.
    KernelsFirst,
    /// `[out, k…, in]`: kernels are on the first axis all the same.
    ChannelsLast,
    /// The same, but only shapes say so, or other weights contradict it.
    MaybeChannelsLast,
    /// `[k…, in, out]`.
    KernelsLast,
}

/// The order of axes in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axes {
    order: AxisOrder,
    /// Whether some of its weights can only have another order.
    contradicted: bool,
}

/// The orders of axes that a shape allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Readings {
    kernels_first: bool,
    channels_last: bool,
    kernels_last: bool,
}

impl Readings {
    fn of(shape: &[usize]) -> Self {
        let equal = |extents: &[usize]| extents.windows(2).all(|pair| pair[0] == pair[1]);
        let kernel = |extents: &[usize]| equal(extents) && extents[0] <= LARGEST_KERNEL;
        let rank = shape.len();
        if rank == 3 {
            let small = |at: usize| shape[at] <= LARGEST_LONE_KERNEL;
            // Where both extents are small, or both large, either may be the kernel's. The first may be PyTorch's kernels.
            return Self {
                kernels_first: small(2) || !small(1),
                channels_last: small(1) || !small(2),
                kernels_last: false,
            };
        }
        Self {
            // No limit: FCN's upsampling kernels are 64×64.
            kernels_first: equal(&shape[2..]),
            channels_last: kernel(&shape[1..rank - 1]),
            kernels_last: kernel(&shape[..rank - 2])
                && shape[rank - 2..]
                    .iter()
                    .any(|&extent| extent >= MIN_CHANNELS && extent > shape[0]),
        }
    }

    fn only(self, order: AxisOrder) -> bool {
        let Self {
            kernels_first,
            channels_last,
            kernels_last,
        } = self;
        match order {
            AxisOrder::KernelsFirst => kernels_first && !channels_last && !kernels_last,
            AxisOrder::ChannelsLast | AxisOrder::MaybeChannelsLast => {
                channels_last && !kernels_first && !kernels_last
            }
            AxisOrder::KernelsLast => kernels_last && !kernels_first && !channels_last,
        }
    }
}

impl Axes {
    pub const PYTORCH: Self = Self {
        order: AxisOrder::KernelsFirst,
        contradicted: false,
    };

    /// Infers it from the shapes of a file's convolutions and the file's metadata.
    pub fn of(shapes: &[&[usize]], metadata: &BTreeMap<String, String>) -> Self {
        let read = |shape: &&&[usize]| !shape.contains(&0) && (3..=5).contains(&shape.len());
        let shapes: Vec<&[usize]> = shapes.iter().filter(read).copied().collect();
        let readings: Vec<Readings> = shapes.iter().map(|shape| Readings::of(shape)).collect();
        let declared = metadata.get("format").is_some_and(|format| format == "mlx");
        let votes = |order: AxisOrder, lowest: usize| {
            let all = shapes.iter().zip(&readings);
            all.filter(|(shape, readings)| shape.len() >= lowest && readings.only(order))
                .count()
        };
        if declared {
            let first = votes(AxisOrder::KernelsFirst, 3);
            let channels_last = votes(AxisOrder::ChannelsLast, 3);
            // Some programs write this format but keep PyTorch's axes.
            return if first > 0 && channels_last == 0 {
                Self::PYTORCH
            } else {
                Self {
                    order: AxisOrder::ChannelsLast,
                    contradicted: first > 0,
                }
            };
        }
        let deep = || {
            let all = shapes.iter().zip(&readings);
            all.filter(|(shape, _)| shape.len() >= 4)
        };
        let most = |fits: fn(&Readings) -> bool| {
            let fitting = deep().filter(|(_, readings)| fits(readings)).count();
            fitting * 3 >= deep().count() * 2
        };
        if votes(AxisOrder::KernelsFirst, 4) > 0 {
            return Self::PYTORCH;
        }
        let channels_last = votes(AxisOrder::ChannelsLast, 4);
        let kernels_last = votes(AxisOrder::KernelsLast, 4);
        let wide = |range: fn(&[usize]) -> usize, order: AxisOrder| {
            deep().any(|(shape, readings)| range(shape) > 1 && readings.only(order))
        };
        if kernels_last > channels_last
            && most(|readings| readings.kernels_last)
            && (wide(|shape| shape[0], AxisOrder::KernelsLast) || kernels_last >= MIN_VOTES)
        {
            return Self {
                order: AxisOrder::KernelsLast,
                contradicted: false,
            };
        }
        let given: HashSet<usize> = shapes.iter().map(|shape| shape[0]).collect();
        let chained = || {
            let reads = |shape: &[usize]| shape[shape.len() - 1];
            deep().any(|(shape, _)| reads(shape) >= MIN_CHANNELS && given.contains(&reads(shape)))
        };
        if channels_last > 0
            && most(|readings| readings.channels_last)
            && wide(|shape| shape[1], AxisOrder::ChannelsLast)
            && (channels_last >= MIN_VOTES || chained())
        {
            return Self {
                order: AxisOrder::MaybeChannelsLast,
                contradicted: false,
            };
        }
        Self::PYTORCH
    }

    /// The order of one weight's axes; `bias` is the length of its module's bias.
    pub fn of_weight(&self, shape: &[usize], bias: Option<usize>) -> AxisOrder {
        match self.order {
            AxisOrder::KernelsFirst if is_kernels_last(shape, bias) => AxisOrder::KernelsLast,
            AxisOrder::ChannelsLast
                if self.contradicted && !Readings::of(shape).only(AxisOrder::ChannelsLast) =>
            {
                AxisOrder::MaybeChannelsLast
            }
            order => order,
        }
    }
}

/// Whether a weight by itself can only be `[k…, in, out]`: `[3, 3, 64, 128]`, or `[3, 3, 64, 64]` with 64 biases.
fn is_kernels_last(shape: &[usize], bias: Option<usize>) -> bool {
    let rank = shape.len();
    let (spatial, channels) = shape.split_at(rank - 2);
    let is_kernel = spatial.iter().all(|&extent| extent == shape[0]) && shape[0] <= LARGEST_KERNEL;
    if let Some(bias) = bias {
        let transposed =
            bias.is_multiple_of(shape[1]) && shape[0].is_multiple_of((bias / shape[1]).max(1));
        return is_kernel && bias == channels[1] && bias != shape[0] && !transposed;
    }
    // PyTorch has no kernels of 64×128: its large ones, for upsampling, are square.
    rank >= 4
        && is_kernel
        && shape[0] > 1
        && channels[0] != channels[1]
        && channels
            .iter()
            .all(|&extent| extent >= MIN_CHANNELS && extent > 2 * shape[0])
}

/// Whether a weight of another name than `weight` seems to be `[k…, in, out]`: small equal extents first, then large ones,
/// or ones that cannot be a kernel's. `named` says that Keras, Flax or TensorFlow use that name.
pub(super) fn seems_kernels_last(shape: &[usize], named: bool) -> bool {
    let (spatial, channels) = shape.split_at(shape.len() - 2);
    let kernel = spatial[0];
    let is_kernel = kernel <= LARGEST_LONE_KERNEL && spatial.iter().all(|&extent| extent == kernel);
    let large = channels[1] > LARGEST_LONE_KERNEL && channels[1] > kernel;
    is_kernel
        && (large
            || (shape.len() >= 4 && Readings::of(shape).only(AxisOrder::KernelsLast))
            || (named && shape.len() >= 4 && !channels.iter().all(|&extent| extent < kernel)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(shapes: &[&[usize]], format: &str) -> Vec<AxisOrder> {
        let metadata = BTreeMap::from([("format".to_owned(), format.to_owned())]);
        let axes = Axes::of(shapes, &metadata);
        shapes
            .iter()
            .map(|shape| axes.of_weight(shape, None))
            .collect()
    }

    #[test]
    fn the_metadata_says_mlx_unless_the_shapes_deny_it() {
        use AxisOrder::{ChannelsLast, KernelsFirst, MaybeChannelsLast};
        let mlx: [&[usize]; 4] = [
            &[32, 7, 7, 3],
            &[32, 3, 3, 1],
            &[64, 1, 1, 32],
            &[3, 3, 3, 3],
        ];
        assert_eq!(order(&mlx, "mlx"), [ChannelsLast; 4]);
        assert_eq!(
            order(&[&[64, 3, 80], &[64, 3, 64]], "mlx"),
            [ChannelsLast; 2]
        );
        // A vision tower that was written with PyTorch's axes.
        assert_eq!(order(&[&[1152, 3, 14, 14]], "mlx"), [KernelsFirst]);
        assert_eq!(
            order(&[&[32, 3, 3, 16], &[32, 16, 3, 3], &[8, 3, 3, 3]], "mlx"),
            [ChannelsLast, MaybeChannelsLast, MaybeChannelsLast]
        );
    }

    #[test]
    fn shapes_alone_may_say_mlx() {
        let mlx: [&[usize]; 4] = [
            &[32, 7, 7, 3],
            &[32, 3, 3, 1],
            &[64, 1, 1, 32],
            &[64, 3, 3, 64],
        ];
        assert_eq!(order(&mlx, "pt"), [AxisOrder::MaybeChannelsLast; 4]);
        assert_eq!(
            order(&[&[32, 3, 3, 3], &[64, 3, 3, 32]], "pt"),
            [AxisOrder::MaybeChannelsLast; 2]
        );
    }

    #[test]
    fn shapes_alone_may_say_keras() {
        let keras: [&[usize]; 4] = [
            &[7, 7, 3, 64],
            &[3, 3, 64, 64],
            &[3, 3, 64, 1],
            &[1, 1, 64, 128],
        ];
        assert_eq!(order(&keras, "pt"), [AxisOrder::KernelsLast; 4]);
        assert_eq!(order(&[&[3, 3, 64, 128]], "pt"), [AxisOrder::KernelsLast]);
        assert_eq!(order(&[&[3, 3, 3, 8, 16]], "pt"), [AxisOrder::KernelsLast]);
    }

    #[test]
    fn pytorch_s_unusual_kernels_are_pytorch_s() {
        let nets: [&[[usize; 4]]; 12] = [
            &[[3, 3, 7, 7], [1, 1, 8, 8], [8, 8, 16, 16], [4, 4, 1, 1]],
            &[[21, 21, 4, 4], [21, 21, 16, 16]],
            &[[1, 1, 64, 64], [2, 2, 64, 64], [2, 2, 32, 32]],
            &[[8, 8, 16, 16]],
            &[[64, 64, 1, 7], [64, 64, 7, 1]],
            // EEGNet and its kin: kernels over time, then over electrodes.
            &[
                [8, 1, 1, 64],
                [16, 1, 22, 1],
                [16, 1, 1, 16],
                [16, 16, 1, 1],
            ],
            &[
                [25, 1, 1, 5],
                [25, 25, 22, 1],
                [50, 25, 1, 5],
                [100, 50, 1, 5],
            ],
            &[[40, 1, 1, 25], [40, 40, 22, 1]],
            &[[8, 1, 1, 64]],
            &[[1, 1, 1, 65]],
            // A text CNN: windows of some words, as wide as the embedding.
            &[[100, 1, 3, 300], [100, 1, 4, 300], [100, 1, 5, 300]],
            &[[100, 3, 3, 300]],
        ];
        for shapes in nets {
            let shapes: Vec<&[usize]> = shapes.iter().map(<[usize; 4]>::as_slice).collect();
            assert!(
                order(&shapes, "pt")
                    .iter()
                    .all(|&order| order == AxisOrder::KernelsFirst),
                "{shapes:?}"
            );
        }
        let flat: [&[usize]; 4] = [&[8, 16, 16], &[32, 3, 80], &[1, 1, 3], &[64, 32, 31]];
        assert_eq!(order(&flat, "pt"), [AxisOrder::KernelsFirst; 4]);
        let video: [&[usize]; 4] = [
            &[45, 3, 1, 7, 7],
            &[64, 45, 3, 1, 1],
            &[144, 64, 1, 3, 3],
            &[64, 144, 3, 1, 1],
        ];
        assert_eq!(order(&video, "pt"), [AxisOrder::KernelsFirst; 4]);
    }

    #[test]
    fn a_bias_tells_the_axis_of_the_kernels() {
        let read = |shape: &[usize], bias| Axes::PYTORCH.of_weight(shape, Some(bias));
        assert_eq!(read(&[3, 3, 64, 64], 64), AxisOrder::KernelsLast);
        assert_eq!(read(&[1, 1, 64, 128], 128), AxisOrder::KernelsLast);
        assert_eq!(read(&[3, 16, 32], 32), AxisOrder::KernelsLast);
        assert_eq!(read(&[3, 3, 64, 128], 3), AxisOrder::KernelsFirst);
        // A transposed convolution with two groups.
        assert_eq!(read(&[2, 2, 4, 4], 4), AxisOrder::KernelsFirst);
    }

    #[test]
    fn included_names_are_read_by_their_shape() {
        assert!(seems_kernels_last(&[3, 3, 16, 32], false));
        assert!(seems_kernels_last(&[3, 3, 1, 8], false));
        assert!(seems_kernels_last(&[3, 3, 32, 1], false));
        assert!(seems_kernels_last(&[3, 3, 8, 8], true));
        assert!(!seems_kernels_last(&[3, 3, 8, 8], false));
        assert!(!seems_kernels_last(&[32, 32, 3, 3], true));
        assert!(!seems_kernels_last(&[8, 8, 3, 3], true));
    }
}
