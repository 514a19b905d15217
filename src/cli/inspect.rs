//! The flags of `inspect`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::{InputFlags, LayerFlags};

/// List the layers: order, kind, and which would take part. Reads the header, and a page of each weight to tell copies.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The checkpoint to look at
    #[arg(value_name = "IN", value_hint = ValueHint::AnyPath)]
    pub input: PathBuf,
    #[command(flatten)]
    pub layers: LayerFlags,
    #[command(flatten)]
    pub from: InputFlags,
}
