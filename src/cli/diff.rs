//! The arguments of `diff`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::InputFlags;

/// Say what differs between two checkpoints, kernel by kernel.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The checkpoint before
    #[arg(value_name = "A", value_hint = ValueHint::AnyPath)]
    pub before: PathBuf,
    /// The checkpoint after
    #[arg(value_name = "B", value_hint = ValueHint::AnyPath)]
    pub after: PathBuf,
    #[command(flatten)]
    pub from: InputFlags,
}
