//! The flags of `merge`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::{CarryFlags, InputFlags, LayerFlags, Merging, MomentumFlags, Writing};

/// Decide which kernels merge, and write the checkpoint with them merged.
#[derive(Debug, Args)]
#[command(
    after_long_help = "The output is the input with only the merged kernels' bytes changed. It appears complete or \
    not at all; with --force it may be the input itself. Of a PyTorch file, everything beside the weights stays too: optimizer, epoch, \
    callbacks.\n\n\
    A folder is merged as a whole: its model.safetensors, pytorch_model.bin, diffusion_pytorch_model.safetensors or the shards \
    that an index names. The output is a folder too, with what lies beside the weights copied (configuration, optimizer, trainer's state), and \
    other weights and subfolders left behind; where the output replaces the input, everything in the folder is kept.\n\n\
    Which tau? Run once with --dry-run: the table shows each layer's largest similarity, and a run that merges nothing \
    says which tau would merge 1 %, 5 % and 20 % of the kernels."
)]
pub(crate) struct Merge {
    /// The checkpoint to read: a .safetensors or PyTorch file, or a folder with weights or their index
    #[arg(value_name = "IN", value_hint = ValueHint::AnyPath)]
    pub input: PathBuf,
    /// The checkpoint to write, laid out like IN: a file or a folder
    ///
    /// Of a PyTorch file also a .safetensors file, which holds the state dict alone.
    #[arg(value_name = "OUT", value_hint = ValueHint::AnyPath, required_unless_present = "dry_run")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub merging: Merging,
    #[command(flatten)]
    pub carry: CarryFlags,
    #[command(flatten)]
    pub momentum: MomentumFlags,
    #[command(flatten)]
    pub layers: LayerFlags,
    #[command(flatten)]
    pub from: InputFlags,
    /// Write the plan, as JSON: every merge with its kernel, partner and similarity
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output options")]
    pub plan: Option<PathBuf>,
    /// Decide and report, and write nothing but the plan and the report folder
    #[arg(long, help_heading = "Output options")]
    pub dry_run: bool,
    #[command(flatten)]
    pub writing: Writing,
    /// Write the report of `analyze` on IN into this folder, with what was merged marked in it
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Output options")]
    pub report: Option<PathBuf>,
    /// Leave the spectra out of the report
    #[arg(long, requires = "report", help_heading = "Output options")]
    pub no_spectrum: bool,
    /// Leave title and subtitle out of the figures' files, for a paper; legends stay
    ///
    /// On the page, where the figures have no other titles, they stay.
    #[arg(long, requires = "report", help_heading = "Output options")]
    pub no_titles: bool,
}
