//! NVIDIA GPUs: what is needed to use one, and what there is.
//!
//! Nothing of CUDA is linked. The driver and cuBLAS are loaded when they are first needed, from wherever this machine has
//! them ([`libraries`]), and a machine without them is told so in a value.

pub mod inventory;
pub mod libraries;
mod places;
mod shared;
