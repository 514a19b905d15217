//! Counts over all thresholds.

use std::ops::AddAssign;

use serde::Serialize;

pub(super) use crate::similarity::tau_bins::{INTERVALS, interval};
pub use crate::similarity::tau_bins::{THRESHOLDS, threshold};

/// How many there are strictly above each threshold, exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(extend("minItems" = THRESHOLDS, "maxItems" = THRESHOLDS)))]
pub struct Curve(Vec<u64>);

impl Curve {
    /// The curve of these similarities.
    pub fn of(similarities: impl IntoIterator<Item = f64>) -> Self {
        let mut counts = [0; INTERVALS];
        for similarity in similarities {
            counts[interval(similarity)] += 1;
        }
        Self::of_intervals(&counts)
    }

    /// From how many there are in each interval.
    pub(super) fn of_intervals(counts: &[u64; INTERVALS]) -> Self {
        let mut above = vec![0; THRESHOLDS];
        let mut sum = 0;
        for place in (0..THRESHOLDS).rev() {
            sum += counts[place + 1];
            above[place] = sum;
        }
        Self(above)
    }

    /// From counts by threshold.
    #[cfg(test)]
    pub(crate) fn from_counts(counts: Vec<u64>) -> Self {
        Self(counts)
    }

    /// By threshold, [`THRESHOLDS`] of them, never rising.
    pub fn above(&self) -> &[u64] {
        &self.0
    }
}

impl Default for Curve {
    fn default() -> Self {
        Self(vec![0; THRESHOLDS])
    }
}

impl AddAssign<&Curve> for Curve {
    fn add_assign(&mut self, other: &Curve) {
        for (sum, more) in self.0.iter_mut().zip(&other.0) {
            *sum += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by_definition(similarity: f64) -> usize {
        (0..THRESHOLDS)
            .filter(|&place| threshold(place) < similarity)
            .count()
    }

    #[test]
    fn thresholds_and_their_neighbours_are_in_the_intervals_of_the_definition() {
        for place in 0..THRESHOLDS {
            let tau = threshold(place);
            for similarity in [tau.next_down(), tau, tau.next_up()] {
                assert_eq!(interval(similarity), by_definition(similarity), "{tau}");
            }
        }
        assert_eq!(threshold(170), 0.7);
        assert_eq!(threshold(100), 0.0);
    }

    #[test]
    fn the_test_is_strict() {
        let curve = Curve::of([0.5, 0.5, -1.0, 1.0]);
        let above = |place: usize| curve.above()[place];
        assert_eq!((above(0), above(1), above(149), above(150)), (3, 3, 3, 1));
        assert_eq!((above(199), above(200)), (1, 0));
        let mut twice = curve.clone();
        twice += &curve;
        assert_eq!(twice.above()[149], 6);
        assert_eq!(Curve::of([]), Curve::default());
    }

    proptest! {
        #[test]
        fn intervals_are_those_of_the_definition(similarity in -1.0f64..=1.0) {
            prop_assert_eq!(interval(similarity), by_definition(similarity));
        }
    }
}
