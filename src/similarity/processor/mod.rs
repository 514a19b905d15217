//! Similarities computed by the processor: unit vectors as float32 or bytes, multiplied by BLAS or by our own products.

mod blas;
mod bytes;
mod cells;
mod counts;
mod pairs;
mod tile;
mod units;

pub use blas::{blas_description, use_one_blas_thread};
pub(super) use tile::{ProcessorTile, Source};
pub use units::Precision;
pub(super) use units::{BATCH, Batch, Units, write_unit};
