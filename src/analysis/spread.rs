//! How numbers are spread.

use serde::Serialize;

/// The quartiles and the 95th percentile of some numbers, interpolated between neighbours as numpy's `percentile` does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// A quarter is below.
    pub q1: f64,
    /// Half are below.
    pub median: f64,
    /// Three quarters are below.
    pub q3: f64,
    /// 95 % are below.
    pub p95: f64,
    /// The greatest.
    pub max: f64,
    /// Arithmetic mean.
    pub mean: f64,
}

impl Spread {
    /// Of these numbers, in any order; `None` if there are none.
    pub fn of(numbers: &[f64]) -> Option<Self> {
        let mut rising = numbers.to_vec();
        rising.sort_unstable_by(f64::total_cmp);
        Some(Self {
            min: *rising.first()?,
            q1: quantile(&rising, 0.25),
            median: quantile(&rising, 0.5),
            q3: quantile(&rising, 0.75),
            p95: quantile(&rising, 0.95),
            max: *rising.last()?,
            // Of the sorted numbers, so that their order does not show.
            mean: rising.iter().sum::<f64>() / rising.len() as f64,
        })
    }
}

/// Below which this share of the numbers is; there must be some.
fn quantile(rising: &[f64], share: f64) -> f64 {
    let place = share * (rising.len() - 1) as f64;
    let (below, part) = (place.floor() as usize, place.fract());
    let (low, high) = (rising[below], rising[(below + 1).min(rising.len() - 1)]);
    low + part * (high - low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_numpy_s() {
        // numpy.percentile([4, 1, 3, 2], [25, 50, 75, 95])
        let spread = Spread::of(&[4.0, 1.0, 3.0, 2.0]).unwrap();
        let expected = Spread {
            min: 1.0,
            q1: 1.75,
            median: 2.5,
            q3: 3.25,
            p95: 3.8499999999999996,
            max: 4.0,
            mean: 2.5,
        };
        assert_eq!(spread, expected);
        assert_eq!(Spread::of(&[7.0]).unwrap().q3, 7.0);
        assert_eq!(Spread::of(&[]), None);
    }
}
