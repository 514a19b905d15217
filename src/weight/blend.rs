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

    #[inline(always)]
    pub(super) fn single(self, a: f32, b: f32) -> f32 {
        self.keep_single * a + self.take_single * b
    }

    #[inline(always)]
    pub(super) fn double(self, a: f64, b: f64) -> f64 {
        self.keep * a + self.take * b
    }
}
