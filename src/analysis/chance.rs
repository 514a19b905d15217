//! What chance gives, beside what is found.

use std::ops::AddAssign;

use serde::Serialize;

use crate::similarity::{Chance, Nearest};

use super::curve::{INTERVALS, THRESHOLDS, threshold};
use super::dimension;

/// The share of the kernels, in percent, that chance gives a partner at the threshold with which layers are compared.
pub const CHANCE_PERCENT: f64 = 1.0;

/// A layer beside kernels of random directions.
#[derive(Clone, Debug, PartialEq)]
pub struct ByChance {
    /// Numbers of a kernel: the dimension of the random directions.
    pub dimension: usize,
    /// The dimension in which random directions would have cosines of the same mean square; `None` without pairs, and where it
    /// is beyond some 40,000.
    pub effective_dimension: Option<f64>,
    /// The threshold at which chance gives a partner to 1 % of the kernels: that of `--tau chance=1%`.
    pub tau: f64,
    /// Kernels with a partner above it.
    pub kernels: usize,
    /// Their share of the layer's kernels, less that of chance.
    pub excess: f64,
    /// What chance gives above every threshold.
    pub expected: Expected,
}

impl ByChance {
    /// Of a layer with so many pairs in each interval, and these nearest neighbours.
    pub(crate) fn new(chance: Chance, counts: &[u64; INTERVALS], nearest: &Nearest) -> Self {
        let tau = chance.threshold_for(CHANCE_PERCENT / 100.0);
        let above = nearest
            .similarities()
            .filter(|&similarity| similarity > tau);
        let (kernels, all) = (above.count(), nearest.by_kernel().len());
        Self {
            dimension: chance.dimension(),
            effective_dimension: dimension::effective(counts),
            tau,
            kernels,
            excess: kernels as f64 / all as f64 - CHANCE_PERCENT / 100.0,
            expected: Expected::new(chance, all, counts.iter().sum()),
        }
    }
}

/// How many pairs and kernels are above each threshold by chance, on average; by threshold.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Expected {
    /// Pairs above it, to six decimals.
    #[cfg_attr(test, schemars(extend("minItems" = THRESHOLDS, "maxItems" = THRESHOLDS)))]
    pub pairs_above: Vec<f64>,
    /// Kernels with a partner above it, to six decimals.
    #[cfg_attr(test, schemars(extend("minItems" = THRESHOLDS, "maxItems" = THRESHOLDS)))]
    pub kernels_above: Vec<f64>,
}

impl Expected {
    /// Of so many kernels and pairs.
    fn new(chance: Chance, kernels: usize, pairs: u64) -> Self {
        let thresholds = (0..THRESHOLDS).map(threshold);
        let above = thresholds.map(|tau| chance.pair_above(tau));
        let expected = |above: f64| {
            [
                six_decimals(pairs as f64 * above),
                six_decimals(kernels as f64 * chance.partner(above)),
            ]
        };
        let (pairs_above, kernels_above) = above.map(expected).map(Into::into).unzip();
        Self {
            pairs_above,
            kernels_above,
        }
    }
}

/// Whose sums have six decimals too, but for what float64 rounds.
fn six_decimals(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

impl Default for Expected {
    fn default() -> Self {
        Self {
            pairs_above: vec![0.0; THRESHOLDS],
            kernels_above: vec![0.0; THRESHOLDS],
        }
    }
}

impl AddAssign<&Expected> for Expected {
    fn add_assign(&mut self, other: &Expected) {
        for (sums, more) in [
            (&mut self.pairs_above, &other.pairs_above),
            (&mut self.kernels_above, &other.kernels_above),
        ] {
            for (sum, more) in sums.iter_mut().zip(more) {
                *sum = six_decimals(*sum + more);
            }
        }
    }
}
