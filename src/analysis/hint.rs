//! Which threshold merges a share of the kernels.

use serde::Serialize;

/// Shares of the kernels for which a threshold is worth knowing, in percent.
pub const SHARES: [f64; 5] = [1.0, 5.0, 10.0, 20.0, 50.0];

/// Decimals of a suggested threshold.
const DECIMALS: i32 = 4;

/// A threshold at which a share of the kernels has an eligible partner.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ThresholdHint {
    /// The share, in percent.
    #[cfg_attr(test, schemars(range(min = 0, max = 100)))]
    pub percent: f64,
    /// The threshold, rounded down to 4 decimals.
    #[cfg_attr(test, schemars(range(min = -1, max = 1)))]
    pub tau: f64,
    /// Kernels with an eligible partner there.
    pub kernels: usize,
}

impl ThresholdHint {
    /// The threshold just below the similarity of the kernel that completes the share of so many kernels; `falling` holds
    /// each one's greatest similarity, of those that have one. `None` where too few have, or none above −1.
    pub fn new(percent: f64, kernels: usize, falling: &[f64]) -> Option<Self> {
        let wanted = (percent * kernels as f64 / 100.0).ceil().max(1.0) as usize;
        let last = *falling.get(wanted - 1)?;
        let scale = 10f64.powi(DECIMALS);
        let mut tau = (last * scale).floor() / scale;
        if tau >= last {
            // The test is strict, and `last` itself has no more decimals than this.
            tau = ((last * scale).floor() - 1.0) / scale;
        }
        (tau >= -1.0).then(|| Self {
            percent,
            tau,
            kernels: falling.partition_point(|&similarity| similarity > tau),
        })
    }

    /// The thresholds for [`SHARES`] of so many kernels, with these greatest similarities in any order.
    pub(super) fn for_shares(kernels: usize, mut greatest: Vec<f64>) -> Vec<Self> {
        greatest.sort_unstable_by(|a, b| b.total_cmp(a));
        let hint = |&percent: &f64| Self::new(percent, kernels, &greatest);
        SHARES.iter().filter_map(hint).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_reaches_its_share() {
        let falling = [0.75, 0.5, 0.25, 0.12345678];
        let hint = |percent| ThresholdHint::new(percent, 4, &falling).unwrap();
        assert_eq!((hint(1.0).tau, hint(1.0).kernels), (0.7499, 1));
        assert_eq!((hint(26.0).tau, hint(26.0).kernels), (0.4999, 2));
        assert_eq!((hint(100.0).tau, hint(100.0).kernels), (0.1234, 4));
        assert_eq!(ThresholdHint::new(100.0, 5, &falling), None);
    }

    #[test]
    fn there_is_one_for_each_share_that_can_be_reached() {
        let hints = ThresholdHint::for_shares(4, vec![0.5, 0.75]);
        let found: Vec<(f64, f64)> = hints.iter().map(|hint| (hint.percent, hint.tau)).collect();
        let expected = [
            (1.0, 0.7499),
            (5.0, 0.7499),
            (10.0, 0.7499),
            (20.0, 0.7499),
            (50.0, 0.4999),
        ];
        assert_eq!(found, expected);
    }
}
