//! The flags of `wait`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::{duration, seconds};

/// Parses a time.
fn any_time(text: &str) -> Result<Duration, String> {
    duration(text).ok_or_else(|| "it is not a time such as 90s, 10m or 2h".to_owned())
}

/// Wait until `watch` has merged a checkpoint, e.g. in a trainer that goes on from it.
#[derive(Debug, Args)]
#[command(after_long_help = "In a trainer, after an epoch is saved:\n\n  \
    subprocess.run([\"inmerge-ckpt\", \"wait\", \"merged/epoch3.ckpt\", \"--source\", \"run/epoch3.ckpt\"], check=True)\n  \
    model.load_state_dict(torch.load(\"merged/epoch3.ckpt\", weights_only=True)[\"state_dict\"])\n\n\
    Exits with 1 if the checkpoint is not there in time, and says what is missing.")]
pub(crate) struct Wait {
    /// The merged checkpoint, in the folder that `watch` writes to
    #[arg(value_name = "OUT", value_hint = ValueHint::AnyPath)]
    pub output: PathBuf,
    /// The checkpoint that it is made from: wait until OUT is of its present state
    ///
    /// Without it any checkpoint at OUT will do. A trainer that saves under the same name again and again needs it.
    #[arg(long, value_name = "IN", value_hint = ValueHint::AnyPath)]
    pub source: Option<PathBuf>,
    /// How long to wait, e.g. 90s, 10m, 2h; 0 looks once
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = any_time)]
    pub timeout: Duration,
    /// Time between two polls, e.g. 2, 500ms or 1m; a bare number is of seconds
    #[arg(long, value_name = "TIME", default_value = "1", value_parser = seconds)]
    pub poll: Duration,
}
