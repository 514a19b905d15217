//! Similarities computed by the CPU: unit vectors as float32 or bytes, multiplied by BLAS or by our own products.

mod bytes;
mod cells;
mod counts;
mod pairs;
mod tile;
mod units;
mod values;

pub(super) use tile::{CpuTile, Source};
pub use units::Precision;
pub(super) use units::{BATCH, Batch, Units};
