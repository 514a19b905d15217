//! Similarities computed by the processor: unit vectors as float32 or bytes, multiplied by BLAS or by our own products.

mod bytes;
mod cells;
mod counts;
mod pairs;
mod tile;
mod units;
mod values;

pub(super) use tile::{ProcessorTile, Source};
pub use units::Precision;
pub(super) use units::{BATCH, Batch, Units};
