//! A tile, block by block, and a block part by part.

use std::array::from_fn;

use super::parts::{EXCLUDED, Part};
use super::tile::TileLoop;
use super::{Line, PANEL};

/// Some rows of one panel, and some panels of columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub row: usize,
    pub panel: usize,
}

/// A part of a block's vectors: what is to be multiplied.
pub(super) struct BlockPart<'a, const ROWS: usize, const PANELS: usize> {
    /// The lines of the rows' panel, and the place of the first row in it.
    pub own: &'a [Line],
    pub first: usize,
    pub others: [&'a [Line]; PANELS],
    /// What is added to the sums of each row.
    pub offsets: [i32; ROWS],
}

/// Calls `block` with the blocks of so many rows that cover a tile, and with the number of panels of each: `columns`, or at the end
/// fewer.
#[inline(always)]
pub(super) fn each_block(
    tile: &mut TileLoop<'_>,
    rows: usize,
    columns: usize,
    mut block: impl FnMut(&mut TileLoop<'_>, Block, usize),
) {
    let panels = tile.columns.start / PANEL..tile.columns.end.div_ceil(PANEL);
    for panel in panels.clone().step_by(columns) {
        let count = columns.min(panels.end - panel);
        for row in tile.rows.clone().step_by(rows) {
            if tile.first_panel(row) >= panel + count {
                break;
            }
            block(tile, Block { row, panel }, count);
        }
    }
}

impl Block {
    /// Computes the products, as far as they matter: `add` adds those of a part to the sums, of which `sums` gives a row's with a panel.
    #[inline(always)]
    pub fn compute<S, const ROWS: usize, const PANELS: usize>(
        self,
        tile: &mut TileLoop<'_>,
        mut all: S,
        add: impl Fn(&mut S, BlockPart<'_, ROWS, PANELS>),
        sums: impl Fn(&S, usize, usize) -> [i32; PANEL],
    ) {
        let Self { row, panel } = self;
        let parts = tile.panels.parts(row / PANEL).len();
        for part in 0..parts {
            add(&mut all, self.part(tile, part));
            let excluded =
                |n: usize| tile.excludes::<ROWS>(row, panel + n, part, |r| sums(&all, r, n));
            if part + 1 < parts && (0..PANELS).all(excluded) {
                for row in row..tile.rows.end.min(row + ROWS) {
                    for panel in panel..panel + PANELS {
                        tile.out(row, panel).fill(EXCLUDED);
                    }
                }
                return;
            }
        }
        for r in 0..ROWS.min(tile.rows.end - row) {
            for n in 0..PANELS {
                tile.put(row + r, panel + n, sums(&all, r, n));
            }
        }
    }

    #[inline(always)]
    fn part<'a, const ROWS: usize, const PANELS: usize>(
        self,
        tile: &TileLoop<'a>,
        part: usize,
    ) -> BlockPart<'a, ROWS, PANELS> {
        let panels = tile.panels;
        let lines = panels.lines_of(part);
        let own: &Part = &panels.parts(self.row / PANEL)[part];
        let first = self.row % PANEL;
        BlockPart {
            own: &panels.panel(self.row / PANEL)[lines.clone()],
            first,
            others: from_fn(|n| &panels.panel(self.panel + n)[lines.clone()]),
            offsets: from_fn(|r| own.offsets[first + r]),
        }
    }
}
