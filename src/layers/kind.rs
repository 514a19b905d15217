//! What sort of layer a weight belongs to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The sort of a layer. Ordered as `--kinds` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A convolution with some extent in space; grouped ones included.
    Conv,
    /// A convolution whose kernel sizes are all 1.
    Pointwise,
    /// A convolution in which each kernel sees one input channel of its own.
    Depthwise,
    /// A transposed convolution; its weight is `[in, out/groups, k…]`.
    Transposed,
    /// A fully connected layer: a weight of rank 2.
    Linear,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 5] = [
        Kind::Conv,
        Kind::Pointwise,
        Kind::Depthwise,
        Kind::Transposed,
        Kind::Linear,
    ];

    /// The equal parts within which kernels are compared, of a layer with so many groups: those of depthwise layers are all
    /// compared, for in a group of its own no kernel would have a partner, and who asks for depthwise layers wants them
    /// compared.
    pub fn groups_compared(self, groups: usize) -> usize {
        match self {
            Kind::Depthwise => 1,
            _ => groups,
        }
    }

    /// The kinds that are merged unless others are asked for.
    pub const DEFAULT: [Kind; 2] = [Kind::Conv, Kind::Pointwise];

    /// The name used on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Conv => "conv",
            Kind::Pointwise => "pointwise",
            Kind::Depthwise => "depthwise",
            Kind::Transposed => "transposed",
            Kind::Linear => "linear",
        }
    }
}

/// A name that is no kind's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is no kind of layer; the kinds are {kinds}", kinds = Kind::ALL.map(Kind::name).join(", "))]
pub struct UnknownKind(pub String);

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Kind::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse::<Kind>().unwrap(), kind);
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }

    #[test]
    fn an_unknown_kind_lists_the_known() {
        let message = "convolution".parse::<Kind>().unwrap_err().to_string();
        assert!(
            message.contains("`convolution`")
                && message.contains("conv, pointwise, depthwise, transposed, linear"),
            "{message}"
        );
    }
}
