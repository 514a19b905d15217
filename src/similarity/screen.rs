//! All similarities of a group at once, in float32, tile by tile.

use ndarray::{Array2, ArrayView2, s};
use rayon::prelude::*;

use super::kernels::KERNELS_PER_TASK;
use super::{Group, cpu};

/// How far a screened similarity of kernels of `d` numbers can lie from its float64 definition.
///
/// With u = 2⁻²⁴: rounding the unit vectors to float32 costs at most 2u + u², and a float32 dot product of unit vectors
/// at most d·u, in any order of summation, with or without fused multiply-adds (Jeannerod and Rump, *Improved error
/// bounds for inner products in floating-point arithmetic*, SIAM J. Matrix Anal. Appl. 34(2), 2013). What is left of
/// the 8u covers products of the two, underflow (at most d·2⁻¹²⁵ even where subnormals are flushed to zero), and
/// the float64 definition's own rounding, (d+4)·2⁻⁵³.
pub fn guard_band(d: usize) -> f64 {
    (d as f64 + 8.0) * 2f64.powi(-24)
}

/// The unit vectors of a group's kernels, from which all its similarities are screened.
#[derive(Debug)]
pub struct Screen<'g, 'k, 'a> {
    group: &'g Group<'k, 'a>,
    units: Array2<f32>,
    band: f64,
}

impl<'g, 'k, 'a> Screen<'g, 'k, 'a> {
    /// Kernels along a side of a tile. 512² float32 are 1 MiB, which stays in a core's second-level cache while it is
    /// read.
    pub const TILE: usize = 512;

    /// Computes the unit vectors: `m × d` float32 for `m` members.
    pub fn new(group: &'g Group<'k, 'a>) -> Self {
        let (m, d) = (group.members().len(), group.kernels().rows().row_len());
        let mut numbers = vec![0.0; m * d];
        numbers
            .par_chunks_mut(d)
            .with_min_len(KERNELS_PER_TASK)
            .enumerate()
            .for_each(|(place, unit)| group.write_unit_row(place, unit));
        Self {
            group,
            units: Array2::from_shape_vec((m, d), numbers).expect("m rows of d numbers"),
            band: guard_band(d),
        }
    }

    /// The group.
    pub fn group(&self) -> &'g Group<'k, 'a> {
        self.group
    }

    /// The error bound of every screened similarity.
    pub fn band(&self) -> f64 {
        self.band
    }

    /// Shows every pair of members once, in tiles of the upper triangle, to `visit`: on several threads at once and in no
    /// fixed order where there is more than one tile.
    pub fn for_each_tile(&self, visit: impl Fn(&Tile<'_>) + Sync) {
        let m = self.units.nrows();
        let starts: Vec<usize> = (0..m).step_by(Self::TILE).collect();
        let places: Vec<(usize, usize)> = starts
            .iter()
            .flat_map(|&row| {
                starts
                    .iter()
                    .filter(move |&&column| column >= row)
                    .map(move |&column| (row, column))
            })
            .collect();
        let part = |start: usize| self.units.slice(s![start..(start + Self::TILE).min(m), ..]);
        places
            .into_par_iter()
            .for_each_init(Vec::new, |buffer: &mut Vec<f32>, (row, column)| {
                let (rows, columns) = (part(row), part(column));
                let (height, width) = (rows.nrows(), columns.nrows());
                buffer.resize(height * width, 0.0);
                let mut values = ndarray::ArrayViewMut2::from_shape((height, width), buffer)
                    .expect("the buffer has the tile's size");
                if row == column {
                    cpu::self_products(rows, values.view_mut());
                } else {
                    cpu::products(rows, columns, values.view_mut());
                }
                visit(&Tile {
                    row,
                    column,
                    values: values.view(),
                });
            });
    }
}

/// Screened similarities of some members (rows) with some (columns), by their places in the group.
#[derive(Debug)]
pub struct Tile<'v> {
    row: usize,
    column: usize,
    values: ArrayView2<'v, f32>,
}

impl<'v> Tile<'v> {
    /// Places of the members along the rows.
    pub fn rows(&self) -> std::ops::Range<usize> {
        self.row..self.row + self.values.nrows()
    }

    /// Places of the members along the columns.
    pub fn columns(&self) -> std::ops::Range<usize> {
        self.column..self.column + self.values.ncols()
    }

    /// For every row of the tile: its member's place, the place of the first column that counts, and the similarities
    /// from there on. On the diagonal the columns begin after the member itself, so that each pair is seen once.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, usize, &[f32])> {
        self.rows()
            .zip(self.values.outer_iter())
            .map(move |(a, values)| {
                let first = self.column.max(a + 1);
                let values = values.to_slice().expect("tiles are row-major");
                (a, first, values.get(first - self.column..).unwrap_or(&[]))
            })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;
    use crate::similarity::kernels::kernels_of;

    /// Numbers without structure, from a linear congruential generator.
    fn noise(count: usize) -> Vec<u8> {
        let mut state = 1u32;
        (0..count)
            .flat_map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ((state >> 8) as f32 / 16_777_216.0 - 0.5).to_le_bytes()
            })
            .collect()
    }

    #[test]
    fn every_pair_is_shown_once_and_within_the_bound() {
        let (n, d) = (2 * Screen::TILE + 3, 5);
        let values = noise(n * d);
        let kernels = kernels_of(&values, n, 1);
        let group = kernels.groups().next().unwrap();
        let screen = Screen::new(&group);
        let seen = Mutex::new(vec![0u8; n * n]);
        screen.for_each_tile(|tile| {
            let mut seen = seen.lock().unwrap();
            for (a, first, values) in tile.pairs() {
                for (b, &value) in (first..).zip(values) {
                    seen[a * n + b] += 1;
                    let off = (f64::from(value) - group.similarity(a, b)).abs();
                    assert!(off <= screen.band(), "{off} at {a}, {b}");
                }
            }
        });
        let seen = seen.into_inner().unwrap();
        for a in 0..n {
            for b in 0..n {
                assert_eq!(seen[a * n + b], u8::from(b > a), "{a}, {b}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_bound_holds_at_any_scale(scale in -30i32..30, d in 1usize..300, signs in any::<u64>()) {
            let values: Vec<u8> = noise(4 * d)
                .chunks_exact(4)
                .enumerate()
                .flat_map(|(i, v)| {
                    let v = f32::from_le_bytes([v[0], v[1], v[2], v[3]]) + if signs >> (i % 64) & 1 == 1 { 3.0 } else { 0.0 };
                    (v * 2f32.powi(scale * (i % 3) as i32)).to_le_bytes()
                })
                .collect();
            let kernels = kernels_of(&values, 4, 1);
            let group = kernels.groups().next().unwrap();
            let screen = Screen::new(&group);
            screen.for_each_tile(|tile| {
                for (a, first, values) in tile.pairs() {
                    for (b, &value) in (first..).zip(values) {
                        assert!((f64::from(value) - group.similarity(a, b)).abs() <= screen.band());
                    }
                }
            });
        }
    }
}
