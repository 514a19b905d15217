//! What the layer model says of one layer.

use super::evidence::Evidence;
use super::kind::Kind;
use super::reason::Reason;

/// A layer of the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Name of its weight. Where several tensors hold it, the name of the fewest segments stands for all, and the first in
    /// natural order among those.
    pub name: String,
    /// The other names of its weight, in byte order.
    pub copies: Vec<String>,
    /// Index of its weight in the tensor table.
    pub tensor: usize,
    /// The same of each of its copies.
    pub copy_tensors: Vec<usize>,
    /// Its kind.
    pub kind: Kind,
    /// Groups of its input channels; kernels of different groups read different channels.
    pub groups: usize,
    /// Its place among the convolutions of its network, from 1; `None` for linear layers that were not asked for
    /// and for the further parts of parametrised weights.
    pub depth: Option<usize>,
    /// Number of kernels: output channels.
    pub kernels: usize,
    /// Shape of its weight.
    pub shape: Vec<usize>,
    /// Whether the weight's last axis is that of the input channels, as MLX lays weights out: `[out, k…, in/groups]`.
    pub channels_last: bool,
    /// Why it is not merged; `None` if it is.
    pub reason: Option<Reason>,
    /// Path of the network it belongs to, where the file holds several.
    pub network: Option<String>,
    /// Where its place comes from.
    pub place_from: Evidence,
    /// Where its kind and groups come from.
    pub kind_from: Evidence,
}

impl Layer {
    /// All names of its weight, the one that stands for it first.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        let copies = self.copies.iter().map(String::as_str);
        std::iter::once(&self.name[..]).chain(copies)
    }

    /// Whether its kernels are merged.
    pub fn selected(&self) -> bool {
        self.reason.is_none()
    }
}
