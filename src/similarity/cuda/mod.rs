//! Similarities computed by an NVIDIA GPU: Gram matrices by cuBLAS, and everything around them by the kernels in `kernels/`.
//!
//! Kernels are copied as they are stored. The GPU measures them by the float64 definition, in its order of summation, and
//! makes their unit vectors; cuBLAS multiplies those, tile by tile; the tile is looked at where it lies, what the screen
//! leaves open is compared there by the definition, and what comes of it is copied back. So no matrix of all similarities
//! crosses the bus, and the GPU comes to the same decisions as the CPU.
//!
//! Nothing of CUDA is linked. The driver and cuBLAS are loaded when they are first needed, from wherever this machine has
//! them ([`libraries`]), and a machine without them is told so in a value.

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

pub use clock::DeviceTimes;
pub use device::Device;
pub use error::Error;
pub use layer::Layer;
pub use precision::DevicePrecision;
pub use tile::GroupRows;
