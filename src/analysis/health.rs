//! What is wrong with a layer's kernels.

/// The kernels of a layer that are dead, broken or the same as others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// Kernels of norm below [`EPSILON`](crate::similarity::exact::EPSILON), zero included, rising.
    pub zero: Vec<usize>,
    /// Other kernels whose norm is below 1 % of the median norm of those that take part, rising.
    pub near_dead: Vec<usize>,
    /// Kernels that hold a NaN or an infinity, rising.
    pub non_finite: Vec<usize>,
    /// `(kernel, first)`: kernels that equal an earlier one of their group in every number, and the first that does, rising.
    /// Kernels of zeros are left out.
    pub duplicates: Vec<(usize, usize)>,
    /// `(kernel, first)`: kernels that are an earlier one's negative in every number, as above.
    pub sign_flipped: Vec<(usize, usize)>,
    /// Numbers that are NaN or infinite.
    pub non_finite_numbers: u64,
    /// Numbers below the normal range of their type.
    pub subnormal_numbers: u64,
}

impl Health {
    /// Whether there is nothing to report.
    pub fn is_good(&self) -> bool {
        *self == Self::default()
    }
}
