//! The loops over a tile for lower bounds of the greatest similarities, and for pairs near and above a threshold.

use crate::simd::Loop;
use crate::splitmix::Stream;

use super::super::tile::{Found, OpenPair, PairBounds, Preference, Preferred, Reached};
use super::values::TileValues;

/// Columns evaluated together; nearly all such chunks contain no pair that matters.
const LANES: usize = 32;

/// Lower bounds of the greatest similarities of a tile's kernels.
pub(super) struct FindReached<'t, 'v> {
    pub tile: &'t TileValues<'v>,
}

impl Loop for FindReached<'_, '_> {
    type Output = Reached;

    #[inline(always)]
    fn run(self) -> Reached {
        let first_column = self.tile.columns.start;
        let mut rows = Vec::with_capacity(self.tile.rows.len());
        let mut columns = vec![f32::NEG_INFINITY; self.tile.columns.len()];
        for row in self.tile.by_row() {
            let mut reached = [f32::NEG_INFINITY; LANES];
            let columns = &mut columns[row.first - first_column..];
            let mut values = row.values.chunks_exact(LANES);
            let mut errors = row.errors.chunks_exact(LANES);
            let mut columns = columns.chunks_exact_mut(LANES);
            for ((values, errors), columns) in
                values.by_ref().zip(errors.by_ref()).zip(columns.by_ref())
            {
                for lane in 0..LANES {
                    let at_least = values[lane] - errors[lane] - row.error;
                    reached[lane] = greater(at_least, reached[lane]);
                    columns[lane] = greater(at_least, columns[lane]);
                }
            }
            let rest = values.remainder().iter().zip(errors.remainder());
            for ((value, error), column) in rest.zip(columns.into_remainder()) {
                let at_least = value - error - row.error;
                reached[0] = greater(at_least, reached[0]);
                *column = greater(at_least, *column);
            }
            rows.push(reached.into_iter().fold(f32::NEG_INFINITY, greater));
        }
        Reached { rows, columns }
    }
}

/// The greater of two numbers; the second if the first is NaN.
#[inline(always)]
fn greater(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// The pairs of a tile that must be compared, and the number of those certainly above the threshold.
pub(super) struct FindPairs<'t, 'v> {
    pub tile: &'t TileValues<'v>,
    pub bounds: &'t PairBounds,
}

impl Loop for FindPairs<'_, '_> {
    type Output = Found;

    #[inline(always)]
    fn run(self) -> Found {
        let (first_row, first_column) = (self.tile.rows.start, self.tile.columns.start);
        let &PairBounds {
            tau,
            ref rows,
            ref columns,
            pair,
        } = self.bounds;
        let mut found = Found::default();
        for row in self.tile.by_row() {
            let bound = rows[row.place - first_row].min(pair);
            let bounds = &columns[row.first - first_column..];
            let values = row.values.chunks(LANES).zip(row.errors.chunks(LANES));
            let firsts = (row.first..).step_by(LANES);
            for (first, ((values, errors), bounds)) in firsts.zip(values.zip(bounds.chunks(LANES)))
            {
                let (mut possibly, mut surely, mut rivals) = (0u32, 0u32, 0u32);
                for ((value, error), column_bound) in values.iter().zip(errors).zip(bounds) {
                    let at_most = value + error + row.error;
                    possibly += u32::from(at_most >= tau);
                    surely += u32::from(value - error - row.error > tau);
                    rivals += u32::from((at_most >= bound) | (at_most >= *column_bound));
                }
                // Nearly all chunks end here.
                if possibly + rivals == 0 {
                    continue;
                }
                if possibly == surely && rivals == 0 {
                    found.pairs_above += u64::from(surely);
                    continue;
                }
                let columns = values.iter().zip(errors).zip(bounds);
                for (b, ((value, error), column_bound)) in (first..).zip(columns) {
                    let at_most = value + error + row.error;
                    let is_above = value - error - row.error > tau;
                    let is_undecided = at_most >= tau && !is_above;
                    if is_above {
                        found.pairs_above += 1;
                    }
                    if is_undecided || at_most >= bound || at_most >= *column_bound {
                        found.open.push(OpenPair {
                            a: row.place,
                            b,
                            at_most,
                            is_undecided,
                            similarity: None,
                        });
                    }
                }
            }
        }
        found
    }
}

/// The preferred kernels among those certainly above the threshold.
pub(super) fn preferred(
    tile: &TileValues<'_>,
    tau: f32,
    streams: &[Option<Stream>],
    start: usize,
) -> Preferred {
    let (rows, columns) = (&tile.rows, &tile.columns);
    let mut preferred = Preferred {
        rows: vec![None; rows.len()],
        columns: vec![None; columns.len()],
    };
    let prefer = |best: &mut Preference, stream: Option<Stream>, place: usize| {
        let kernel = start + place;
        let word = stream.map(|stream| stream.word(kernel as u64));
        if let Some(word) = word
            && best.is_none_or(|(least, _)| word < least)
        {
            *best = Some((word, kernel));
        }
    };
    for row in tile.by_row() {
        let values = row.values.chunks(LANES).zip(row.errors.chunks(LANES));
        for (first, (values, errors)) in (row.first..).step_by(LANES).zip(values) {
            let is_above = |value: f32, error: f32| value - error - row.error > tau;
            let pairs = || values.iter().zip(errors);
            let above: u32 = pairs()
                .map(|(&value, &error)| u32::from(is_above(value, error)))
                .sum();
            // Nearly all chunks end here.
            if above == 0 {
                continue;
            }
            for (column, (&value, &error)) in (first..).zip(pairs()) {
                if is_above(value, error) {
                    prefer(
                        &mut preferred.rows[row.place - rows.start],
                        streams[row.place],
                        column,
                    );
                    prefer(
                        &mut preferred.columns[column - columns.start],
                        streams[column],
                        row.place,
                    );
                }
            }
        }
    }
    preferred
}
