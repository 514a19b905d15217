//! The flag that says what changes along with merged kernels.

use clap::{Args, ValueEnum};

use crate::plan::Carry;

/// Something that may change along with merged kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CarriedPart {
    Norm,
    Affine,
    Bias,
}

/// What changes along with merged kernels.
#[derive(Debug, Args)]
#[command(next_help_heading = "Merging")]
pub(crate) struct CarryFlags {
    /// Change biases and BatchNorms along with the kernels: any of norm, affine, bias [default: none]
    ///
    /// Of a kernel merged with a partner,
    ///   norm    the running mean and variance of the BatchNorm behind it become those of the blended channel: the mean (and the bias of the
    ///           convolution, which is part of it) is blended as the kernel is, which is exact; the variance takes the kernels' similarity for
    ///           the correlation of their outputs, which is exact for uncorrelated inputs of one variance
    ///   affine  that BatchNorm's weight and bias are blended too
    ///   bias    the bias of a convolution without BatchNorm behind it is blended too
    /// The BatchNorm is told by names and lengths (`inspect --json` says which), or declared with --layers (`norm`); a warning says where there
    /// is none. Training makes all of this unnecessary; it is for a network that is evaluated, or averaged, right after the merge.
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        value_delimiter = ',',
        verbatim_doc_comment,
        hide_possible_values = true
    )]
    carry: Vec<CarriedPart>,
}

impl CarryFlags {
    /// What they ask for.
    pub fn carry(&self) -> Carry {
        let has = |part| self.carry.contains(&part);
        Carry {
            norm: has(CarriedPart::Norm),
            affine: has(CarriedPart::Affine),
            bias: has(CarriedPart::Bias),
        }
    }
}
