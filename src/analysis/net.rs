//! What holds for all layers that take part together.

use super::{Curve, Expected, LayerNumbers, ThresholdHint};

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
    /// What chance gives above each threshold.
    pub by_chance: Expected,
    /// Thresholds that merge [`SHARES`](super::SHARES) of all kernels.
    pub hints: Vec<ThresholdHint>,
    /// The greatest similarity of all.
    pub greatest: Option<f64>,
}

impl NetNumbers {
    pub fn of<'n>(layers: impl Iterator<Item = &'n LayerNumbers>) -> Self {
        let mut net = Self {
            kernels: 0,
            pairs: 0,
            pairs_above: Curve::default(),
            kernels_above: Curve::default(),
            by_chance: Expected::default(),
            hints: Vec::new(),
            greatest: None,
        };
        let mut greatest = Vec::new();
        for layer in layers {
            net.kernels += layer.norms.len();
            net.pairs += layer.pairs;
            net.pairs_above += &layer.pairs_above;
            net.kernels_above += &layer.kernels_above;
            net.by_chance += &layer.by_chance.expected;
            greatest.extend(layer.nearest.similarities());
        }
        net.greatest = greatest.iter().copied().reduce(f64::max);
        net.hints = ThresholdHint::for_shares(net.kernels, greatest);
        net
    }
}
