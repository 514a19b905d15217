//! In how many numbers the directions of a layer's kernels spread.

use super::curve::{INTERVALS, THRESHOLDS, threshold};
use super::rounded::to_digits;

/// The effective dimension of the kernels of which so many pairs are in each interval of similarity: 1 / E[cos²], which is d
/// for independent directions that are uniform over the sphere in d numbers, and less for all others. `None` without pairs, and
/// where it is too great to be told from the intervals.
///
/// Pairs are taken to be in the middle of their interval, and what that adds to the mean of the squares, a twelfth of the
/// interval's square, is taken away again (Sheppard's correction). While their standard deviation is more than half an interval,
/// which is below 40,000 dimensions, that is right to 2 % where there are hundreds of pairs; it is rounded to three digits.
pub(super) fn effective(counts: &[u64; INTERVALS]) -> Option<f64> {
    const WIDTH: f64 = 0.01;
    const LEAST: f64 = WIDTH * WIDTH / 4.0;
    let middle = |interval: usize| match interval {
        // Exactly −1: the first threshold is not above it.
        0 => -1.0,
        _ => threshold(interval.min(THRESHOLDS - 1)) - WIDTH / 2.0,
    };
    let pairs: u64 = counts.iter().sum();
    let squares = (0..)
        .zip(counts)
        .map(|(interval, &count)| count as f64 * middle(interval).powi(2));
    // NaN without pairs.
    let mean = squares.sum::<f64>() / pairs as f64 - WIDTH * WIDTH / 12.0;
    (mean >= LEAST).then(|| to_digits((1.0 / mean).max(1.0), 3))
}

#[cfg(test)]
mod tests {
    use super::super::curve::interval;
    use super::*;
    use crate::similarity::Chance;

    fn of(counts: impl IntoIterator<Item = (f64, u64)>) -> Option<f64> {
        let mut by_interval = [0; INTERVALS];
        for (similarity, count) in counts {
            by_interval[interval(similarity)] += count;
        }
        effective(&by_interval)
    }

    #[test]
    fn that_of_uniform_directions_is_theirs() {
        for d in [2, 3, 9, 64, 576, 4608, 20_000] {
            let chance = Chance::new(d, 2);
            let above = |place: usize| chance.pair_above(threshold(place));
            let counts = (1..THRESHOLDS).map(|place| {
                let share = above(place - 1) - above(place);
                (threshold(place) - 0.005, (share * 1e15) as u64)
            });
            let found = of(counts).unwrap();
            assert!((found / d as f64 - 1.0).abs() < 0.02, "{d}: {found}");
        }
    }

    #[test]
    fn of_no_pair_there_is_none() {
        assert_eq!(of([]), None);
        assert_eq!(of([(-0.001, 5), (0.001, 5)]), None);
        assert_eq!(of([(-1.0, 5)]), Some(1.0));
    }
}
