//! Merge similar convolution kernels of a safetensors checkpoint between fine-tuning epochs.

pub mod apply;
pub mod checkpoint;
pub mod layers;
pub mod plan;
pub mod similarity;
pub mod weight;
