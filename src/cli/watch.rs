//! The flags of `watch`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::{CarryFlags, InputFlags, LayerFlags, Merging, MomentumFlags, duration};

/// Merge each new checkpoint that a trainer saves in a folder.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Every .safetensors, .ckpt, .pt and .pth file directly in DIR is merged once it is complete: its size is what \
    its header says, and neither size nor time of change has moved since the last poll. So is every folder that holds weights, such as \
    checkpoint-500 of Hugging Face's Trainer, as a whole; that one once its trainer_state.json is there. Names that begin with '.', 'tmp', \
    '_tmp' or '~', or have .tmp, .temp, .part, .partial, .incomplete or .crdownload before the ending, are for the time being and ignored. \
    A link to another checkpoint in DIR is passed over: that is merged under its own name.\n\n\
    The output has the same name in DIR2 and appears complete or not at all. DIR2/.inmerge-watch.jsonl records what was done, so \
    a watch that is stopped or killed goes on where it was, under the same settings; others need a DIR2 of their own. A checkpoint \
    that is replaced under its name is merged again. A file in DIR2 that this watch did not write is never replaced.\n\n\
    Each checkpoint has a seed of its own, from --seed and its file name: the first 8 bytes of the SHA-256 of the seed's 8 \
    bytes and the name's, little-endian, shifted right by 11. It is printed, and `merge` with it as --seed gives the same bytes.\n\n\
    On SIGTERM, Ctrl-C or the end of its terminal it ends with 0 once the checkpoint at hand is done; another such signal, four \
    seconds later or more, ends it at once.\n\n\
    What cannot be merged (an optimizer's state, a pickled model, one shard of several, a .h5 file) is named once and left alone. A checkpoint \
    that changes while it is read is merged once it is complete again."
)]
pub(crate) struct Watch {
    /// The folder in which checkpoints appear
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub input: PathBuf,
    /// The folder for merged checkpoints; made if it is missing
    #[arg(long, value_name = "DIR2", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// Merge what is complete now, and end
    ///
    /// It polls DIR twice. Exits with 1 if a complete checkpoint is left that could not be merged or not be read.
    #[arg(long)]
    pub once: bool,
    /// Time between two polls of DIR, e.g. 2, 500ms or 1m; a bare number is of seconds
    ///
    /// On network file systems, which show changes late, take longer than that: for NFS 10s.
    #[arg(long, value_name = "TIME", default_value = "2", value_parser = seconds)]
    pub poll: Duration,
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
    /// Do not wait until the disk holds an output
    ///
    /// Faster; after a power cut outputs may be missing or damaged.
    #[arg(long, help_heading = "Output options")]
    pub no_sync: bool,
}

/// Parses a time between looks.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let bounds = Duration::from_millis(50)..=Duration::from_secs(86_400);
    duration(text)
        .filter(|time| bounds.contains(time))
        .ok_or_else(|| {
            "it is not a time within [0.05, 86400] seconds, such as 2, 500ms or 1m".to_owned()
        })
}
