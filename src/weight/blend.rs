//! The blend `K_i ← α·K_i + (1−α)·K_j` of arXiv 2502.20516, in the arithmetic that PyTorch would use.

/// The two weights of a blend, in both precisions.
///
/// Float32 as PyTorch computes `alpha * a + (1 - alpha) * b` on float32 tensors: both scalars rounded to float32, both
/// products rounded, then their sum. Rust never contracts this into a fused multiply-add.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Blend {
    keep: f64,
    pub(super) take: f64,
    keep_single: f32,
    take_single: f32,
}

impl Blend {
    /// The blend that keeps a share of `alpha` in [0, 1] of the kernel itself.
    pub fn new(alpha: f64) -> Self {
        let take = 1.0 - alpha;
        Self {
            keep: alpha,
            take,
            keep_single: alpha as f32,
            take_single: take as f32,
        }
    }

    /// The blend of a kernel with itself that multiplies it by a factor.
    pub fn scaling(factor: f64) -> Self {
        // The other way round it would be a blend that keeps all.
        Self {
            keep: 0.0,
            take: factor,
            keep_single: 0.0,
            take_single: factor as f32,
        }
    }

    /// The variance of `α·x + (1−α)·y`, of the variances of x and y and their correlation; in float64.
    ///
    /// A share of exactly 1 gives that of x back.
    pub fn variance(self, [x, y]: [f64; 2], correlation: f64) -> f64 {
        if self.take == 0.0 {
            return x;
        }
        let (keep, take) = (self.keep, self.take);
        let covariance = correlation * (x * y).sqrt();
        // Rounding could take it below zero.
        (keep * keep * x + take * take * y + 2.0 * keep * take * covariance).max(0.0)
    }

    #[inline(always)]
    pub(super) fn single(self, a: f32, b: f32) -> f32 {
        self.keep_single * a + self.take_single * b
    }

    #[inline(always)]
    pub(super) fn double(self, a: f64, b: f64) -> f64 {
        self.keep * a + self.take * b
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_variance_is_that_of_a_sum(alpha in 0.0..=1.0f64, x in 0.0..10.0f64, y in 0.0..10.0f64, r in -1.0..=1.0f64) {
            let blend = Blend::new(alpha);
            let variance = blend.variance([x, y], r);
            // It lies between those of a sum of opposite and of equal directions.
            let ends = [-1.0, 1.0].map(|r: f64| (alpha * x.sqrt() + r * (1.0 - alpha) * y.sqrt()).powi(2));
            prop_assert!(variance >= ends[0] - 1e-12 && variance <= ends[1] + 1e-12);
            prop_assert_eq!(Blend::new(1.0).variance([x, y], r), x);
            // Of channels that are the same it stays.
            prop_assert!((blend.variance([x, x], 1.0) - x).abs() <= 1e-14 * x);
            prop_assert_eq!(blend.variance([x, x], 1.0) as f32, x as f32);
        }
    }
}
