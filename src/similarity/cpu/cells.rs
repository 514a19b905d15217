//! The loop over a tile for the cells of a heatmap.

use crate::simd::Loop;

use super::super::tile::CellSum;
use super::values::TileValues;

/// The sums over the part of each cell that lies in a tile.
pub(super) struct SumCells<'t, 'v> {
    pub tile: &'t TileValues<'v>,
    /// The cell of each row.
    pub rows: &'t [usize],
    /// The cell of each column.
    pub columns: &'t [usize],
}

impl Loop for SumCells<'_, '_> {
    type Output = Vec<CellSum>;

    #[inline(always)]
    fn run(self) -> Vec<CellSum> {
        let width = self.columns[self.columns.len() - 1] - self.columns[0] + 1;
        let height = self.rows[self.rows.len() - 1] - self.rows[0] + 1;
        let mut blocks = vec![CellSum::EMPTY; height * width];
        let first_column = self.tile.columns.start;
        let runs: Vec<_> = self.columns.chunk_by(|a, b| a == b).collect();
        let mut fixed = vec![0; self.columns.len()];
        for (row, cell) in self.tile.by_row().zip(self.rows) {
            // The row's kernel takes no part.
            if row.error.is_nan() {
                continue;
            }
            let blocks = &mut blocks[(cell - self.rows[0]) * width..][..width];
            let mut end = 0;
            let skipped = row.first - first_column;
            // All at once: of a run alone, which is short, the compiler would make no vector.
            let fixed = &mut fixed[..row.values.len()];
            for (fixed, &value) in fixed.iter_mut().zip(row.values) {
                *fixed = CellSum::fixed(value);
            }
            for run in &runs {
                let start = end.max(skipped);
                end += run.len();
                if start >= end {
                    continue;
                }
                let part = start - skipped..end - skipped;
                let block = sum(&fixed[part.clone()], &row.errors[part]);
                blocks[run[0] - self.columns[0]].add(block);
            }
        }
        blocks
    }
}

/// Some pairs of one cell, in fixed point, with their error bounds.
#[inline(always)]
fn sum(fixed: &[i32], errors: &[f32]) -> CellSum {
    let mut block = CellSum::EMPTY;
    for (&fixed, error) in fixed.iter().zip(errors) {
        if !error.is_nan() {
            block.add(CellSum::of(fixed));
        }
    }
    block
}
