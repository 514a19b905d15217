//! The float64 definition of similarity, with its order of summation.
//!
//! Every number is widened to float64 and every sum is taken in [`LANES`] lanes: the product of the elements at index
//! `t` goes to lane `t mod 16`, in rising order of `t`, and the lanes are then added in halves. The order is part of the
//! definition: it makes the value the same on every machine, and lets a compiler use vector registers without changing it.

use std::marker::PhantomData;

use crate::simd::{self, Loop};
use crate::weight::Element;

/// ε of PyTorch's `cosine_similarity`: norms below it count as it, and kernels below it never merge.
pub const EPSILON: f64 = 1e-8;

/// Partial sums kept side by side.
pub const LANES: usize = 16;

/// The dot product of two kernels as stored.
pub fn dot<E: Element>(x: &[u8], y: &[u8]) -> f64 {
    simd::widest(LaneSum::<E, Product> {
        x,
        y,
        of: PhantomData,
    })
}

/// The squared Euclidean distance of two kernels as stored.
pub fn squared_distance<E: Element>(x: &[u8], y: &[u8]) -> f64 {
    simd::widest(LaneSum::<E, SquaredDifference> {
        x,
        y,
        of: PhantomData,
    })
}

/// One addend of a sum over two kernels.
trait Term {
    fn of(x: f64, y: f64) -> f64;
}

struct Product;

impl Term for Product {
    #[inline(always)]
    fn of(x: f64, y: f64) -> f64 {
        x * y
    }
}

struct SquaredDifference;

impl Term for SquaredDifference {
    #[inline(always)]
    fn of(x: f64, y: f64) -> f64 {
        (x - y) * (x - y)
    }
}

struct LaneSum<'a, E, T> {
    x: &'a [u8],
    y: &'a [u8],
    of: PhantomData<(E, T)>,
}

impl<E: Element, T: Term> Loop for LaneSum<'_, E, T> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let mut lanes = [0.0f64; LANES];
        let mut xs = self.x.chunks_exact(LANES * E::SIZE);
        let mut ys = self.y.chunks_exact(LANES * E::SIZE);
        for (x, y) in xs.by_ref().zip(ys.by_ref()) {
            let (x, y) = (widened::<E>(x), widened::<E>(y));
            for lane in 0..LANES {
                lanes[lane] += T::of(x[lane], y[lane]);
            }
        }
        let xs = xs.remainder().chunks_exact(E::SIZE);
        let ys = ys.remainder().chunks_exact(E::SIZE);
        for (lane, (x, y)) in lanes.iter_mut().zip(xs.zip(ys)) {
            *lane += T::of(E::read(x).widen(), E::read(y).widen());
        }
        in_halves(lanes)
    }
}

/// The numbers of a chunk of up to [`LANES`]; zeros after them.
#[inline(always)]
pub(super) fn widened<E: Element>(chunk: &[u8]) -> [f64; LANES] {
    let mut numbers = [0.0; LANES];
    for (number, x) in numbers.iter_mut().zip(chunk.chunks_exact(E::SIZE)) {
        *number = E::read(x).widen();
    }
    numbers
}

/// The sum of the lanes, added in halves.
#[inline(always)]
pub(super) fn in_halves(mut lanes: [f64; LANES]) -> f64 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// The Euclidean norm of a kernel as stored.
pub fn norm<E: Element>(x: &[u8]) -> f64 {
    dot::<E>(x, x).sqrt()
}

/// Whether a kernel of this norm takes part: finite, and of norm at least [`EPSILON`].
pub fn is_live(norm: f64) -> bool {
    norm.is_finite() && norm >= EPSILON
}

/// Cosine similarity from a dot product and two norms, step 1 of the algorithm (`algorithm.md` calls it `sim`), within
/// [−1, 1]: rounding alone would put it a few 2⁻⁵³ beyond for parallel kernels.
pub fn cosine(dot: f64, norm_x: f64, norm_y: f64) -> f64 {
    (dot / (norm_x.max(EPSILON) * norm_y.max(EPSILON))).clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn known_values() {
        let x = bytes(&[3.0, 4.0]);
        let y = bytes(&[5.0, 0.0]);
        assert_eq!(norm::<f32>(&x), 5.0);
        assert_eq!(dot::<f32>(&x, &y), 15.0);
        assert_eq!(cosine(15.0, 5.0, 5.0), 0.6);
    }

    #[test]
    fn the_order_of_summation_is_the_documented_one() {
        // In lane 0 the elements 0, 16 and 32 meet in this order: 1e16 + 1 is 1e16, then −1e16 leaves 0. Lane 1 adds 1.
        let mut x = vec![0.0f32; 33];
        let mut y = vec![1.0f32; 33];
        (x[0], x[16], x[32]) = (1e8, 1.0, -1e8);
        (y[0], y[32]) = (1e8, 1e8);
        x[1] = 1.0;
        assert_eq!(dot::<f32>(&bytes(&x), &bytes(&y)), 1.0);
    }

    #[test]
    fn kernels_without_length_are_near_nothing() {
        assert_eq!(cosine(0.0, 0.0, 1.0), 0.0);
        assert_eq!(cosine(1e-9, 1e-9, 1.0), 0.1);
    }

    proptest! {
        #[test]
        fn similarity_is_symmetric_and_bounded(x in prop::collection::vec(-1e3f32..1e3, 1..70), seed in any::<u64>()) {
            let y: Vec<f32> = x.iter().enumerate().map(|(i, v)| v * ((seed >> (i % 50)) as u8 as f32 - 100.0)).collect();
            let (x, y) = (bytes(&x), bytes(&y));
            let (nx, ny) = (norm::<f32>(&x), norm::<f32>(&y));
            let forth = cosine(dot::<f32>(&x, &y), nx, ny);
            let back = cosine(dot::<f32>(&y, &x), ny, nx);
            prop_assert_eq!(forth.to_bits(), back.to_bits());
            prop_assert!((-1.0..=1.0).contains(&forth));
        }
    }
}
