//! The flag that says what becomes of an optimizer's momentum.

use clap::{Args, ValueEnum};

use crate::checkpoint::{Checkpoint, Error, Momentum};

/// What becomes of an optimizer's momentum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum MomentumPolicy {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is merged as its kernels are.
    Merge,
}

/// What becomes of an optimizer's momentum.
#[derive(Debug, Args)]
#[command(next_help_heading = "Merging")]
pub(crate) struct MomentumFlags {
    /// What becomes of the momentum of merged kernels in a PyTorch file with its optimizer: keep or merge
    ///
    /// merge blends each kernel's exp_avg or momentum_buffer with its partner's, by the same alpha; exp_avg_sq and all else stay. The
    /// optimizer's parameters are matched with the weights by name if it was given named ones, and otherwise by shape, in the order of
    /// model.parameters(); a warning says where another order would fit too, and where that is unclear the run fails.
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        default_value_t,
        hide_possible_values = true
    )]
    pub momentum: MomentumPolicy,
}

impl MomentumFlags {
    /// The momentum to merge along with the weights of a checkpoint.
    pub fn of(&self, source: &Checkpoint) -> Result<Option<Momentum>, Error> {
        match self.momentum {
            MomentumPolicy::Keep => Ok(None),
            MomentumPolicy::Merge => source.momentum().map(Some),
        }
    }
}
