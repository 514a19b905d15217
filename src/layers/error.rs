//! What makes a layer model impossible.

use thiserror::Error;

use super::contradiction::Contradiction;
use super::kind::UnknownKind;
use super::near::hint;

/// What errors call the lists that flags name.
pub(super) const LIST_FLAGS: [&str; 2] = ["--order", "--layers"];

/// Why no layer model could be made. Each message names what to change.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// A name that is no kind's.
    #[error(transparent)]
    UnknownKind(#[from] UnknownKind),
    /// A glob beyond all need.
    #[error("{origin} is of {bytes} bytes, beyond the limit of 65536; give several shorter globs")]
    LongGlob {
        /// The flag or table the glob came from.
        origin: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// A glob that does not parse.
    #[error("{origin} `{glob}` is not a valid glob: {problem}")]
    InvalidGlob {
        /// The flag or table the glob came from.
        origin: &'static str,
        /// The glob.
        glob: String,
        /// What the glob parser said.
        problem: String,
    },
    /// A glob that no layer's name fits.
    #[error("{origin} `{glob}` matches no layer{hint}", hint = hint(.near))]
    NoMatch {
        /// The flag or table the glob came from.
        origin: &'static str,
        /// The glob.
        glob: String,
        /// Names of layers that resemble it, nearest first.
        near: Vec<String>,
    },
    /// What should say what the layers are is no JSON list of weight names and objects.
    #[error(
        "{origin} must be a JSON list of weight names, or of objects with `name` and any of `kind`, `groups`, `head`, `gate` and `copy_of` ({problem}); {remedy}",
        remedy = remedy(.origin)
    )]
    NotAList {
        /// `--layers` or the metadata key.
        origin: &'static str,
        /// What is wrong, and at which line and column.
        problem: String,
    },
    /// What is said of a layer cannot be so.
    #[error("{origin}: `{name}`: {contradiction}")]
    Contradiction {
        /// `--layers` or the metadata key.
        origin: &'static str,
        /// The layer.
        name: String,
        /// Why not.
        contradiction: Contradiction,
    },
    /// An order list names a tensor that is not there.
    #[error("{origin}: the checkpoint has no tensor `{name}`{hint}; remove it from the list", hint = hint(.near))]
    OrderUnknown {
        /// `--order`, `--layers` or the metadata key.
        origin: &'static str,
        /// The name.
        name: String,
        /// Names that resemble it.
        near: Vec<String>,
    },
    /// An order list names a tensor that is no layer.
    #[error(
        "{origin}: `{name}` is not the float weight of a convolution or linear layer; remove it from the list"
    )]
    OrderNotALayer {
        /// `--order`, `--layers` or the metadata key.
        origin: &'static str,
        /// The name.
        name: String,
    },
    /// An order list names a tensor twice.
    #[error("{origin}: `{name}` is listed twice; keep one")]
    OrderTwice {
        /// `--order`, `--layers` or the metadata key.
        origin: &'static str,
        /// The name.
        name: String,
    },
}

impl Error {
    /// Whether it is the list that `--order` or `--layers` names that is wrong, rather than the checkpoint or a flag.
    pub fn is_about_named_list(&self) -> bool {
        match self {
            Self::NotAList { origin, .. }
            | Self::Contradiction { origin, .. }
            | Self::OrderUnknown { origin, .. }
            | Self::OrderNotALayer { origin, .. }
            | Self::OrderTwice { origin, .. } => LIST_FLAGS.contains(origin),
            _ => false,
        }
    }
}

fn remedy(origin: &str) -> &'static str {
    if LIST_FLAGS.contains(&origin) {
        "correct it"
    } else {
        "correct it, or pass `--layers FILE`"
    }
}
