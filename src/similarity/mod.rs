//! How alike the kernels of a layer are: the exact definition, and the fast screen that spares most of its use.
//!
//! A similarity is *defined* as a float64 value ([`exact`]). All of a layer's are computed at once in lower precision
//! ([`Precision`]), off by no more than a proven bound; whatever lies nearer to a decision than that bound is
//! decided by the definition. So every machine, BLAS and thread count comes to the same decisions.

mod bytes;
pub mod cost;
mod cpu;
pub mod cuda;
mod error;
pub mod exact;
mod group;
mod kernels;
mod nearest;
mod scan;
mod units;

pub use cpu::{blas_description, use_one_blas_thread};
pub use error::Error;
pub use group::{Group, Tile, TileRow};
#[cfg(test)]
pub(crate) use kernels::kernels_of;
pub use kernels::{Kernels, NonFinite};
pub use nearest::{Nearest, Neighbour};
pub use scan::Scan;
pub use units::{Precision, guard_band};
