//! The depth order of the layers, from the first source that applies.

mod arrange;
mod direction;
mod flow;
mod items;
mod lists;
mod merge;
pub(super) mod networks;
mod sketch;
pub(super) mod structure;
mod turn;

use serde::{Deserialize, Serialize};

/// Where the depth order came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// Names and shapes.
    Structure,
    /// Names and shapes, which leave the order open where the cut falls; a warning says where.
    Natural,
}
