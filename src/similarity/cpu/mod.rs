//! Similarities on the CPU: unit vectors in float32, multiplied by BLAS, or in int8, multiplied here.

mod bytes;
mod cells;
mod counts;
mod pairs;
mod tile;
mod unit_vectors;
mod values;

pub(super) use tile::{CpuTile, Source};
pub use unit_vectors::Precision;
pub(super) use unit_vectors::{BATCH, Batch, UnitVectors};
