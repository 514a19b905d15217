//! What makes a layer model impossible.

use thiserror::Error;

use super::Kind;

/// What errors call the user's list of the order.
pub(super) const ORDER_FLAG: &str = "--order";

/// Why no layer model could be made. Each message names what to change.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// A name that is no kind's.
    #[error("`{0}` is no kind of layer; the kinds are {kinds}", kinds = Kind::ALL.map(Kind::name).join(", "))]
    UnknownKind(String),
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
    /// The metadata key is no JSON list of strings.
    #[error(
        "the file's metadata `inmerge.layers` must be a JSON list of weight names ({0}); correct it, or pass `--order FILE`"
    )]
    MetadataNotAList(String),
    /// An order list names a tensor that is not there.
    #[error("{origin}: the checkpoint has no tensor `{name}`{hint}; remove it from the list", hint = hint(.near))]
    OrderUnknown {
        /// `--order` or the metadata key.
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
        /// `--order` or the metadata key.
        origin: &'static str,
        /// The name.
        name: String,
    },
    /// An order list names a tensor twice.
    #[error("{origin}: `{name}` is listed twice; keep one")]
    OrderTwice {
        /// `--order` or the metadata key.
        origin: &'static str,
        /// The name.
        name: String,
    },
}

impl Error {
    /// Whether it is the user's list of the order that is wrong, rather than the checkpoint or a flag.
    pub fn is_about_order_list(&self) -> bool {
        match self {
            Self::OrderUnknown { origin, .. }
            | Self::OrderNotALayer { origin, .. }
            | Self::OrderTwice { origin, .. } => *origin == ORDER_FLAG,
            _ => false,
        }
    }
}

fn hint(near: &[String]) -> String {
    if near.is_empty() {
        return String::new();
    }
    format!(
        " (near: {})",
        near.iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", ")
    )
}
