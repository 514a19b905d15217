//! The parts in which long vectors are multiplied, and what can be said of a product after some of them.
//!
//! After a part, p is the product of two vectors' numbers so far. Of the rest, Cauchy and Schwarz say that it adds at most ‖û′‖·‖v̂′‖, where
//! û′ and v̂′ are what is left of the vectors. If p + ‖û′‖·‖v̂′‖ is below all that anyone asks for, the rest is not computed. For
//! independent kernels of even weights that is so after a share of about 1 − c of the numbers, where similarities above c are asked for.

use bytemuck::Zeroable;

use super::PANEL;
use super::tile::TileLoop;

/// Stands for a similarity that is below all that anyone asks for: below any similarity, by more than error bounds make up for.
pub(super) const EXCLUDED: f32 = -2.0;

/// The most parts of a vector.
const PARTS: usize = 8;

/// The least lines of a part: looking at the sums takes as long as three lines.
const LEAST: usize = 64;

/// Lines that are rounded together.
const TOGETHER: usize = 4;

/// Lines of each part (of the last one, fewer) of vectors of so many.
pub(super) fn lines_of_each(lines: usize) -> usize {
    (lines / PARTS).next_multiple_of(TOGETHER).max(LEAST)
}

/// A part of a panel's vectors.
#[derive(Clone, Copy, Debug, Zeroable)]
pub(super) struct Part {
    /// By vector: the sum of its integers in this part times −[`Instructions::shift`](super::instructions::Instructions::shift).
    pub offsets: [i32; PANEL],
    /// By vector: the norm of what follows after this part, or a little more.
    pub rests: [f32; PANEL],
}

impl TileLoop<'_> {
    /// Whether the products of the `N` rows from `row` on with a panel are all below the floor, as their sums after a part show.
    #[inline(always)]
    pub fn excludes<const N: usize>(
        &self,
        row: usize,
        panel: usize,
        part: usize,
        sums: impl Fn(usize) -> [i32; PANEL],
    ) -> bool {
        let panels = self.panels;
        let rests = &panels.parts(panel)[part].rests;
        let own_rests = &panels.parts(row / PANEL)[part].rests[row % PANEL..][..N];
        // The usual answer, without a look at the sums.
        if own_rests[0] * rests[0] > self.floor {
            return false;
        }
        let columns = panel * PANEL..(panel + 1) * PANEL;
        let (scales, errors) = (&panels.scales[columns.clone()], &panels.errors[columns]);
        let mut above = 0u32;
        for (r, own_rest) in own_rests.iter().enumerate() {
            let (scale, error) = (panels.scales[row + r], panels.errors[row + r]);
            let sums = sums(r);
            for column in 0..PANEL {
                let so_far = sums[column] as f32 * (scale * scales[column]);
                let at_most = so_far + own_rest * rests[column] + error + errors[column];
                // Never so for kernels that take no part, whose errors are NaN.
                above += u32::from(at_most >= self.floor);
            }
        }
        above == 0
    }
}
