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
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        value_delimiter = ',',
        hide_possible_values = true,
        help = "Change biases and BatchNorms along with the kernels: any of norm, affine, bias [default: none]",
        long_help = "Change biases and BatchNorms along with the kernels, any of:\n  \
            norm    running mean and variance of the BatchNorm behind, and the bias in front of it\n  \
            affine  weight and bias of that BatchNorm\n  \
            bias    the bias of a convolution without BatchNorm behind\n\
            [default: none]\n\n\
            All are blended as the kernels are, which for a mean is exact. A variance becomes that of the blended channel, if the \
            kernels' similarity is the correlation of their outputs: so it is for uncorrelated inputs of one variance. The BatchNorm \
            is told by names and lengths (`inspect --json` says which), or declared with --layers (`norm`); a warning says where \
            none was found. A network that is trained on needs none of this."
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
