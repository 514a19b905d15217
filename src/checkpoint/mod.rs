//! Checkpoint files.
mod dtype;
mod tensor;
pub use dtype::FloatType;
pub use safetensors::Dtype;
pub use tensor::Tensor;
