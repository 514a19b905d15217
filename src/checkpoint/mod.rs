//! Checkpoint files: the header and its tensor table, the values behind it, and a copy with some bytes changed.
//!
//! Format: an 8-byte little-endian length N, N bytes of JSON, then the tensors' values, one after the other without
//! gaps (<https://huggingface.co/docs/safetensors>).

mod destination;
mod draft;
mod dtype;
mod error;
mod header;
mod shard;
mod source;
mod temporary;
mod tensor;
mod writer;

pub use destination::{Destination, Durability};
pub use draft::{Draft, Piece};
pub use dtype::FloatType;
pub use error::{Error, Problem, Recognised};
pub use header::{Header, MAX_HEADER_BYTES};
pub use safetensors::Dtype;
pub use shard::{Mapped, Shard};
pub use source::Checkpoint;
pub use tensor::Tensor;
pub use writer::{Fill, PIECE_BYTES, Sink};
