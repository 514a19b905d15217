//! Which similarities chance alone gives.

use crate::weight::ConvWeight;

/// Kernels of a layer whose directions are independent and uniform over the sphere, as those of a layer that has not been
/// trained are: the yardstick for the similarities of one that has been.
///
/// The cosine of two such directions in d numbers exceeds c with probability P(c) = ½·I₁₋꜀²((d−1)/2, ½), the regularised
/// incomplete beta function, for c ≥ 0, and 1 − P(−c) for c < 0. A kernel's cosines with the m others of its group are
/// independent, so one of them exceeds c with probability 1 − (1−P(c))ᵐ.
///
/// Computed in additions, multiplications, divisions and the functions of the `libm` crate, whose results do not depend on
/// the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chance {
    /// Numbers of a kernel, d.
    dimension: usize,
    /// Kernels that each one is compared with, m.
    others: usize,
}

/// Steps of a threshold between 0 and 1.
const STEPS: i32 = 1_000_000;

impl Chance {
    /// For kernels of so many numbers, so many in a group.
    pub fn new(dimension: usize, kernels: usize) -> Self {
        Self {
            dimension,
            others: kernels.saturating_sub(1),
        }
    }

    /// For the kernels of a weight.
    pub fn of(weight: &ConvWeight<'_>) -> Self {
        let layout = weight.layout();
        Self::new(layout.kernel_len(), layout.kernels() / weight.groups())
    }

    /// Numbers of a kernel, d.
    pub fn dimension(self) -> usize {
        self.dimension
    }

    /// The probability that two kernels are more similar than `tau`, relative to which it is off by less than 10⁻⁹.
    pub fn pair_above(self, tau: f64) -> f64 {
        if tau < 0.0 {
            // Of one number, directions are 1 and −1, and their cosine is never between.
            let at = f64::from(u8::from(self.dimension == 1 && tau == -1.0)) / 2.0;
            1.0 - upper_tail(self.dimension, -tau) - at
        } else {
            upper_tail(self.dimension, tau)
        }
    }

    /// The probability that a kernel has a partner, one that is more similar than `tau`.
    pub fn partner_above(self, tau: f64) -> f64 {
        self.partner(self.pair_above(tau))
    }

    /// The same, given the probability of two kernels.
    pub fn partner(self, pair_above: f64) -> f64 {
        match self.others {
            0 => 0.0,
            others => -libm::expm1(others as f64 * libm::log1p(-pair_above)),
        }
    }

    /// The smallest threshold of six decimals at which chance gives a partner to no more than this share of the kernels, in
    /// [0, 1].
    pub fn threshold_for(self, share: f64) -> f64 {
        let tau = |step: i32| f64::from(step) / f64::from(STEPS);
        let (mut below, mut enough) = (-STEPS - 1, STEPS);
        while enough - below > 1 {
            let middle = below + (enough - below) / 2;
            if self.partner_above(tau(middle)) <= share {
                enough = middle;
            } else {
                below = middle;
            }
        }
        tau(enough)
    }
}

/// P(c) of directions in `d` numbers, for 0 ≤ c ≤ 1.
///
/// P grows less from d to d + 2 by ½·t(a), with a = (d−1)/2, x = 1−c² and t(a) = xᵃ·c / (a·B(a, ½)), and t(a+1) =
/// t(a)·x·(a+½)/(a+1). So it is half the sum of all t from a on, whose ratios are below x; or, where c is so small that this
/// sum is long, what the terms up to a leave of P for d = 2 or 3, which then is no small difference of large numbers.
fn upper_tail(d: usize, c: f64) -> f64 {
    /// Share of the sum at which what is left no longer matters.
    const NEGLIGIBLE: f64 = 1e-14;
    if d <= 1 {
        return if c < 1.0 { 0.5 } else { 0.0 };
    }
    let x = (1.0 - c) * (1.0 + c);
    // For d = 2 and 3, B(½, ½) = π and B(1, ½) = 2.
    let (mut a, mut term, mut tail) = if d.is_multiple_of(2) {
        let tail = libm::acos(c) / std::f64::consts::PI;
        (0.5, 2.0 / std::f64::consts::PI * x.sqrt() * c, tail)
    } else {
        (1.0, 0.5 * x * c, 0.5 * (1.0 - c))
    };
    let next = |a: f64, term: f64| {
        let next = term * x * (a + 0.5) / (a + 1.0);
        // Below the normal range, rounding would keep it from falling to 0.
        if next < f64::MIN_POSITIVE { 0.0 } else { next }
    };
    let last = (d - 1) as f64 / 2.0;
    while a < last {
        tail -= 0.5 * term;
        term = next(a, term);
        if term == 0.0 {
            break;
        }
        a += 1.0;
    }
    if c * c * (d as f64) < 4.0 {
        return tail;
    }
    let mut sum = 0.0;
    // The terms left sum up to no more than `term / (1 − x)`.
    while term > NEGLIGIBLE * c * c * sum {
        sum += term;
        term = next(a, term);
        a += 1.0;
    }
    0.5 * sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= 1e-9 * expected.abs()
    }

    #[test]
    fn low_dimensions_are_those_of_geometry() {
        for c in [0.0, 1e-9, 0.1, 0.5, 0.9, 0.999_999, 1.0] {
            let pair = |d| Chance::new(d, 2).pair_above(c);
            // An arc's share of the circle, and a cap's of the sphere (Archimedes).
            assert!(close(pair(2), c.acos() / std::f64::consts::PI), "{c}");
            assert!(close(pair(3), (1.0 - c) / 2.0), "{c}");
        }
        let one = Chance::new(1, 2);
        assert_eq!(
            [-1.0, -0.5, 0.0, 0.5, 1.0].map(|c| one.pair_above(c)),
            [0.5, 0.5, 0.5, 0.5, 0.0]
        );
    }

    #[test]
    fn thresholds_are_the_smallest() {
        for (d, n, share) in [(64, 64, 0.01), (576, 64, 0.05), (9, 2, 0.3), (27, 512, 1.0)] {
            let chance = Chance::new(d, n);
            let tau = chance.threshold_for(share);
            assert!(chance.partner_above(tau) <= share);
            let smaller = tau - 1e-6;
            assert!(smaller < -1.0 || chance.partner_above(smaller) > share);
        }
        assert_eq!(Chance::new(9, 4).threshold_for(0.0), 1.0);
        assert_eq!(Chance::new(9, 4).threshold_for(1.0), -1.0);
        assert_eq!(Chance::new(1, 4).threshold_for(0.01), 1.0);
        assert_eq!(Chance::new(9, 1).threshold_for(0.01), -1.0);
    }

    proptest! {
        #[test]
        fn a_greater_similarity_is_less_likely(d in 1usize..5000, n in 1usize..5000, a in -1.0f64..=1.0, b in -1.0f64..=1.0) {
            let chance = Chance::new(d, n);
            let (low, high) = (a.min(b), a.max(b));
            let (often, seldom) = (chance.partner_above(low), chance.partner_above(high));
            prop_assert!((0.0..=1.0).contains(&often) && (0.0..=1.0).contains(&seldom));
            prop_assert!(seldom <= often * (1.0 + 1e-9));
        }

        #[test]
        fn opposite_similarities_are_as_likely(d in 2usize..5000, c in 0.0f64..1.0) {
            let chance = Chance::new(d, 2);
            prop_assert!(close(chance.pair_above(-c), 1.0 - chance.pair_above(c)));
        }
    }
}
