//! A checkpoint that is a folder: its weights, in one file or in shards with an index, and what lies beside them.

mod companions;
mod draft;
mod names;
mod output;
mod source;

pub(super) use draft::FolderDraft;
pub(crate) use names::is_weights;
pub use output::OutputFolder;
pub use source::SourceFolder;
