//! The error bound of screened similarities.

/// The bound for the similarity of two kernels of `d` numbers screened in float32.
///
/// With u = 2⁻²⁴: rounding the unit vectors to float32 costs at most 2u + u², and a float32 dot product of unit vectors
/// at most d·u, in any order of summation, with or without fused multiply-adds (Jeannerod and Rump, *Improved error
/// bounds for inner products in floating-point arithmetic*, SIAM J. Matrix Anal. Appl. 34(2), 2013). What is left of
/// the 8u covers products of the two, underflow (at most d·2⁻¹²⁵ even where subnormals are flushed to zero), and
/// the float64 definition's own rounding, (d+4)·2⁻⁵³.
pub(super) fn guard_band(d: usize) -> f64 {
    (d as f64 + 8.0) * 2f64.powi(-24)
}

/// Added to every kernel's error bound, so that bounds can be compared in float32: sums and differences of numbers below 4 are
/// rounded by at most 2⁻²³ each.
pub(super) const SLACK: f64 = 1.0 / (1 << 20) as f64;
