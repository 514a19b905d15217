//! How alike the kernels of a layer are: the exact definition, and the fast screen that spares most of its use.
//!
//! A similarity is *defined* as a float64 value ([`exact`]). BLAS computes all of a layer's at once in float32
//! ([`Screen`]), off by no more than a proven bound; whatever lies nearer to a decision than that bound is
//! decided by the definition. So every machine, BLAS and thread count comes to the same decisions.

mod cpu;
mod error;
pub mod exact;
mod kernels;
mod nearest;
mod screen;

pub use cpu::blas_description;
pub use error::Error;
#[cfg(test)]
pub(crate) use kernels::kernels_of;
pub use kernels::{Group, Kernels, NonFinite};
pub use nearest::{Nearest, Neighbour, Search};
pub use screen::{Screen, Tile, guard_band};
