//! The tensors that are, or stand for, weights of layers.

/// Most channels that an image has; a layer that reads no more may read the network's input.
pub(in crate::layers) const IMAGE_CHANNELS: usize = 4;

/// What a candidate's name and shape say about its layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::layers) enum Layout {
    /// `[out, in/groups, k…]`.
    Forward,
    /// `[in, out/groups, k…]`, with its groups.
    Transposed(usize),
    /// One of the two above; nothing tells which.
    Undecided,
    /// The main tensor of a parametrised weight: it counts in depth, but is not merged.
    Parametrised,
    /// A further tensor of a parametrised weight: it does not count in depth.
    ParametrisedPart,
    /// `[height, width, in, out]` of TensorFlow, Keras and Flax: it counts in depth, but is not merged.
    KernelsLast,
    /// MLX's `[out, k…, in/groups]`. If that is not certain, it counts in depth, but is not merged.
    ChannelsLast {
        /// Whether the file's metadata says so, and nothing contradicts it.
        certain: bool,
    },
    /// A factor of an adapter (LoRA and similar): it neither counts in depth nor is merged.
    Adapter,
    /// Some extent is zero.
    Empty,
    /// The bias has this length, which fits neither axis.
    BiasMismatch(usize),
}

/// A tensor that is, or stands for, the weight of a layer.
#[derive(Clone, Debug)]
pub(in crate::layers) struct Candidate<'a> {
    /// Index into the tensor table.
    pub tensor: usize,
    /// Path of the module it belongs to.
    pub module: &'a str,
    pub shape: &'a [usize],
    /// The meaning of its extents.
    pub layout: Layout,
    /// The other tensors that hold its weight, as indices into the tensor table.
    pub copies: Vec<usize>,
    /// Whether a candidate of another network represents its weight.
    pub is_duplicate: bool,
}

impl Candidate<'_> {
    /// Whether it is a fully connected layer.
    pub fn linear(&self) -> bool {
        self.shape.len() == 2
    }

    /// Whether it is a layer, not a part of one that another tensor represents.
    pub fn is_layer(&self) -> bool {
        !matches!(self.layout, Layout::ParametrisedPart | Layout::Adapter)
    }

    /// Output channels: the number of kernels.
    pub fn out(&self) -> usize {
        match self.layout {
            Layout::Transposed(groups) => self.shape[1].saturating_mul(groups),
            Layout::KernelsLast => match self.trailing_channels() {
                // Keras keeps depthwise kernels as `[height, width, channels, multiplier]`.
                (channels, 1) if !self.is_point() => channels,
                (_, out) => out,
            },
            _ => self.shape[0],
        }
    }

    /// Input channels that one kernel reads; for a transposed convolution, all input channels.
    pub fn reads(&self) -> usize {
        match self.layout {
            Layout::Transposed(_) => self.shape[0],
            Layout::ChannelsLast { .. } => self.shape[self.shape.len() - 1],
            Layout::KernelsLast => match self.trailing_channels() {
                (_, 1) if !self.is_point() => 1,
                (channels, _) => channels,
            },
            _ => self.shape[1],
        }
    }

    /// Input and output channels of a weight whose kernels are on the last axis.
    fn trailing_channels(&self) -> (usize, usize) {
        (
            self.shape[self.shape.len() - 2],
            self.shape[self.shape.len() - 1],
        )
    }

    /// Its extents, with those of a channels-last weight in PyTorch's order.
    pub fn extents(&self) -> Vec<usize> {
        let mut extents = self.shape.to_vec();
        if matches!(self.layout, Layout::ChannelsLast { .. }) {
            extents[1..].rotate_right(1);
        }
        extents
    }

    /// Whether all kernel sizes are 1.
    pub fn is_point(&self) -> bool {
        let rank = self.shape.len();
        let kernel = match self.layout {
            Layout::ChannelsLast { .. } => 1..rank - 1,
            Layout::KernelsLast => 0..rank - 2,
            _ => 2..rank,
        };
        self.shape[kernel].iter().all(|&extent| extent == 1)
    }
}
