//! What came of a point.

use serde::{Deserialize, Serialize};

use super::Point;

/// A point that was made and scored, or that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinishedPoint {
    /// The point.
    pub point: Point,
    /// What was merged for it.
    pub merging: MergedAtPoint,
    /// What its variant came to.
    pub outcome: PointOutcome,
    /// Seconds it took.
    pub seconds: f64,
}

impl FinishedPoint {
    /// Whether it has no value.
    pub fn has_failed(&self) -> bool {
        matches!(self.outcome, PointOutcome::Failed { .. })
    }
}

/// What was merged for a point.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MergedAtPoint {
    /// Layers that took part.
    pub layers: usize,
    pub kernels: usize,
    /// How many of these merged.
    pub merged: usize,
    /// ‖ΔW‖ / ‖W‖ over all layers of the sweep whose numbers are finite, those that did not take part included.
    pub relative_change: f64,
}

impl MergedAtPoint {
    /// The share of kernels that merged, of those in the layers that took part; 0 of none.
    pub fn share(&self) -> f64 {
        self.merged as f64 / self.kernels.max(1) as f64
    }
}

/// What a variant came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case", deny_unknown_fields)]
pub enum PointOutcome {
    /// The evaluator gave it a number.
    Scored { score: f64 },
    /// Its weights were measured, as there is no evaluator.
    Measured {
        /// Sum of the layers' effective ranks by the sum of their kernels.
        effective_rank: f64,
        /// Mean over all kernels of the similarity to the nearest other; `None` where there is no pair.
        mean_nearest: Option<f64>,
    },
    Failed {
        /// How, in a sentence.
        why: String,
        /// The end of what it printed.
        output: String,
    },
}
