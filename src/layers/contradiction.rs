//! What is said of a layer and cannot be so.

use std::fmt;

use super::kind::Kind;
use super::near::hint;

/// Why a layer cannot be what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contradiction {
    /// The groups do not divide the outputs of an ordinary convolution.
    Kernels {
        groups: usize,
        /// Kernels that there are.
        kernels: usize,
    },
    /// The groups do not divide the inputs of a transposed convolution.
    Inputs {
        groups: usize,
        /// Input channels that there are.
        channels: usize,
    },
    /// A depthwise kernel reads one channel.
    NotDepthwise {
        /// Channels that each kernel reads.
        reads: usize,
    },
    /// In one group all kernels read the same channel.
    OneGroup,
    /// Pointwise kernels have no extent in space.
    NotPointwise { shape: Vec<usize> },
    /// A linear layer's weight has rank 2, and only that.
    Rank { kind: Kind, shape: Vec<usize> },
    /// A linear layer has no groups.
    LinearGroups { groups: usize },
    /// The bias has another length than there would be outputs.
    Bias {
        bias: usize,
        /// Kernels of the layer as it is said to be.
        kernels: usize,
        /// Whether it is said to be transposed.
        transposed: bool,
    },
    /// `copy_of` names a layer that is not in the list.
    OriginalUnlisted {
        original: String,
        /// Listed names that resemble it.
        near: Vec<String>,
    },
    /// `copy_of` names a layer that is itself declared a copy.
    OriginalIsCopy { original: String },
    /// `copy_of` names a layer of another dtype or shape.
    UnlikeOriginal { original: String },
    /// `norm` names no BatchNorm with running statistics.
    NoNorm { norm: String },
    /// `norm` names one of another number of channels.
    NormLength {
        norm: String,
        /// Its channels.
        length: usize,
        /// Kernels of the layer.
        kernels: usize,
    },
    /// It is declared to be different from the layer that `copy_of` names.
    SaidOtherwise { original: String },
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernels { groups, kernels } => {
                write!(
                    f,
                    "{groups} groups do not divide its {kernels} kernels; correct `groups`"
                )
            }
            Self::Inputs { groups, channels } => write!(
                f,
                "{groups} groups do not divide the {channels} input channels of a transposed convolution; correct `groups`"
            ),
            Self::NotDepthwise { reads } => write!(
                f,
                "its kernels read {reads} channels each, and those of a depthwise layer one; take kind `conv` with its `groups`"
            ),
            Self::OneGroup => write!(
                f,
                "a depthwise layer has a group for each input channel; leave `groups` out, or take kind `conv`"
            ),
            Self::NotPointwise { shape } => write!(
                f,
                "its shape {shape:?} has extents other than 1 in space, so it is not pointwise; take kind `conv`"
            ),
            Self::Rank { kind, shape } if *kind == Kind::Linear => write!(
                f,
                "its shape {shape:?} is not of rank 2, so it is not linear; correct `kind`"
            ),
            Self::Rank { kind, shape } => write!(
                f,
                "its shape {shape:?} is of rank 2, so it is linear and not {kind}; correct `kind`"
            ),
            Self::LinearGroups { groups } => write!(
                f,
                "it is linear and cannot have {groups} groups; leave `groups` out"
            ),
            Self::Bias {
                bias,
                kernels,
                transposed,
            } => {
                let sort = if *transposed {
                    "a transposed"
                } else {
                    "an ordinary"
                };
                write!(
                    f,
                    "as {sort} convolution it would have {kernels} kernels, but its bias has {bias} values; correct `kind` or `groups`"
                )
            }
            Self::OriginalUnlisted { original, near } => write!(
                f,
                "`copy_of` names `{original}`, which is not in the list{}; add it or correct `copy_of`",
                hint(near)
            ),
            Self::OriginalIsCopy { original } => write!(
                f,
                "`copy_of` names `{original}`, which is declared a copy itself; name the original in `copy_of`"
            ),
            Self::UnlikeOriginal { original } => write!(
                f,
                "it cannot be a copy of `{original}`, which has another dtype or shape; correct `copy_of`"
            ),
            Self::NoNorm { norm } => write!(
                f,
                "the file has no BatchNorm with running statistics at `{norm}`; correct `norm`, or leave it empty if there is none"
            ),
            Self::NormLength {
                norm,
                length,
                kernels,
            } => write!(
                f,
                "it has {kernels} kernels, and its `norm` `{norm}` has {length} channels; correct `norm`"
            ),
            Self::SaidOtherwise { original } => write!(
                f,
                "it is declared a copy of `{original}`, but with other properties; leave out all but `name` and `copy_of`"
            ),
        }
    }
}
