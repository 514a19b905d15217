//! Merge similar convolution kernels of a safetensors checkpoint between fine-tuning epochs.

pub mod checkpoint;
pub mod layers;
