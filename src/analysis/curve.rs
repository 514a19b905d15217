//! Counts over all thresholds.

/// Thresholds of a curve: −1.00, −0.99, … 1.00.
pub const THRESHOLDS: usize = 201;

/// The threshold at a place of a curve, from 0: the float64 nearest to its two decimals.
pub fn threshold(place: usize) -> f64 {
    (place as f64 - 100.0) / 100.0
}

/// How many there are strictly above each threshold, exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Curve(Vec<u64>);

impl Curve {
    /// From counts by threshold.
    #[cfg(test)]
    pub(crate) fn from_counts(counts: Vec<u64>) -> Self {
        Self(counts)
    }

    /// By threshold, [`THRESHOLDS`] of them, never rising.
    pub fn above(&self) -> &[u64] {
        &self.0
    }
}
