//! The intervals between the similarities −1.00, −0.99, … 1.00.

/// Thresholds: −1.00, −0.99, … 1.00.
pub const THRESHOLDS: usize = 201;

/// The intervals between the thresholds, and those below and above all of them: a similarity's interval is the number of
/// thresholds that are strictly below it.
pub const INTERVALS: usize = THRESHOLDS + 1;

/// The threshold of this index, from 0: the float64 nearest to its two decimals.
pub fn threshold(index: usize) -> f64 {
    (index as f64 - 100.0) / 100.0
}

/// The interval of a similarity.
pub fn interval(similarity: f64) -> usize {
    // Off by rounding at most; the comparisons with the thresholds decide.
    let near = (similarity * 100.0 + 101.0).clamp(0.0, THRESHOLDS as f64) as usize;
    let is_above = |index: usize| threshold(index) < similarity;
    let mut interval = near.min(THRESHOLDS);
    while interval > 0 && !is_above(interval - 1) {
        interval -= 1;
    }
    while interval < THRESHOLDS && is_above(interval) {
        interval += 1;
    }
    interval
}

/// The intervals between which a similarity lies that is off by no more than `error`; 0 and 0 if that is NaN.
///
/// Scaled and shifted so that interval k is [k, k + 1), numbers below 256 are rounded by at most 2⁻¹⁶ in each of the three
/// operations, together less than a millionth of similarity; that is less than the slack in the error bounds, which
/// keeps it away from the ends, too: which of them belong to an interval makes no difference.
#[inline(always)]
pub(super) fn intervals(value: f32, error: f32) -> [i32; 2] {
    let (middle, reach) = (value * 100.0 + 101.0, error * 100.0);
    [(middle - reach) as i32, (middle + reach) as i32]
}
