//! The products of a tile: where they go, and how they are computed by instructions that every CPU has.

use std::ops::Range;

use crate::simd::Loop;

use super::{PANEL, Panels, STEP};

/// The products of a tile, by instructions that every CPU has.
pub(super) struct TileLoop<'a> {
    pub panels: &'a Panels,
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    /// Products that are surely below this need not be computed.
    pub floor: f32,
    pub out: &'a mut [f32],
}

impl TileLoop<'_> {
    /// Writes the sums of a row with a panel.
    #[inline(always)]
    pub fn put(&mut self, row: usize, panel: usize, sums: [i32; PANEL]) {
        let scale = self.panels.scales[row];
        let scales = &self.panels.scales[panel * PANEL..];
        let out = self.out(row, panel);
        for ((out, sum), column) in out.iter_mut().zip(sums).zip(scales) {
            *out = sum as f32 * (scale * column);
        }
    }

    /// Where the products of a row with a panel go.
    #[inline(always)]
    pub fn out(&mut self, row: usize, panel: usize) -> &mut [f32] {
        let columns = panel * PANEL..self.columns.end.min((panel + 1) * PANEL);
        let start =
            (row - self.rows.start) * self.columns.len() + columns.start - self.columns.start;
        &mut self.out[start..start + columns.len()]
    }

    /// The first panel that has products to compute with a row.
    #[inline(always)]
    pub fn first_panel(&self, row: usize) -> usize {
        self.columns.start.max(row / PANEL * PANEL) / PANEL
    }
}

impl Loop for TileLoop<'_> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        for row in self.rows.clone() {
            for panel in self.first_panel(row)..self.columns.end.div_ceil(PANEL) {
                let mut sums = [0i32; PANEL];
                let own = self.panels.panel(row / PANEL);
                for (own, others) in own.iter().zip(self.panels.panel(panel)) {
                    let own = own.0[row % PANEL].to_le_bytes();
                    for (sum, other) in sums.iter_mut().zip(others.0) {
                        let other = other.to_le_bytes();
                        for step in 0..STEP {
                            *sum += i32::from(own[step] as i8) * i32::from(other[step] as i8);
                        }
                    }
                }
                self.put(row, panel, sums);
            }
        }
    }
}
