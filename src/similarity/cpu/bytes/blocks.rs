//! A tile, block by block.

use super::PANEL;
use super::tile::TileLoop;

/// Calls `block` with the blocks that cover a tile: its first row, its first panel of columns, and how many panels it has, `columns` or
/// at the end fewer. A block has `rows` rows, of one panel.
#[inline(always)]
pub(super) fn each_block(
    tile: &mut TileLoop<'_>,
    rows: usize,
    columns: usize,
    mut block: impl FnMut(&mut TileLoop<'_>, usize, usize, usize),
) {
    let panels = tile.columns.start / PANEL..tile.columns.end.div_ceil(PANEL);
    for panel in panels.clone().step_by(columns) {
        let count = columns.min(panels.end - panel);
        for row in tile.rows.clone().step_by(rows) {
            if tile.first_panel(row) >= panel + count {
                break;
            }
            block(tile, row, panel, count);
        }
    }
}
