//! The screened similarities of a tile in the CPU's memory, and their error bounds.

use std::borrow::Cow;
use std::ops::Range;

/// The screened similarities of some kernels of a group with others; rows and columns are places.
#[derive(Debug)]
pub(in super::super) struct TileValues<'v> {
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    pub errors_of_rows: Cow<'v, [f32]>,
    pub errors_of_columns: Cow<'v, [f32]>,
    pub values: &'v mut [f32],
}

/// One row of a tile.
///
/// A screened similarity is off by no more than the error bounds of its row and column together, or is −2; sums and differences of
/// the three may be compared in float32 as they are. Kernels that take no part have NaN for a bound, for which no
/// comparison holds.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct TileRow<'v> {
    /// The place and the error bound of the row's kernel.
    pub place: usize,
    pub error: f32,
    /// The place of the first column that counts: on the diagonal the one after the row, so that each pair is seen once.
    pub first: usize,
    /// The screened similarities from that column on.
    pub values: &'v [f32],
    /// The error bounds of these columns.
    pub errors: &'v [f32],
}

impl TileValues<'_> {
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
