//! How similar the kernels of a layer are: the exact definition, and the fast screen that makes most exact tests unnecessary.
//!
//! A similarity is *defined* as a float64 value ([`exact`]). All of a layer's are computed at once in lower precision
//! ([`Precision`], [`DevicePrecision`]), with a proven error bound; a pair that lies closer to a decision than the bound is
//! decided by the definition. So the decisions are the same on every machine, BLAS, GPU and thread count.
//!
//! A run has one `Backend`, which gives each layer an [`Engine`]. Callers see `Tile`s, which answer questions in the memory
//! that they are in: the CPU's (`cpu`) or a GPU's (`cuda`). One `Scan` collects the answers of both.

mod backend;
mod bound;
mod chance;
pub(crate) mod cost;
mod cpu;
pub(crate) mod cuda;
mod engine;
mod error;
pub mod exact;
pub(crate) mod gpus;
mod group;
mod kernels;
mod nearest;
mod products;
mod scan;
pub(crate) mod tau_bins;
pub(crate) mod tile;

pub use backend::BackendRequest;
#[cfg(test)]
pub(crate) use backend::GpuFailures;
pub(crate) use backend::{Backend, Reason, ScreenPrecisions};
pub use chance::Chance;
pub(crate) use cost::LayerSize;
pub use cpu::Precision;
pub use cuda::{DevicePrecision, Error as DeviceError};
pub use engine::Engine;
pub use error::Error;
pub(crate) use group::Group;
#[cfg(test)]
pub(crate) use kernels::kernels_of;
pub(crate) use kernels::square_and_greatest;
pub use kernels::{Kernels, NonFinite};
pub use nearest::Nearest;
pub use scan::Neighbour;
pub(crate) use scan::Scan;
pub(crate) use tile::Tile;
