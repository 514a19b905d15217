//! The most similar pairs of a layer, the most nearly orthogonal ones, and the most opposite.

/// Two kernels of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Their numbers, the lower one first.
    pub kernels: [usize; 2],
    /// Their similarity, in [−1, 1].
    pub similarity: f64,
    /// Their Euclidean norms.
    pub norms: [f64; 2],
}

impl Pair {
    /// The lesser norm over the greater, in [0, 1].
    pub fn norm_ratio(&self) -> f64 {
        let [a, b] = self.norms;
        a.min(b) / a.max(b)
    }
}

/// Which extreme a pair is an example of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Of greatest similarity.
    Similar,
    /// Of similarity nearest to 0.
    Orthogonal,
    /// Of least similarity.
    Opposite,
}
