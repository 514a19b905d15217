//! Which threshold merges a share of the kernels.

use serde::Serialize;

/// Shares of the kernels for which a threshold is worth knowing, in percent.
pub const SHARES: [f64; 5] = [1.0, 5.0, 10.0, 20.0, 50.0];

/// Decimals of a suggested threshold, and as many as it may need.
const DECIMALS: i32 = 4;
const MOST_DECIMALS: i32 = 15;

/// The smallest threshold at which at most a share of the kernels has an eligible partner, as `--tau 5%` chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ThresholdHint {
    /// The share, in percent.
    #[cfg_attr(test, schemars(range(min = 0, max = 100)))]
    pub percent: f64,
    /// The threshold, rounded up to as few decimals, 4 at least, as leave as many kernels.
    #[cfg_attr(test, schemars(range(min = -1, max = 1)))]
    pub tau: f64,
    /// Kernels with an eligible partner there.
    pub kernels: usize,
}

impl ThresholdHint {
    /// That for a share of so many kernels; `falling` holds each one's greatest similarity, of those that have one. `None` where
    /// none of them may have a partner.
    pub fn new(percent: f64, kernels: usize, falling: &[f64]) -> Option<Self> {
        let above = |tau: f64| falling.partition_point(|&similarity| similarity > tau);
        let most = (percent * kernels as f64 / 100.0).floor() as usize;
        let least = falling.get(most).copied().unwrap_or(-1.0);
        let kernels = above(least);
        let mut rounded = (DECIMALS..=MOST_DECIMALS).map(|decimals| {
            let scale = 10f64.powi(decimals);
            (least * scale).ceil() / scale
        });
        let tau = rounded.find(|&tau| above(tau) == kernels);
        let tau = tau.unwrap_or(least);
        (kernels > 0).then_some(Self {
            percent,
            tau,
            kernels,
        })
    }

    /// The thresholds for [`SHARES`] of so many kernels, with these greatest similarities in any order.
    pub(crate) fn for_shares(kernels: usize, mut greatest: Vec<f64>) -> Vec<Self> {
        greatest.sort_unstable_by(|a, b| b.total_cmp(a));
        let hint = |&percent: &f64| Self::new(percent, kernels, &greatest);
        SHARES.iter().filter_map(hint).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_leaves_at_most_its_share() {
        let falling = [0.75, 0.5, 0.25, 0.12345678];
        let hint = |percent| ThresholdHint::new(percent, 4, &falling);
        let found = |percent| hint(percent).map(|hint| (hint.tau, hint.kernels));
        assert_eq!(found(24.0), None);
        assert_eq!(found(25.0), Some((0.5, 1)));
        assert_eq!(found(75.0), Some((0.1235, 3)));
        assert_eq!(found(100.0), Some((-1.0, 4)));
        // Rounded, it would be above the only one.
        let close = ThresholdHint::new(50.0, 2, &[0.500_02, 0.500_01]).unwrap();
        assert_eq!((close.tau, close.kernels), (0.500_01, 1));
        // Equal ones have a partner together, or none.
        assert_eq!(ThresholdHint::new(50.0, 2, &[0.5, 0.5]), None);
    }

    #[test]
    fn there_is_one_for_each_share_that_can_be_reached() {
        let hints = ThresholdHint::for_shares(20, vec![0.5, 0.75]);
        let found: Vec<(f64, f64)> = hints.iter().map(|hint| (hint.percent, hint.tau)).collect();
        let expected = [(5.0, 0.5), (10.0, -1.0), (20.0, -1.0), (50.0, -1.0)];
        assert_eq!(found, expected);
    }
}
