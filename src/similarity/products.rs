//! The dot products of all of some kernels with all of some others, by the float64 definition, twice as fast as one after the other.
//!
//! The definition's lanes ([`exact::LANES`]) are sums of their own. Four lanes of three kernels with three others are nine sums in registers,
//! for which each number that is read is used three times; the other lanes come after them. Every lane still adds its products in rising order, so
//! the results are the same bits.

use std::marker::PhantomData;
use std::ops::Range;

use crate::simd::{self, Loop};
use crate::weight::Element;

use super::exact::{self, LANES};

/// Lanes whose sums are in one register.
const PART: usize = 4;

const PARTS: usize = LANES / PART;

/// Kernels whose products are summed together along either side: nine registers of sums, of the sixteen that there are.
const SIDE: usize = 3;

/// Numbers of each kernel that are widened at once: those of 96 kernels take 400 KiB, which fit a core's L2 cache.
const NUMBERS: usize = 32 * LANES;

/// The sums of a part of the lanes, by kernel of either side.
type Sums = [[[f64; PART]; SIDE]; SIDE];

/// Computes dot products. Keeps its memory for the next ones.
#[derive(Default)]
pub(super) struct Products {
    /// Panels of [`SIDE`] kernels along either side. What fills up the last panel does not matter.
    panels: [usize; 2],
    /// The widened numbers of both sides, in the order in which they are multiplied.
    x: Vec<f64>,
    y: Vec<f64>,
    /// By part of the lanes, row and column.
    sums: Vec<Sums>,
}

impl Products {
    /// The dot products of all `xs` with all `ys`, kernels of one length as stored, row-major.
    pub fn of_all<E: Element>(&mut self, xs: &[&[u8]], ys: &[&[u8]]) -> Vec<f64> {
        let bytes = xs.first().map_or(0, |x| x.len());
        self.panels = [xs, ys].map(|kernels| kernels.len().div_ceil(SIDE));
        let [rows, columns] = self.panels;
        self.sums.clear();
        self.sums.resize(PARTS * rows * columns, Sums::default());
        let step = NUMBERS * E::SIZE;
        for start in (0..bytes).step_by(step) {
            let range = start..bytes.min(start + step);
            widen::<E>(xs, range.clone(), &mut self.x);
            widen::<E>(ys, range, &mut self.y);
            simd::widest(Multiply::<E> {
                products: self,
                of: PhantomData,
            });
        }
        let pairs = (0..xs.len()).flat_map(|x| (0..ys.len()).map(move |y| (x, y)));
        pairs
            .map(|(x, y)| exact::in_halves(self.lanes(x, y)))
            .collect()
    }

    /// The lanes of a pair.
    fn lanes(&self, x: usize, y: usize) -> [f64; LANES] {
        let [rows, columns] = self.panels;
        let first = x / SIDE * columns + y / SIDE;
        let mut lanes = [0.0; LANES];
        for (part, lanes) in lanes.chunks_exact_mut(PART).enumerate() {
            let sums = &self.sums[part * rows * columns + first];
            lanes.copy_from_slice(&sums[x % SIDE][y % SIDE]);
        }
        lanes
    }
}

/// Widens a range of bytes of each kernel: by part of the lanes, [`SIDE`] kernels at a time, index and kernel. Zeros fill up the last lanes, which they
/// do not change, as a sum from 0 on is never −0.
fn widen<E: Element>(kernels: &[&[u8]], range: Range<usize>, numbers: &mut Vec<f64>) {
    struct Widen<'w, E> {
        kernels: &'w [&'w [u8]],
        range: Range<usize>,
        numbers: &'w mut [f64],
        of: PhantomData<E>,
    }

    impl<E: Element> Loop for Widen<'_, E> {
        type Output = ();

        #[inline(always)]
        fn run(self) {
            let steps = self.range.len().div_ceil(LANES * E::SIZE);
            let panel = steps * SIDE * PART;
            let part_len = self.kernels.len().div_ceil(SIDE) * panel;
            for (kernel, row) in self.kernels.iter().enumerate() {
                let first = kernel / SIDE * panel + kernel % SIDE * PART;
                let mut put = |step: usize, wide: [f64; LANES]| {
                    let at = first + step * SIDE * PART;
                    for (part, wide) in wide.as_chunks::<PART>().0.iter().enumerate() {
                        self.numbers[part * part_len + at..][..PART].copy_from_slice(wide);
                    }
                };
                let chunks = row[self.range.clone()].chunks_exact(LANES * E::SIZE);
                let rest = chunks.remainder();
                for (step, chunk) in chunks.enumerate() {
                    put(step, exact::widened::<E>(chunk));
                }
                if !rest.is_empty() {
                    put(steps - 1, exact::widened::<E>(rest));
                }
            }
        }
    }

    let steps = range.len().div_ceil(LANES * E::SIZE);
    numbers.resize(steps * LANES * kernels.len().div_ceil(SIDE) * SIDE, 0.0);
    simd::widest(Widen::<E> {
        kernels,
        range,
        numbers,
        of: PhantomData,
    });
}

/// Adds the products of the widened numbers to the sums.
struct Multiply<'w, E> {
    products: &'w mut Products,
    of: PhantomData<E>,
}

impl<E: Element> Loop for Multiply<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.products.multiply::<false>();
    }

    #[inline(always)]
    fn run_fused(self) {
        // Where products are exact, rounding once is rounding as often.
        if E::PRODUCTS_ARE_EXACT {
            self.products.multiply::<true>();
        } else {
            self.products.multiply::<false>();
        }
    }
}

impl Products {
    #[inline(always)]
    fn multiply<const FUSED: bool>(&mut self) {
        let [rows, columns] = self.panels;
        let panel = self.x.len() / (PARTS * rows);
        let mut sums = self.sums.iter_mut();
        for part in 0..PARTS {
            let xs = self.x[part * rows * panel..].chunks_exact(panel).take(rows);
            for x in xs {
                let ys = self.y[part * columns * panel..].chunks_exact(panel);
                for (y, sums) in ys.take(columns).zip(sums.by_ref()) {
                    *sums = added::<FUSED>(*sums, x, y);
                }
            }
        }
    }
}

#[inline(always)]
fn added<const FUSED: bool>(mut sums: Sums, x: &[f64], y: &[f64]) -> Sums {
    let (xs, _) = x.as_chunks::<{ SIDE * PART }>();
    let (ys, _) = y.as_chunks::<{ SIDE * PART }>();
    for (x, y) in xs.iter().zip(ys) {
        for (row, sums) in sums.iter_mut().enumerate() {
            for (column, sums) in sums.iter_mut().enumerate() {
                for (lane, sum) in sums.iter_mut().enumerate() {
                    let (x, y) = (x[row * PART + lane], y[column * PART + lane]);
                    *sum = if FUSED {
                        x.mul_add(y, *sum)
                    } else {
                        *sum + x * y
                    };
                }
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};
    use proptest::prelude::*;

    use super::*;

    fn check<E: Element>(numbers: &[f64], d: usize, xs: usize) -> Result<(), TestCaseError> {
        let stored: Vec<u8> = numbers
            .iter()
            .flat_map(|&x| {
                let mut bytes = vec![0; E::SIZE];
                E::narrow(x).write(&mut bytes);
                bytes
            })
            .collect();
        let kernels: Vec<&[u8]> = stored.chunks_exact(d * E::SIZE).collect();
        let (xs, ys) = kernels.split_at(xs.min(kernels.len()));
        let expected = xs
            .iter()
            .flat_map(|x| ys.iter().map(|y| exact::dot::<E>(x, y)));
        let expected: Vec<u64> = expected.map(f64::to_bits).collect();
        let found = Products::default().of_all::<E>(xs, ys).into_iter();
        prop_assert_eq!(found.map(f64::to_bits).collect::<Vec<_>>(), expected);
        Ok(())
    }

    proptest! {
        #[test]
        fn they_are_those_of_one_after_the_other(
            numbers in prop::collection::vec(-1e3f64..1e3, 1..3000),
            d in prop::sample::select(vec![1usize, 15, 16, 17, 100, 511, 512, 513]),
            xs in 0usize..20,
        ) {
            check::<f32>(&numbers, d, xs)?;
            check::<f64>(&numbers, d, xs)?;
            check::<f16>(&numbers, d, xs)?;
            check::<bf16>(&numbers, d, xs)?;
        }
    }

    #[test]
    fn zeros_and_infinities_count_as_in_the_definition() {
        let numbers = [
            -0.0,
            0.0,
            f64::INFINITY,
            1.0,
            3.0,
            -1e-300,
            1e300,
            -0.0,
            -2.0,
        ];
        for d in [1, 3, 9] {
            check::<f64>(&numbers, d, 1).unwrap();
            check::<f32>(&numbers, d, 1).unwrap();
        }
    }
}
