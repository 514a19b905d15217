//! Tiles that the CPU computes.

use std::borrow::Cow;
use std::ops::Range;

use ndarray::{Array2, ArrayViewMut2};

use crate::blas;
use crate::simd;
use crate::splitmix::Stream;
use crate::weight::{Element, Rows, with_element};

use super::super::bound::{SLACK, guard_band};
use super::super::tile::{
    CellSum, Counted, Found, LossBound, OpenPair, PairBounds, Preferred, Reached, Screened, Tile,
};
use super::super::{Error, exact};
use super::cells::SumCells;
use super::counts::{CountByInterval, FindLeastLosses};
use super::pairs::{FindPairs, FindReached, preferred};
use super::unit_vectors::{UnitVectors, write_unit};
use super::values::TileValues;

/// Numbers of each kernel that are converted to float32 at once: 512 KiB for 256 kernels.
const REFINED_AT_ONCE: usize = 512;

/// A tile is computed again in float32 if int8 leaves more than one pair in this many open: as many exact tests take as long.
const MANY_OPEN: usize = 16;

/// The data that tiles are computed from.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Source<'v> {
    pub rows: &'v Rows<'v>,
    pub norms: &'v [f64],
    /// The number of the group's first kernel.
    pub start: usize,
    /// The group's unit vectors.
    pub units: &'v UnitVectors,
    /// Its kernels' error bounds.
    pub errors: &'v [f32],
}

/// A tile in the CPU's memory.
#[derive(Debug)]
pub(in super::super) struct CpuTile<'v> {
    source: Source<'v>,
    screened: TileValues<'v>,
    is_coarse: bool,
    /// Pairs whose similarity is known by the float64 definition.
    compared: Vec<OpenPair>,
}

impl<'v> CpuTile<'v> {
    /// Multiplies the unit vectors of the kernels at these places; similarities that are surely below `floor` need not be
    /// computed. `buffer` is the memory for the products.
    pub fn new(
        source: Source<'v>,
        rows: Range<usize>,
        columns: Range<usize>,
        floor: f32,
        buffer: &'v mut Vec<f32>,
    ) -> Self {
        buffer.resize(rows.len() * columns.len(), 0.0);
        let units = source.units;
        units.products(rows.clone(), columns.clone(), floor, buffer);
        Self {
            source,
            screened: TileValues {
                errors_of_rows: Cow::Borrowed(&source.errors[rows.clone()]),
                errors_of_columns: Cow::Borrowed(&source.errors[columns.clone()]),
                rows,
                columns,
                values: buffer,
            },
            is_coarse: units.are_coarse(),
            compared: Vec::new(),
        }
    }

    /// Computes the similarities again in float32: for tiles in which int8 leaves many pairs open.
    pub fn refine(&mut self) {
        self.is_coarse = false;
        let TileValues { rows, columns, .. } = &self.screened;
        let (rows, columns) = (rows.clone(), columns.clone());
        let shape = (rows.len(), columns.len());
        let d = self.source.rows.row_len();
        self.screened.values.fill(0.0);
        for from in (0..d).step_by(REFINED_AT_ONCE) {
            let part = from..d.min(from + REFINED_AT_ONCE);
            let a = self.source.unit_vectors(&rows, &part);
            let b = self.source.unit_vectors(&columns, &part);
            let out = ArrayViewMut2::from_shape(shape, &mut *self.screened.values).expect("a tile");
            blas::add_products(a.view(), b.view(), out);
        }
        let error = (guard_band(d) / 2.0 + SLACK) as f32;
        let TileValues {
            errors_of_rows,
            errors_of_columns,
            ..
        } = &mut self.screened;
        for errors in [errors_of_rows, errors_of_columns] {
            // NaN, for kernels that take no part, stays NaN.
            errors
                .to_mut()
                .iter_mut()
                .for_each(|old| *old = error + 0.0 * *old);
        }
    }

    /// Gives pairs the similarities that are known.
    fn recall(&self, open: &mut [(usize, usize, Option<f64>)]) {
        if self.compared.is_empty() || open.is_empty() {
            return;
        }
        let TileValues { rows, columns, .. } = &self.screened;
        let place = |a: usize, b: usize| (a - rows.start) * columns.len() + b - columns.start;
        let mut known = vec![None; rows.len() * columns.len()];
        for pair in &self.compared {
            known[place(pair.a, pair.b)] = pair.similarity;
        }
        for (a, b, similarity) in open {
            *similarity = known[place(*a, *b)];
        }
    }

    /// The similarities as they are now.
    #[cfg(test)]
    pub fn screened(&self) -> &TileValues<'v> {
        &self.screened
    }
}

impl Source<'_> {
    /// A part of the unit vectors at some places of the group, in float32; zero for kernels that take no part.
    fn unit_vectors(&self, places: &Range<usize>, part: &Range<usize>) -> Array2<f32> {
        let mut units = Array2::zeros((places.len(), part.len()));
        for (place, unit) in places.clone().zip(units.rows_mut()) {
            let unit = unit.into_slice().expect("row-major rows");
            let kernel = self.start + place;
            let (norm, row) = (self.norms[kernel], self.rows.row(kernel));
            if exact::is_live(norm) {
                with_element!(self.rows.float(), E => {
                    let row = &row[part.start * E::SIZE..part.end * E::SIZE];
                    write_unit::<E>(row, norm, unit);
                });
            }
        }
        units
    }
}

impl Tile for CpuTile<'_> {
    fn rows(&self) -> Range<usize> {
        self.screened.rows.clone()
    }

    fn columns(&self) -> Range<usize> {
        self.screened.columns.clone()
    }

    fn reached(&mut self) -> Result<Reached, Error> {
        Ok(simd::widest(FindReached {
            tile: &self.screened,
        }))
    }

    fn find(
        &mut self,
        bounds: &PairBounds,
        take: &mut dyn FnMut(Found),
    ) -> Result<Screened, Error> {
        let found = simd::widest(FindPairs {
            tile: &self.screened,
            bounds,
        });
        if self.is_coarse && found.open.len() > self.pairs() / MANY_OPEN {
            self.refine();
            return Ok(Screened::Refined);
        }
        take(found);
        Ok(Screened::Whole)
    }

    fn note(&mut self, compared: Vec<OpenPair>) {
        self.compared = compared;
    }

    fn preferred(
        &mut self,
        tau: f32,
        streams: &[Option<Stream>],
        start: usize,
    ) -> Result<Preferred, Error> {
        Ok(preferred(&self.screened, tau, streams, start))
    }

    fn least_losses(
        &mut self,
        [similar, orthogonal, opposite]: [LossBound; 3],
    ) -> Result<[Vec<f32>; 3], Error> {
        let tile = &self.screened;
        Ok([
            simd::widest(FindLeastLosses {
                tile,
                loss: |value: f32| -value,
                wanted: similar,
            }),
            simd::widest(FindLeastLosses {
                tile,
                loss: f32::abs,
                wanted: orthogonal,
            }),
            simd::widest(FindLeastLosses {
                tile,
                loss: |value: f32| value,
                wanted: opposite,
            }),
        ])
    }

    fn count_by_interval(
        &mut self,
        losses: [f32; 3],
        take: &mut dyn FnMut(Counted),
    ) -> Result<(), Error> {
        let mut counted = simd::widest(CountByInterval {
            tile: &self.screened,
            losses,
        });
        self.recall(&mut counted.open);
        take(counted);
        Ok(())
    }

    fn sum_by_cell(&mut self, rows: &[usize], columns: &[usize]) -> Result<Vec<CellSum>, Error> {
        Ok(simd::widest(SumCells {
            tile: &self.screened,
            rows,
            columns,
        }))
    }

    fn values(&mut self) -> Result<&[f32], Error> {
        Ok(self.screened.values)
    }
}
