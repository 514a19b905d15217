//! How kernels that look at a tile are launched.

use cudarc::driver::{CudaFunction, CudaSlice, LaunchArgs, LaunchConfig, PushKernelArg};

use super::panel::PanelSlice;

/// Columns that a block evaluates, one a thread, and rows that each thread goes through.
const BLOCK: (usize, usize) = (256, 64);

/// A kernel that counts the pairs of a strip and lists those that are open, and its other arguments.
pub(super) struct Listing<'l> {
    pub function: &'l CudaFunction,
    /// Whether the bounds of rows and columns are among its arguments.
    pub has_bounds: bool,
    pub numbers: &'l [f32],
    /// The index of its counter of open pairs, which is the last.
    pub open_counter: usize,
}

/// The first arguments of every kernel for tiles.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    pub rows: u32,
    pub columns: u32,
    pub diagonal: u32,
}

impl Frame {
    pub fn begin<'l>(
        &'l self,
        launch: &mut LaunchArgs<'l>,
        values: &'l CudaSlice<f32>,
        rows: &'l PanelSlice<'_>,
        columns: &'l PanelSlice<'_>,
    ) {
        launch.arg(values).arg(&self.rows).arg(&self.columns);
        launch
            .arg(&rows.errors)
            .arg(&columns.errors)
            .arg(&self.diagonal);
    }

    /// The blocks for this many rows and all columns.
    pub fn blocks(self, rows: usize) -> LaunchConfig {
        LaunchConfig {
            grid_dim: (
                self.columns.div_ceil(BLOCK.0 as u32),
                rows.div_ceil(BLOCK.1) as u32,
                1,
            ),
            block_dim: (BLOCK.0 as u32, 1, 1),
            shared_mem_bytes: 0,
        }
    }
}
