//! Checkpoints: the headers and their tensor tables, the values behind them, and a copy with some bytes changed.
//!
//! A file is one of two containers. A safetensors file (`header`) is an 8-byte little-endian length N, N bytes of JSON, then
//! the tensors' values, one after the other without gaps (<https://huggingface.co/docs/safetensors>). A file of `torch.save`
//! (`torch`) is a zip archive of a pickle and the tensors' storages. A checkpoint that is a folder holds one
//! such file, or several of one container and an index of their tensors, and what a trainer keeps beside them.

mod arrangement;
mod container;
mod contents;
mod convert;
mod destination;
mod draft;
mod dtype;
mod endings;
mod error;
mod folder;
mod header;
mod index;
mod lone_shard;
mod mapped;
mod momentum;
mod names;
mod notice;
mod object;
mod piece;
mod shard;
mod sharded;
mod source;
mod tensor;
mod torch;
mod warning;

pub use arrangement::Arrangement;
pub(crate) use container::torch_tensors;
pub use destination::Destination;
pub use draft::{Draft, Fill, Sink};
pub use dtype::FloatType;
pub(crate) use endings::{FOREIGN_ENDINGS, has_ending};
pub use error::{Error, Problem, Recognised};
pub(crate) use folder::is_weights;
pub use folder::{OutputFolder, SourceFolder};
pub use header::Header;
pub(crate) use header::MAX_HEADER_BYTES;
pub use index::{Index, WeightMap};
pub use momentum::Momentum;
pub use names::Names;
pub use notice::Notice;
pub(crate) use piece::PIECE_BYTES;
pub use piece::Piece;
pub use safetensors::Dtype;
pub use shard::Shard;
pub use source::Checkpoint;
pub use tensor::Tensor;
pub use torch::Problem as TorchProblem;
pub use warning::Warning;
