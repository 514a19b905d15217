//! How alike the kernels of a layer are: the exact definition, and the fast screen that spares most of its use.
//!
//! A similarity is *defined* as a float64 value ([`exact`]). All of a layer's are computed at once in lower precision
//! ([`Precision`], [`DevicePrecision`]), off by no more than a proven bound; whatever lies nearer to a decision than that
//! bound is decided by the definition. So every machine, BLAS, GPU and thread count comes to the same decisions.
//!
//! Where they are computed is a run's [`Backend`] and a layer's [`Engine`]. Whoever asks of them sees [`Tile`]s, which answer
//! where they lie: in the CPU's memory (`cpu`) or a GPU's ([`cuda`]). What is found goes through one
//! [`Scan`], whichever it was.

mod backend;
mod bound;
pub mod cost;
mod cpu;
pub mod cuda;
mod engine;
mod error;
pub mod exact;
mod group;
mod kernels;
mod nearest;
mod scan;
pub mod tau_bins;
pub mod tile;

pub use backend::{Backend, BackendRequest, Reason, Screens};
pub use bound::guard_band;
pub use cost::LayerSize;
pub use cpu::Precision;
pub use cuda::{DevicePrecision, Error as DeviceError};
pub use engine::Engine;
pub use error::Error;
pub use group::Group;
#[cfg(test)]
pub(crate) use kernels::kernels_of;
pub use kernels::{Kernels, NonFinite};
pub use nearest::Nearest;
pub use scan::{Neighbour, Scan};
pub use tile::Tile;
