//! Similarities computed by the CPU: unit vectors as float32 or bytes, multiplied by BLAS or by our own products.

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
