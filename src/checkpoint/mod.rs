//! Checkpoint files: the header and its tensor table, the values behind it, and a copy with some bytes changed.
//!
//! Format: an 8-byte little-endian length N, N bytes of JSON, then the tensors' values, one after the other without
//! gaps (<https://huggingface.co/docs/safetensors>).

mod dtype;
mod error;
mod header;
mod output;
mod source;
mod temporary;
mod tensor;

pub use dtype::FloatType;
pub use error::{Error, Problem, Recognised};
pub use header::{Header, MAX_HEADER_BYTES};
pub use output::{Destination, Draft, Durability};
pub use safetensors::Dtype;
pub use source::Checkpoint;
pub use tensor::Tensor;
