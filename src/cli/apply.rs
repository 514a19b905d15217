//! The flags of `apply`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::{InputFlags, MomentumFlags, Writing};

/// Write a checkpoint with the merges that a plan lists.
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// The plan to follow, as `merge --plan` writes it
    #[arg(value_name = "PLAN", value_hint = ValueHint::FilePath)]
    pub plan: PathBuf,
    /// The checkpoint that the plan was made for; with --prefix, another one of the same net
    #[arg(value_name = "IN", value_hint = ValueHint::AnyPath)]
    pub input: PathBuf,
    /// The checkpoint to write, laid out like IN: a file or a folder
    #[arg(value_name = "OUT", value_hint = ValueHint::AnyPath)]
    pub output: PathBuf,
    /// Apply the plan to other weights of the same net, whose names are the plan's with P before them
    ///
    /// For averaged weights and optimizers' buffers: --prefix ema. has the plan's `conv1.weight` mean `ema.conv1.weight`. An
    /// empty P ('') is for a file with the very same names. The file need not be the one that the plan was made for, and its
    /// dtypes may differ; every layer of the plan must be in it, with the same shape.
    #[arg(long, value_name = "P", allow_hyphen_values = true)]
    pub prefix: Option<String>,
    #[command(flatten)]
    pub momentum: MomentumFlags,
    #[command(flatten)]
    pub writing: Writing,
    #[command(flatten)]
    pub from: InputFlags,
}
