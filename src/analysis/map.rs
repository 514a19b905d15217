//! A similarity matrix as it is drawn: reduced to so many cells where it has more kernels.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::similarity::tile::CellSum;
use crate::similarity::{Error, Group, Tile};

/// Cells along a side at most.
pub const CELLS: usize = 512;

/// The similarities of a layer's kernels, in some order, as a square of cells.
///
/// Where the layer has more than [`CELLS`] kernels, a cell stands for a block of pairs: their mean, in which structure shows,
/// and their maximum, in which a single hot pair does. Otherwise both are the similarity itself, to 2⁻³⁰. A kernel's
/// similarity to itself counts in neither, but where it is alone with itself in a cell of the diagonal, the cell is 1.
#[derive(Clone, Debug, PartialEq)]
pub struct SimilarityMap {
    /// The kernels along both sides, by number.
    pub order: Vec<usize>,
    /// Cells along a side: [`CELLS`] or the number of kernels. Kernel at place p is in cell `p * cells / n`.
    pub cells: usize,
    /// Row-major, symmetric; NaN where no pair of the cell is compared.
    pub mean: Vec<f32>,
    pub max: Vec<f32>,
}

impl SimilarityMap {
    /// Whether cells stand for several pairs.
    pub fn is_reduced(&self) -> bool {
        self.cells < self.order.len()
    }

    /// The map with at most this many cells along a side, and at least one.
    ///
    /// Cells of a map that is reduced already are joined whole, so there may be fewer; each counts with the number of its pairs
    /// as if all of them were compared.
    pub fn reduced(&self, cells: usize) -> Self {
        let cells = cells.clamp(1, self.cells);
        let cells = if self.is_reduced() {
            let mut fewer = (1..=cells).rev();
            let whole = fewer.find(|&fewer| self.cells.is_multiple_of(fewer));
            whole.unwrap_or(1)
        } else {
            cells
        };
        let sizes = cell_sizes(self.order.len(), self.cells);
        let to: Vec<usize> = (0..self.cells)
            .map(|cell| cell * cells / self.cells)
            .collect();
        let mut joined = vec![Joined::default(); cells * cells];
        for row in 0..self.cells {
            let joined = &mut joined[to[row] * cells..][..cells];
            for column in row..self.cells {
                let pairs = if row == column {
                    sizes[row] * (sizes[row] - 1) / 2
                } else {
                    sizes[row] * sizes[column]
                };
                let from = row * self.cells + column;
                joined[to[column]].add(self.mean[from], self.max[from], pairs);
            }
        }
        // A cell of one kernel was one before.
        let alone = |cell: usize| {
            let before = (cell * self.cells).div_ceil(cells);
            self.mean[before * self.cells + before]
        };
        Self::of_upper(self.order.clone(), cells, alone, |cell| {
            joined[cell].mean_and_max()
        })
    }

    /// The map with its kernels in another order, from a map in file order whose cells stand for one pair each.
    pub(super) fn in_order(&self, order: &[usize]) -> Self {
        let turned = |values: &[f32]| {
            let row = |&row: &usize| {
                let row = &values[row * self.cells..][..self.cells];
                order.iter().map(|&column| row[column])
            };
            order.iter().flat_map(row).collect()
        };
        Self {
            order: order.to_vec(),
            cells: self.cells,
            mean: turned(&self.mean),
            max: turned(&self.max),
        }
    }

    /// From the mean and maximum of the cells on the diagonal and above it, by place of the square, and from what a cell of
    /// the diagonal is that is one kernel's alone.
    fn of_upper(
        order: Vec<usize>,
        cells: usize,
        alone: impl Fn(usize) -> f32,
        of_cell: impl Fn(usize) -> (f32, f32),
    ) -> Self {
        let sizes = cell_sizes(order.len(), cells);
        let mut mean = vec![f32::NAN; cells * cells];
        let mut max = mean.clone();
        for (row, size) in sizes.into_iter().enumerate() {
            for column in row..cells {
                let cell = row * cells + column;
                let both = if row == column && size == 1 {
                    [alone(row); 2].into()
                } else {
                    of_cell(cell)
                };
                for cell in [cell, column * cells + row] {
                    (mean[cell], max[cell]) = both;
                }
            }
        }
        Self {
            order,
            cells,
            mean,
            max,
        }
    }
}

/// Kernels in each cell along a side.
fn cell_sizes(n: usize, cells: usize) -> Vec<usize> {
    let mut sizes = vec![0; cells];
    for place in 0..n {
        sizes[place * cells / n] += 1;
    }
    sizes
}

/// Cells that become one.
#[derive(Clone, Copy)]
struct Joined {
    sum: f64,
    pairs: f64,
    max: f32,
}

impl Default for Joined {
    fn default() -> Self {
        Self {
            sum: 0.0,
            pairs: 0.0,
            max: f32::NAN,
        }
    }
}

impl Joined {
    fn add(&mut self, mean: f32, max: f32, pairs: usize) {
        if pairs > 0 && !mean.is_nan() {
            self.sum += f64::from(mean) * pairs as f64;
            self.pairs += pairs as f64;
            self.max = self.max.max(max);
        }
    }

    /// NaN where there is no pair.
    fn mean_and_max(&self) -> (f32, f32) {
        ((self.sum / self.pairs) as f32, self.max)
    }
}

/// A map that is put together tile by tile.
pub(super) struct MapOfTiles {
    n: usize,
    cells: usize,
    /// Of the square, that on the diagonal and above it.
    blocks: Mutex<Vec<CellSum>>,
}

impl MapOfTiles {
    /// Bytes that the map of `n` kernels takes while it is made, and then.
    pub fn memory(n: usize) -> usize {
        let cells = n.min(CELLS);
        cells * cells * (size_of::<CellSum>() + 2 * size_of::<f32>())
    }

    /// A map of `n` kernels.
    pub fn new(n: usize) -> Self {
        let cells = n.min(CELLS);
        Self {
            n,
            cells,
            blocks: Mutex::new(vec![CellSum::EMPTY; cells * cells]),
        }
    }

    /// Takes a tile of a group into account.
    ///
    /// # Errors
    ///
    /// Those of the tile.
    pub fn visit(&self, group: &Group<'_, '_>, tile: &mut dyn Tile) -> Result<(), Error> {
        let cell = |place: usize| group.kernel(place) * self.cells / self.n;
        let cells_of = |places: std::ops::Range<usize>| places.map(cell).collect::<Vec<_>>();
        let (rows, columns) = (cells_of(tile.rows()), cells_of(tile.columns()));
        let width = columns[columns.len() - 1] - columns[0] + 1;
        let blocks = tile.sum_by_cell(&rows, &columns)?;
        let mut all = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        for (row, blocks) in (rows[0]..).zip(blocks.chunks_exact(width)) {
            let all = &mut all[row * self.cells + columns[0]..][..width];
            all.iter_mut()
                .zip(blocks)
                .for_each(|(all, &block)| all.add(block));
        }
        Ok(())
    }

    /// Takes the pairs of some groups' kernels into account, which stand in this order from a place of the map on. `after` gives the
    /// kernels after one, by their places in the groups, and how similar it is to each.
    pub fn add_in_order<I: Iterator<Item = (usize, f32)>>(
        &mut self,
        start: usize,
        order: &[usize],
        after: impl Fn(usize) -> I + Sync,
    ) {
        let cell_at = |index: usize| (start + index) * self.cells / self.n;
        let mut cells = vec![0; order.len()];
        for (index, &place) in order.iter().enumerate() {
            cells[place] = cell_at(index);
        }
        let runs: Vec<&[usize]> = order.chunk_by(|&a, &b| cells[a] == cells[b]).collect();
        let size = self.cells;
        let blocks = self.blocks.get_mut();
        let blocks = blocks.unwrap_or_else(PoisonError::into_inner);
        // Each pair in the row of the kernel that is before the other in the file, which is where its similarity lies.
        let rows = blocks[cell_at(0) * size..][..runs.len() * size].par_chunks_mut(size);
        rows.zip(runs).for_each(|(blocks, places)| {
            for (other, similarity) in places.iter().flat_map(|&place| after(place)) {
                blocks[cells[other]].add(CellSum::of(CellSum::fixed(similarity)));
            }
        });
        let end = cell_at(order.len() - 1) + 1;
        for row in cell_at(0)..end {
            for column in cell_at(0)..row {
                let below = std::mem::replace(&mut blocks[row * size + column], CellSum::EMPTY);
                blocks[column * size + row].add(below);
            }
        }
    }

    /// The map of these kernels; those at some places are live. All tiles of all groups must have been visited.
    pub fn finish(self, order: Vec<usize>, is_live: impl Fn(usize) -> bool) -> SimilarityMap {
        let blocks = self
            .blocks
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let (n, cells) = (self.n, self.cells);
        let first_of = |cell: usize| (cell * n).div_ceil(cells);
        let alone = |cell: usize| {
            if is_live(first_of(cell)) {
                1.0
            } else {
                f32::NAN
            }
        };
        SimilarityMap::of_upper(order, cells, alone, |cell| blocks[cell].mean_and_max())
    }
}
