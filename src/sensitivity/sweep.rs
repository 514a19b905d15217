//! A sweep: the checkpoint, the base settings, how variants are scored, and the points.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::layers::Kind;
use crate::plan::{Fraction, Parameters, SourceId, Threshold};

use super::Point;

/// A sweep, resolved: nothing is left to decide but what its variants score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// Where the checkpoint is.
    pub checkpoint: PathBuf,
    /// Which it is.
    pub source: SourceId,
    /// SHA-256 of its whole content: of all its files, in their order.
    pub content_sha256: String,
    /// The base settings: what a point does not vary. Its seed is that of the first repetition.
    pub parameters: Parameters,
    /// Whether kernels that hold a NaN or an infinity are left as they are, instead of failing.
    pub allow_nonfinite: bool,
    /// The layers that can take part, in depth order: those the base settings select, and those they leave alone for their
    /// depth only.
    pub layers: Vec<SweptLayer>,
    /// How variants are scored; `None`: by measures of their weights.
    pub evaluator: Option<Evaluator>,
    /// The points to know, the baseline first.
    pub points: Vec<Point>,
}

/// A layer that can take part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweptLayer {
    /// Its weight's name.
    pub name: String,
    /// Its depth, from 1.
    pub depth: usize,
    /// What it is.
    pub kind: Kind,
    /// Groups of its convolution.
    pub groups: usize,
    /// Its kernels.
    pub kernels: usize,
    /// Its τ in the base settings.
    pub tau: Threshold,
    /// Its α in the base settings.
    pub alpha: Fraction,
    /// Its p in the base settings.
    pub prob: Fraction,
}

/// A program that scores a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluator {
    /// Its command line, with `{checkpoint}` in place of the variant's path.
    pub command: String,
    /// Which number of the JSON object that it prints; `None`: it prints a bare number.
    pub metric: Option<String>,
    /// Seconds after which it is stopped.
    pub seconds: u64,
}
