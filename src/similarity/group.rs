//! The kernels that are compared with each other, and their similarities tile by tile.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;

use ndarray::{Array2, ArrayViewMut2};
use rayon::prelude::*;

use crate::meter::Meter;
use crate::schedule::per_task;

use super::units::{SLACK, Units, guard_band};
use super::{Kernels, cpu};

/// Kernels along a side of a tile. 256² float32 are 256 KiB, which stay in a core's second-level cache while they are read.
const TILE: usize = 256;

/// Multiply-adds in the time in which a byte is read, about, for products of bytes.
const PRODUCTS_PER_BYTE: usize = 25;

/// Numbers of each kernel that are made float32 at once, for 256 of them 512 KiB.
const REFINED_AT_ONCE: usize = 512;

/// The kernels of a layer that are compared with each other. Each has a place among them, from 0.
#[derive(Clone, Debug)]
pub struct Group<'k, 'a> {
    kernels: &'k Kernels<'a>,
    start: usize,
    units: &'k Units,
    errors: Vec<f32>,
    /// For every place the first one that holds the same kernel; found out only where two are the same.
    twins: OnceLock<Vec<usize>>,
}

impl<'k, 'a> Group<'k, 'a> {
    pub(super) fn new(
        kernels: &'k Kernels<'a>,
        start: usize,
        units: &'k Units,
        errors: Vec<f32>,
    ) -> Self {
        Self {
            kernels,
            start,
            units,
            errors,
            twins: OnceLock::new(),
        }
    }

    /// Number of kernels.
    pub fn len(&self) -> usize {
        self.errors.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// Bytes of a kernel as stored.
    pub(super) fn row_bytes(&self) -> usize {
        self.kernels.rows().row_bytes()
    }

    /// The number within the layer of the kernel at a place.
    pub fn kernel(&self, place: usize) -> usize {
        self.start + place
    }

    /// The similarity of the kernels at two places, by the float64 definition.
    pub fn similarity(&self, a: usize, b: usize) -> f64 {
        self.kernels.similarity(self.kernel(a), self.kernel(b))
    }

    /// Whether two places hold the same kernel, bit for bit: then so are their similarities to a third.
    pub(super) fn are_twins(&self, a: usize, b: usize) -> bool {
        let square = |place| self.kernels.square(self.kernel(place));
        square(a) == square(b) && self.first_twin(a) == self.first_twin(b)
    }

    /// The first place that holds the same kernel as this one, bit for bit.
    pub(crate) fn first_twin(&self, place: usize) -> usize {
        let twins = self.twins.get_or_init(|| {
            let square = |place| self.kernels.square(self.kernel(place));
            let mut first: HashMap<u64, Vec<usize>> = HashMap::new();
            let row = |place: usize| self.kernels.rows().row(self.kernel(place));
            let twin = |place: usize| {
                let alike = first.entry(square(place).to_bits()).or_default();
                let twin = alike.iter().copied().find(|&twin| row(twin) == row(place));
                twin.unwrap_or_else(|| {
                    alike.push(place);
                    place
                })
            };
            (0..self.len()).map(twin).collect()
        });
        twins[place]
    }

    /// Shows every pair once, in tiles of the upper triangle, to `visit`, and tells `meter` of the multiply-adds: on several
    /// threads at once and in no fixed order where there is more than one tile.
    pub fn for_each_tile(&self, meter: &dyn Meter, visit: impl Fn(&mut Tile<'_>) + Sync) {
        let part = |start: usize| start..(start + TILE).min(self.len());
        let starts = || (0..self.len()).step_by(TILE);
        let places: Vec<(usize, usize)> = starts()
            .flat_map(|row| {
                let columns = starts().filter(move |&column| column >= row);
                columns.map(move |column| (row, column))
            })
            .collect();
        places
            .into_par_iter()
            .with_min_len(per_task(
                TILE * TILE * self.kernels.rows().row_len() / PRODUCTS_PER_BYTE,
            ))
            .for_each_init(Vec::new, |buffer: &mut Vec<f32>, (row, column)| {
                let (rows, columns) = (part(row), part(column));
                buffer.resize(rows.len() * columns.len(), 0.0);
                self.units
                    .products(rows.clone(), columns.clone(), &mut buffer[..]);
                let mut tile = Tile {
                    kernels: self.kernels,
                    start: self.start,
                    errors_of_rows: Cow::Borrowed(&self.errors[rows.clone()]),
                    errors_of_columns: Cow::Borrowed(&self.errors[columns.clone()]),
                    rows,
                    columns,
                    values: buffer,
                    is_coarse: self.units.are_coarse(),
                };
                visit(&mut tile);
                meter.multiplied(tile.products());
            });
    }
}

/// Screened similarities of the kernels at some places (rows) with those at some (columns).
#[derive(Debug)]
pub struct Tile<'v> {
    kernels: &'v Kernels<'v>,
    start: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    errors_of_rows: Cow<'v, [f32]>,
    errors_of_columns: Cow<'v, [f32]>,
    values: &'v mut [f32],
    is_coarse: bool,
}

/// One row of a tile.
///
/// A screened similarity is off by no more than the error bounds of its row and column together; sums and differences of
/// the three may be compared in float32 as they are. Kernels that take no part have NaN for a bound, for which no
/// comparison holds.
#[derive(Clone, Copy, Debug)]
pub struct TileRow<'v> {
    /// The place of the row's kernel.
    pub place: usize,
    /// Its error bound.
    pub error: f32,
    /// The place of the first column that counts: on the diagonal the one after the row, so that each pair is seen once.
    pub first: usize,
    /// The screened similarities from that column on.
    pub values: &'v [f32],
    /// The columns' error bounds from there on.
    pub errors: &'v [f32],
}

impl Tile<'_> {
    /// Places along the rows.
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// Places along the columns.
    pub fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// Number of pairs in it, or nearly so.
    pub fn pairs(&self) -> usize {
        if self.rows == self.columns {
            self.values.len() / 2
        } else {
            self.values.len()
        }
    }

    /// Multiply-adds that it took.
    fn products(&self) -> u64 {
        self.pairs() as u64 * self.kernels.rows().row_len() as u64
    }

    /// Computes the similarities again in float32, if they were screened in bytes: for tiles in which those leave many
    /// pairs open. Whether it did.
    pub(super) fn refine(&mut self) -> bool {
        if !self.is_coarse {
            return false;
        }
        self.is_coarse = false;
        self.values.fill(0.0);
        let shape = (self.rows.len(), self.columns.len());
        let d = self.kernels.rows().row_len();
        for from in (0..d).step_by(REFINED_AT_ONCE) {
            let part = from..d.min(from + REFINED_AT_ONCE);
            let rows = self.unit_vectors(&self.rows, &part);
            let columns = self.unit_vectors(&self.columns, &part);
            let out = ArrayViewMut2::from_shape(shape, &mut *self.values).expect("a tile");
            cpu::add_products(rows.view(), columns.view(), out);
        }
        let error = (guard_band(d) / 2.0 + SLACK) as f32;
        for errors in [&mut self.errors_of_rows, &mut self.errors_of_columns] {
            // NaN, for kernels that take no part, stays NaN.
            errors
                .to_mut()
                .iter_mut()
                .for_each(|old| *old = error + 0.0 * *old);
        }
        true
    }

    /// A part of the unit vectors at some places; zero for kernels that take no part.
    fn unit_vectors(&self, places: &Range<usize>, part: &Range<usize>) -> Array2<f32> {
        let mut units = Array2::zeros((places.len(), part.len()));
        for (place, unit) in places.clone().zip(units.rows_mut()) {
            let unit = unit.into_slice().expect("row-major rows");
            self.kernels.write_unit(self.start + place, part, unit);
        }
        units
    }

    /// Row by row.
    #[inline(always)]
    pub fn by_row(&self) -> impl Iterator<Item = TileRow<'_>> {
        let start = self.columns.start;
        let errors_of_columns = &*self.errors_of_columns;
        let rows = self.rows.clone().zip(&*self.errors_of_rows);
        rows.zip(self.values.chunks_exact(self.columns.len())).map(
            move |((place, &error), values)| {
                let first = start.max(place + 1);
                let skipped = (first - start).min(values.len());
                TileRow {
                    place,
                    error,
                    first,
                    values: &values[skipped..],
                    errors: &errors_of_columns[skipped..],
                }
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;
    use crate::similarity::Precision;
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

    /// Shows every pair to `see`, once it has checked that its screened similarity is within the bounds.
    fn for_each_pair(group: &Group<'_, '_>, refine: bool, see: impl Fn(usize, usize) + Sync) {
        group.for_each_tile(&(), |tile| {
            if refine {
                tile.refine();
            }
            for row in tile.by_row() {
                let columns = row.values.iter().zip(row.errors);
                for (column, (&value, &error)) in (row.first..).zip(columns) {
                    let off = (f64::from(value) - group.similarity(row.place, column)).abs();
                    let bound = f64::from(row.error) + f64::from(error);
                    let both_live =
                        group.kernels.is_live(row.place) && group.kernels.is_live(column);
                    assert_eq!(bound.is_nan(), !both_live);
                    let holds = bound.is_nan() || off <= bound;
                    assert!(holds, "{off} > {bound} at {}, {column}", row.place);
                    see(row.place, column);
                }
            }
        });
    }

    #[test]
    fn every_pair_is_shown_once_and_within_the_bounds() {
        for (precision, n, d) in [(Precision::Single, 1027, 5), (Precision::Byte, 531, 50)] {
            let values = noise(n * d);
            let kernels = kernels_of(&values, n, 1, precision);
            let group = kernels.groups().next().unwrap();
            for refine in [false, true] {
                let seen = Mutex::new(vec![0u8; n * n]);
                for_each_pair(&group, refine, |a, b| seen.lock().unwrap()[a * n + b] += 1);
                let seen = seen.into_inner().unwrap();
                for a in 0..n {
                    for b in 0..n {
                        assert_eq!(seen[a * n + b], u8::from(b > a), "{a}, {b}");
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn the_bounds_hold_at_any_scale(
            scale in -30i32..30,
            d in 1usize..300,
            signs in any::<u64>(),
            precision in prop::sample::select(vec![Precision::Single, Precision::Byte]),
            refine in any::<bool>(),
        ) {
            let values: Vec<u8> = noise(4 * d)
                .chunks_exact(4)
                .enumerate()
                .flat_map(|(i, v)| {
                    let v = f32::from_le_bytes([v[0], v[1], v[2], v[3]]) + if signs >> (i % 64) & 1 == 1 { 3.0 } else { 0.0 };
                    (v * 2f32.powi(scale * (i % 3) as i32)).to_le_bytes()
                })
                .collect();
            let kernels = kernels_of(&values, 4, 1, precision);
            for_each_pair(&kernels.groups().next().unwrap(), refine, |_, _| ());
        }
    }
}
