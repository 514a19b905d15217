//! What the layer model says of one layer.

use safetensors::Dtype;
use serde::{Serialize, Serializer};

use super::behind::Behind;
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
    /// Element type of its weight.
    pub dtype: Dtype,
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
    /// By name, as [`Layer::names`] gives them: what else the file has of its output channels.
    pub behind: Vec<Behind>,
}

impl Layer {
    /// Input channels of the layer.
    pub(super) fn inputs(&self) -> usize {
        match self.kind {
            Kind::Transposed => self.shape[0],
            _ if self.channels_last => self.shape[self.shape.len() - 1].saturating_mul(self.groups),
            _ => self
                .shape
                .get(1)
                .map_or(0, |&reads| reads.saturating_mul(self.groups)),
        }
    }

    /// All names of its weight, the one that stands for it first.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        let copies = self.copies.iter().map(String::as_str);
        std::iter::once(&self.name[..]).chain(copies)
    }

    /// Whether its kernels are merged.
    pub fn selected(&self) -> bool {
        self.reason.is_none()
    }

    /// The equal parts within which its kernels are compared.
    pub(crate) fn groups_compared(&self) -> usize {
        self.kind.groups_compared(self.groups)
    }

    /// A convolution in the middle of a network, for tests.
    #[cfg(test)]
    pub(crate) fn sample(name: &str, kind: Kind, shape: &[usize]) -> Self {
        Self {
            name: name.to_owned(),
            copies: Vec::new(),
            tensor: 0,
            copy_tensors: Vec::new(),
            kind,
            groups: 1,
            depth: Some(1),
            kernels: shape[0],
            shape: shape.to_vec(),
            dtype: Dtype::F32,
            channels_last: false,
            reason: None,
            network: None,
            place_from: Evidence::Shapes,
            kind_from: Evidence::Shapes,
            behind: Vec::new(),
        }
    }
}

/// A layer, as `inspect --json` prints it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct PrintedLayer<'a> {
    /// Name of its weight. Where several tensors hold it, the name of the fewest segments stands for all.
    name: &'a str,
    /// The other names of its weight, in byte order.
    copies: &'a [String],
    /// Its place among the convolutions of its network, from 1; none for linear layers that were not asked for and for the
    /// further parts of parametrised weights.
    #[cfg_attr(test, schemars(range(min = 1)))]
    depth: Option<usize>,
    /// Its kind.
    kind: Kind,
    /// Groups of its input channels; kernels of different groups read different channels.
    groups: usize,
    /// Shape of its weight.
    shape: &'a [usize],
    /// Element type of its weight, as safetensors names it: `F32`, `BF16`.
    dtype: String,
    /// Number of kernels: output channels.
    kernels: usize,
    /// Whether it takes part.
    selected: bool,
    /// Why it does not take part; none if it does.
    reason: Option<Reason>,
    /// Path of the network it belongs to, where the file holds several.
    network: Option<&'a str>,
    /// Where its place comes from.
    place_from: Evidence,
    /// Where its kind and groups come from.
    kind_from: Evidence,
    /// Path of the BatchNorm that reads its outputs, where names and lengths tell it, or a list declares it.
    norm: Option<&'a str>,
}

impl Serialize for Layer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let printed = PrintedLayer {
            name: &self.name,
            copies: &self.copies,
            depth: self.depth,
            kind: self.kind,
            groups: self.groups,
            shape: &self.shape,
            dtype: self.dtype.to_string(),
            kernels: self.kernels,
            selected: self.selected(),
            reason: self.reason,
            network: self.network.as_deref(),
            place_from: self.place_from,
            kind_from: self.kind_from,
            norm: self.behind.first().and_then(|behind| {
                let norm = behind.norm.found()?;
                Some(&norm.module[..])
            }),
        };
        printed.serialize(serializer)
    }
}
