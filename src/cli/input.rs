//! The flag that says what of an input is the checkpoint.

use std::path::Path;

use clap::Args;

use crate::checkpoint::{Checkpoint, Error};

/// What of an input is the checkpoint.
#[derive(Debug, Args)]
pub(crate) struct InputFlags {
    /// Of a PyTorch file, take the state dict under this key, e.g. model or ema.shadow [default: that with the most convolutions]
    ///
    /// Keys that lie within each other are joined by dots; '' is the outermost mapping.
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub state_dict: Option<String>,
}

impl InputFlags {
    /// Opens a checkpoint.
    pub fn open(&self, path: &Path) -> Result<Checkpoint, Error> {
        Checkpoint::open_state_dict(path, self.state_dict.as_deref())
    }
}
