//! The depth order of the layers, from the first source that applies.

mod arrange;
mod copies;
mod flow;
mod items;
mod merge;
mod sketch;
pub(super) mod structure;

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
    /// Names and shapes.
    Structure,
    /// Names and shapes, but in some module only the natural order of the names was left; a warning says where.
    Natural,
}
