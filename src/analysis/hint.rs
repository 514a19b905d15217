//! Which threshold merges a share of the kernels.

/// Shares of the kernels for which a threshold is worth knowing, in percent.
pub const SHARES: [f64; 5] = [1.0, 5.0, 10.0, 20.0, 50.0];

/// A threshold at which a share of the kernels has an eligible partner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ThresholdHint {
    /// The share, in percent.
    pub percent: f64,
    /// The threshold, rounded down to 4 decimals.
    pub tau: f64,
    /// Kernels with an eligible partner there.
    pub kernels: usize,
}
