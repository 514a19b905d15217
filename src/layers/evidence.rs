//! Where what the layer model says comes from, and so how sure it is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a layer's place in the depth order, or its kind and groups, come from; the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// The user, or the training script by the file's metadata.
    Declared,
    /// A network known from its library.
    Known,
    /// The order in which the modules were defined, which is mostly that in which they run.
    Definition,
    /// Names and shapes, which leave no doubt.
    Shapes,
    /// Names and shapes that contradict each other or leave a choice; a warning names the layer.
    Guessed,
}

/// Where the depth order came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum OrderSource {
    /// The file's own metadata, key `inmerge.layers`.
    Metadata,
    /// `--order FILE`.
    File,
    /// `--layers FILE`.
    Declared,
    /// The networks are known from their libraries.
    Known,
    /// The order in which the modules were defined, which a state dict keeps.
    Definition,
    /// Names and shapes.
    Structure,
    /// Names and shapes, which leave the order open where the cut falls; a warning says where.
    Natural,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Evidence::Declared => "declared",
            Evidence::Known => "known",
            Evidence::Definition => "definition",
            Evidence::Shapes => "shapes",
            Evidence::Guessed => "guessed",
        })
    }
}
