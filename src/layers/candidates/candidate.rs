//! The tensors that are, or stand for, weights of layers.

/// Channels of an image, at most: those of a network's input, where they are few enough to tell it by.
pub(in crate::layers) const MOST_COLOURS: usize = 4;

/// What a candidate's name and shape say about its layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::layers) enum Layout {
    /// `[out, in/groups, k…]`.
    Forward,
    /// `[in, out/groups, k…]`, with the groups.
    Transposed(usize),
    /// One of the two above; nothing tells which.
    Undecided,
    /// The main part of a parametrised weight: it holds a place in the order, but is not merged.
    Parametrised,
    /// A further part of a parametrised weight: it holds no place.
    Part,
    /// `[height, width, in, out]`, as TensorFlow, Keras and Flax have it: it holds a place in the order, but is not merged.
    Foreign,
    /// MLX's `[out, k…, in/groups]`. Where that is not certain, it holds a place in the order, but is not merged.
    ChannelsLast {
        /// Whether the file's metadata says so, and nothing denies it.
        certain: bool,
    },
    /// A factor of an adapter (LoRA and its kin): it holds no place and is not merged.
    Adapter,
    /// Some extent is zero.
    Empty,
    /// The bias has this length, which neither axis explains.
    Misfit(usize),
}

/// A tensor that is, or stands for, the weight of a layer.
#[derive(Clone, Debug)]
pub(in crate::layers) struct Candidate<'a> {
    /// Index into the tensor table.
    pub tensor: usize,
    /// Path of the module it belongs to.
    pub module: &'a str,
    pub shape: &'a [usize],
    /// How the extents are to be read.
    pub layout: Layout,
    /// The other tensors that hold its weight, as indices into the tensor table.
    pub copies: Vec<usize>,
    /// Whether a candidate of another network stands for its weight.
    pub is_twin: bool,
}

impl Candidate<'_> {
    /// Whether it is a fully connected layer.
    pub fn linear(&self) -> bool {
        self.shape.len() == 2
    }

    /// Whether it is a layer, rather than a part of one that another tensor stands for.
    pub fn has_place(&self) -> bool {
        !matches!(self.layout, Layout::Part | Layout::Adapter)
    }

    /// Output channels: the number of kernels.
    pub fn out(&self) -> usize {
        match self.layout {
            Layout::Transposed(groups) => self.shape[1].saturating_mul(groups),
            Layout::Foreign => match self.foreign() {
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
            Layout::Foreign => match self.foreign() {
                (_, 1) if !self.is_point() => 1,
                (channels, _) => channels,
            },
            _ => self.shape[1],
        }
    }

    /// The trailing extents, where these are the channels that come in and go out.
    fn foreign(&self) -> (usize, usize) {
        (
            self.shape[self.shape.len() - 2],
            self.shape[self.shape.len() - 1],
        )
    }

    /// Its extents as PyTorch would have them, channels first.
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
            Layout::Foreign => 0..rank - 2,
            _ => 2..rank,
        };
        self.shape[kernel].iter().all(|&extent| extent == 1)
    }
}
