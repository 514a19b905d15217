//! Why the similarities of a layer, or their spectrum, cannot be computed.

/// The kernels of a layer cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "every variant's message says what it means")]
pub enum Error {
    /// Kernels with a NaN or an infinity.
    #[error(
        "layer `{layer}`: {count} of {kernels} kernels hold a NaN, an infinity or numbers beyond 1e150 (kernel {first} is the first); the training has diverged: go back to an earlier one, or leave such kernels as they are with --allow-nonfinite"
    )]
    NonFinite {
        layer: String,
        count: usize,
        kernels: usize,
        first: usize,
    },
    /// LAPACK gave up on the eigenvalues of a Gram matrix.
    #[error(
        "layer `{layer}`: LAPACK found no eigenvalues (its iteration did not converge); do without them with --no-spectrum"
    )]
    NoSpectrum { layer: String },
    /// A GPU failed or cannot be used.
    #[error(transparent)]
    Device(#[from] super::cuda::Error),
}
