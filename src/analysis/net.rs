//! What holds for all layers that take part together.

use super::{Curve, LayerNumbers, ThresholdHint};

/// The sums over layers.
#[derive(Clone, Debug, PartialEq)]
pub struct NetNumbers {
    /// Kernels of all layers.
    pub kernels: usize,
    /// Pairs that are compared.
    pub pairs: u64,
    /// Of these, those above each threshold.
    pub pairs_above: Curve,
    /// Kernels with a partner above each threshold.
    pub kernels_above: Curve,
    /// Thresholds that merge [`SHARES`](super::SHARES) of all kernels.
    pub hints: Vec<ThresholdHint>,
    /// The greatest similarity of all.
    pub greatest: Option<f64>,
}

impl NetNumbers {
    /// Sums up.
    pub fn of<'n>(_layers: impl Iterator<Item = &'n LayerNumbers>) -> Self {
        todo!()
    }
}
