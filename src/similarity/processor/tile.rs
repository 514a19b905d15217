//! Tiles that the processor computes.

use std::borrow::Cow;
use std::ops::Range;

use ndarray::{Array2, ArrayViewMut2};

use crate::blas;
use crate::simd;
use crate::splitmix::Stream;

use super::super::bound::{SLACK, guard_band};
use super::super::tile::{
    CellSum, Counted, Found, Preferred, Reached, Screened, Search, Tile, Wanted,
};
use super::super::{Error, Kernels};
use super::Units;
use super::cells::SumCells;
use super::counts::{CountByInterval, FindLeastLosses};
use super::pairs::{FindPairs, FindReached, preferred};

/// Numbers of each kernel that are made float32 at once, for 256 of them 512 KiB.
const REFINED_AT_ONCE: usize = 512;

/// A tile is computed again in float32 where bytes leave more than one pair in so many open: as many exact tests take as
/// long.
const MANY_OPEN: usize = 16;

/// What tiles are computed from.
#[derive(Clone, Copy)]
pub(in super::super) struct Source<'v> {
    pub kernels: &'v Kernels<'v>,
    /// The number of the group's first kernel.
    pub start: usize,
    /// The group's unit vectors.
    pub units: &'v Units,
    /// Its kernels' error bounds.
    pub errors: &'v [f32],
}

/// A tile in the processor's memory.
#[derive(Debug)]
pub(in super::super) struct ProcessorTile<'v> {
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
pub(in super::super) struct TileRow<'v> {
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

impl<'v> ProcessorTile<'v> {
    /// The products of the unit vectors of these kernels, in this memory. The group has these error bounds, by place.
    pub fn new(
        source: Source<'v>,
        rows: Range<usize>,
        columns: Range<usize>,
        buffer: &'v mut Vec<f32>,
    ) -> Self {
        buffer.resize(rows.len() * columns.len(), 0.0);
        let units = source.units;
        units.products(rows.clone(), columns.clone(), buffer);
        Self {
            kernels: source.kernels,
            start: source.start,
            errors_of_rows: Cow::Borrowed(&source.errors[rows.clone()]),
            errors_of_columns: Cow::Borrowed(&source.errors[columns.clone()]),
            rows,
            columns,
            values: buffer,
            is_coarse: units.are_coarse(),
        }
    }

    /// Computes the similarities again in float32, as they were screened in bytes: for tiles in which those leave many
    /// pairs open.
    pub fn refine(&mut self) {
        self.is_coarse = false;
        self.values.fill(0.0);
        let shape = (self.rows.len(), self.columns.len());
        let d = self.kernels.rows().row_len();
        for from in (0..d).step_by(REFINED_AT_ONCE) {
            let part = from..d.min(from + REFINED_AT_ONCE);
            let rows = self.unit_vectors(&self.rows, &part);
            let columns = self.unit_vectors(&self.columns, &part);
            let out = ArrayViewMut2::from_shape(shape, &mut *self.values).expect("a tile");
            blas::add_products(rows.view(), columns.view(), out);
        }
        let error = (guard_band(d) / 2.0 + SLACK) as f32;
        for errors in [&mut self.errors_of_rows, &mut self.errors_of_columns] {
            // NaN, for kernels that take no part, stays NaN.
            errors
                .to_mut()
                .iter_mut()
                .for_each(|old| *old = error + 0.0 * *old);
        }
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

impl Tile for ProcessorTile<'_> {
    fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    fn reached(&mut self) -> Result<Reached, Error> {
        Ok(simd::widest(FindReached { tile: self }))
    }

    fn find(
        &mut self,
        search: &Search<'_>,
        take: &mut dyn FnMut(Found),
    ) -> Result<Screened, Error> {
        let found = simd::widest(FindPairs { tile: self, search });
        if self.is_coarse && found.open.len() > self.pairs() / MANY_OPEN {
            self.refine();
            return Ok(Screened::Refined);
        }
        take(found);
        Ok(Screened::Whole)
    }

    fn preferred(
        &mut self,
        tau: f32,
        streams: &[Option<Stream>],
        start: usize,
    ) -> Result<Preferred, Error> {
        Ok(preferred(self, tau, streams, start))
    }

    fn least_losses(
        &mut self,
        [similar, orthogonal, opposite]: [Wanted; 3],
    ) -> Result<[Vec<f32>; 3], Error> {
        let tile = &*self;
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
        take(simd::widest(CountByInterval { tile: self, losses }));
        Ok(())
    }

    fn sum_by_cell(&mut self, rows: &[usize], columns: &[usize]) -> Result<Vec<CellSum>, Error> {
        Ok(simd::widest(SumCells {
            tile: self,
            rows,
            columns,
        }))
    }

    fn values(&mut self) -> Result<&[f32], Error> {
        Ok(self.values)
    }
}
