//! A similarity matrix as it is drawn: reduced to so many cells where it has more kernels.

/// Cells along a side at most.
pub const CELLS: usize = 512;

/// The similarities of a layer's kernels, in some order, as a square of cells.
///
/// Where the layer has more than [`CELLS`] kernels, a cell stands for a block of pairs: their mean, in which structure shows,
/// and their maximum, in which a single hot pair does. Otherwise both are the similarity itself. A kernel's similarity to
/// itself counts in neither; the diagonal cells of an unreduced map are 1.
#[derive(Clone, Debug, PartialEq)]
pub struct SimilarityMap {
    /// The kernels along both sides, by number.
    pub order: Vec<usize>,
    /// Cells along a side: [`CELLS`] or the number of kernels. Kernel at place p is in cell `p * cells / n`.
    pub cells: usize,
    /// Row-major, symmetric; NaN where no pair of the cell is compared.
    pub mean: Vec<f32>,
    /// As the mean.
    pub max: Vec<f32>,
}

impl SimilarityMap {
    /// Whether cells stand for several pairs.
    pub fn is_reduced(&self) -> bool {
        self.cells < self.order.len()
    }

    /// The map with at most this many cells along a side.
    pub fn reduced(&self, _cells: usize) -> Self {
        todo!()
    }
}
