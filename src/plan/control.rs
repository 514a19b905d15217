//! What is done in the place of merges, to see what similarity has to do with their effect.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::InvalidParameter;

/// A change of the same kernels that a merge would change, by something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Control {
    /// Each is blended with a partner drawn uniformly among all others of its group, however similar.
    Random,
    /// Each keeps its direction, and is scaled to the norm that the blend would have given it.
    Shrink,
}

impl Control {
    /// Every control.
    pub const ALL: [Self; 2] = [Self::Random, Self::Shrink];

    /// The name used on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Shrink => "shrink",
        }
    }

    /// What it does, in a few words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Random => "random partners",
            Self::Shrink => "norms only",
        }
    }
}

impl FromStr for Control {
    type Err = InvalidParameter;

    fn from_str(text: &str) -> Result<Self, InvalidParameter> {
        let control = Self::ALL.into_iter().find(|control| control.name() == text);
        control.ok_or_else(|| InvalidParameter::UnknownControl(text.to_owned()))
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
