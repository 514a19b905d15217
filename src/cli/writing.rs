//! Flags that say how files are written.

use clap::Args;

use crate::atomic::Durability;

/// How files are written.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output options")]
pub(crate) struct Writing {
    /// Replace OUT (and the plan) if it exists; OUT may be IN
    #[arg(long)]
    pub force: bool,
    /// Exit with code 3, and write no checkpoint, if nothing merges
    #[arg(long)]
    pub require_merges: bool,
    /// Do not wait until the disk holds the output
    ///
    /// Faster; after a power cut the output may be missing or damaged.
    #[arg(long)]
    pub no_sync: bool,
}

/// What `--no-sync` asks for.
pub(crate) fn durability(no_sync: bool) -> Durability {
    if no_sync {
        Durability::Unsynced
    } else {
        Durability::Synced
    }
}
