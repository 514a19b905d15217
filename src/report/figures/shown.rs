//! The thresholds that a figure shows: few layers have kernels all over −1 to 1.

use std::ops::{Range, RangeInclusive};

/// Thresholds in a tenth.
const PLACES: i32 = 10;
/// The least that is shown, in tenths.
const LEAST: i32 = 4;
/// What is kept free on both sides.
const MARGIN: f64 = 0.02;

/// A range of thresholds between two tenths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    from: i32,
    to: i32,
}

impl Shown {
    /// All there are.
    pub const ALL: Self = Self { from: -10, to: 10 };

    /// All of these thresholds with a margin; all there are if these are none.
    pub fn around(thresholds: impl IntoIterator<Item = f64>) -> Self {
        let ends = thresholds.into_iter().fold(None, |ends, tau: f64| {
            let (least, greatest) = ends.unwrap_or((tau, tau));
            Some((tau.min(least), tau.max(greatest)))
        });
        let Some((least, greatest)) = ends else {
            return Self::ALL;
        };
        let clamped = |tenths: f64| (tenths as i32).clamp(Self::ALL.from, Self::ALL.to);
        // The slack makes up for tenths that binary does not hold.
        let from = clamped(((least - MARGIN) * 10.0 + 1e-9).floor());
        let to = clamped(((greatest + MARGIN) * 10.0 - 1e-9).ceil());
        let missing = (LEAST - (to - from)).max(0);
        // Widened on both sides, as far as thresholds go on either.
        let from = (from - missing / 2).clamp(Self::ALL.from, Self::ALL.to - LEAST);
        Self {
            from,
            to: to.max(from + LEAST),
        }
    }

    /// As the range of an axis.
    pub fn range(self) -> Range<f64> {
        f64::from(self.from) / 10.0..f64::from(self.to) / 10.0
    }

    /// The places of its thresholds in a curve.
    pub fn places(self) -> RangeInclusive<usize> {
        let place = |tenths: i32| ((tenths - Self::ALL.from) * PLACES) as usize;
        place(self.from)..=place(self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{THRESHOLDS, threshold};

    fn around(thresholds: &[f64]) -> (f64, f64) {
        let range = Shown::around(thresholds.iter().copied()).range();
        (range.start, range.end)
    }

    #[test]
    fn all_that_matters_is_shown_with_a_margin() {
        assert_eq!(around(&[]), (-1.0, 1.0));
        assert_eq!(around(&[-1.0, 1.0]), (-1.0, 1.0));
        assert_eq!(around(&[0.05, 0.57]), (0.0, 0.6));
        assert_eq!(around(&[0.0, 0.59]), (-0.1, 0.7));
        assert_eq!(around(&[0.02, 0.58, 0.3]), (0.0, 0.6));
    }

    #[test]
    fn no_range_is_too_narrow_or_beyond_thresholds() {
        assert_eq!(around(&[0.55]), (0.4, 0.8));
        assert_eq!(around(&[1.0]), (0.6, 1.0));
        assert_eq!(around(&[-1.0]), (-1.0, -0.6));
        for place in 0..THRESHOLDS {
            for other in place..THRESHOLDS {
                let (least, greatest) = (threshold(place), threshold(other));
                let shown = Shown::around([least, greatest]);
                let (from, to) = around(&[least, greatest]);
                assert!(-1.0 <= from && from <= least, "{shown:?}");
                assert!(greatest <= to && to <= 1.0, "{shown:?}");
                assert!(to - from > 0.399, "{shown:?}");
                assert_eq!(threshold(*shown.places().start()), from);
                assert_eq!(threshold(*shown.places().end()), to);
            }
        }
    }
}
