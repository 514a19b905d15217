//! The eigenvalues of a layer's Gram matrix, and how many directions its kernels really use.

/// The spectrum of the Gram matrix K·Kᵀ of a layer's kernels K (n × d) as they are: the squared singular values of its weight.
/// Of layers with groups the matrix is block-diagonal.
///
/// With p = λ / Σλ, the three ranks are exp of the Rényi entropies of p of orders 1, 2 and ∞.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrum {
    /// Eigenvalues λ, falling, as many as kernels; 0 where they are below what float64 resolves (n·ε·λ₁).
    pub eigenvalues: Vec<f64>,
    /// exp(−Σ p ln p); 0 for a layer of zeros, as for the following two.
    pub effective_rank: f64,
    /// Σλ / λ₁ = ‖W‖²_F / ‖W‖²₂.
    pub stable_rank: f64,
    /// (Σλ)² / Σλ².
    pub participation_ratio: f64,
    /// Fewest eigenvalues that sum up to 90 % of Σλ.
    pub for_90_percent: usize,
    /// To 99 %.
    pub for_99_percent: usize,
}
