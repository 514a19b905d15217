//! Checkpoint files.
mod dtype;
mod tensor;
pub use dtype::FloatType;
pub use tensor::Tensor;
pub use safetensors::Dtype;
