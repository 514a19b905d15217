//! How numbers are spread.

/// The quartiles of some numbers, interpolated between neighbours as numpy's `percentile` does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// A quarter is below.
    pub q1: f64,
    /// Half are below.
    pub median: f64,
    /// Three quarters are below.
    pub q3: f64,
    /// The greatest.
    pub max: f64,
    /// Their mean.
    pub mean: f64,
}

impl Spread {
    /// Of these numbers, in any order; `None` if there are none.
    pub fn of(_numbers: &[f64]) -> Option<Self> {
        todo!()
    }
}
