//! What changes along with a layer's kernels: numbers of its output channels.
//!
//! After `K_i ← α·K_i + (1−α)·K_j` channel i gives `α·z_i + (1−α)·z_j`, where z is what the channels gave before. So its mean is
//! `α·μ_i + (1−α)·μ_j`, exactly, if the bias is blended alike, and its variance
//! `α²·v_i + (1−α)²·v_j + 2·α·(1−α)·r·√(v_i·v_j)`, where r is the correlation of the two. That is the kernels' cosine similarity where
//! the layer's inputs are uncorrelated and of one variance, and otherwise only nearly: r is not in the checkpoint.

use serde::{Deserialize, Serialize};

use crate::checkpoint::Tensor;
use crate::layers::{Layer, NormBehind};

/// What is to be changed along with the kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Carry {
    /// The running mean and variance of the BatchNorm behind a layer, and the layer's bias, which is part of the mean.
    pub norm: bool,
    /// That BatchNorm's weight γ and bias β.
    pub affine: bool,
    /// The bias of a layer without BatchNorm behind it. Where that is in doubt it stays.
    pub bias: bool,
}

/// The tensors that change along with a layer's kernels, one number a kernel; of all that hold its weight.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Carried {
    /// Those that are blended as the kernels are: biases, means, γ and β.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blended: Vec<String>,
    /// Those that become the variance of the blended channels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variances: Vec<String>,
}

impl Carry {
    /// Whether there is something.
    pub fn is_any(self) -> bool {
        self != Self::default()
    }

    /// What that is of a layer.
    pub fn of(self, layer: &Layer, tensors: &[Tensor]) -> Carried {
        let mut carried = Carried::default();
        for behind in &layer.behind {
            let norm = behind.norm.found();
            let takes_bias = match behind.norm {
                NormBehind::Found(_) => self.norm,
                NormBehind::Doubtful => false,
                NormBehind::None | NormBehind::NotFound => self.bias,
            };
            let bias = behind.bias.filter(|_| takes_bias);
            let mean = norm.filter(|_| self.norm).map(|norm| norm.mean);
            let affine = norm.filter(|_| self.affine);
            let affine = affine.map(|norm| [norm.scale, norm.shift]);
            let blended = [bias, mean].into_iter().chain(affine.into_iter().flatten());
            let variance = norm.filter(|_| self.norm).map(|norm| norm.variance);
            for (names, indices) in [
                (&mut carried.blended, blended.flatten().collect::<Vec<_>>()),
                (&mut carried.variances, variance.into_iter().collect()),
            ] {
                let found = indices.into_iter().map(|index| tensors[index].name.clone());
                names.extend(found);
            }
        }
        carried
    }
}

impl Carried {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The names of all.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.blended.iter().chain(&self.variances)
    }
}
