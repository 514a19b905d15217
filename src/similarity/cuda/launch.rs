//! Arguments and extents that launches of several kernels share.

use cudarc::driver::LaunchConfig;

use crate::checkpoint::FloatType;

/// Rows that a block of 256 threads works on, 16 threads a row.
pub(super) const ROWS_A_BLOCK: usize = 16;

/// So many blocks of so many threads, in one dimension.
pub(super) fn blocks(blocks: usize, threads: u32) -> LaunchConfig {
    LaunchConfig {
        grid_dim: (blocks as u32, 1, 1),
        block_dim: (threads, 1, 1),
        shared_mem_bytes: 0,
    }
}

/// The number by which the kernels know a type of stored numbers.
pub(super) fn type_code(float: FloatType) -> u32 {
    match float {
        FloatType::F32 => 0,
        FloatType::F64 => 1,
        FloatType::F16 => 2,
        FloatType::Bf16 => 3,
    }
}
