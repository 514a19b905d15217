//! Similarities on an NVIDIA GPU: Gram matrices by cuBLAS, everything else by the kernels in `kernels/`.
//!
//! Kernels are copied as they are stored. The GPU measures them by the float64 definition, in its order of summation, and
//! makes their unit vectors; cuBLAS multiplies those, tile by tile; a tile is evaluated in the GPU's memory, including the exact
//! tests of what the screen leaves open, and only the results are copied back. So no matrix of all similarities crosses the bus,
//! and the GPU's decisions are the same as the CPU's.
//!
//! Nothing of CUDA is linked. The driver and cuBLAS are loaded when they are first needed, from wherever they are installed
//! ([`libraries`]); if they are missing, the caller gets an error value.

mod blas;
mod buffers;
mod clock;
mod device;
mod error;
mod frame;
pub mod inventory;
mod launch;
mod layer;
pub mod libraries;
mod memory;
mod panel;
mod precision;
mod tile;
mod trial;

pub use clock::DeviceTimes;
pub use device::Device;
pub use error::Error;
pub use layer::Layer;
pub use precision::DevicePrecision;
pub use tile::GroupRows;
