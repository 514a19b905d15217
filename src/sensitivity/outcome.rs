//! The outcome of a point.

use serde::{Deserialize, Serialize};

use super::{Point, Series};

/// A point that was made and scored, or that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FinishedPoint {
    /// The point, as the sweep lists it.
    pub point: Point,
    /// How many kernels merged, and how much the weights changed.
    pub merging: MergedAtPoint,
    /// The score or the measures of its variant.
    pub outcome: PointOutcome,
    /// Seconds to make and score it.
    #[cfg_attr(test, schemars(range(min = 0)))]
    pub seconds: f64,
}

impl FinishedPoint {
    /// Whether it is the unmerged checkpoint.
    pub fn is_baseline(&self) -> bool {
        self.point.series == Series::Baseline
    }

    /// Whether the evaluator failed, so that there is no value.
    pub fn has_failed(&self) -> bool {
        matches!(self.outcome, PointOutcome::Failed { .. })
    }
}

/// How many kernels merged at a point, and how much the weights changed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MergedAtPoint {
    /// Layers that took part.
    pub layers: usize,
    /// Their kernels.
    pub kernels: usize,
    /// How many of these merged.
    pub merged: usize,
    /// ‖ΔW‖ / ‖W‖ over all layers of the sweep whose numbers are finite, including those that did not take part.
    pub relative_change: f64,
}

impl MergedAtPoint {
    /// The share of the kernels in layers that took part that merged; 0 if there are none.
    pub fn share(&self) -> f64 {
        self.merged as f64 / self.kernels.max(1) as f64
    }
}

/// The score or the measures of a variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "status", rename_all = "kebab-case", deny_unknown_fields)]
pub enum PointOutcome {
    /// The evaluator scored it.
    Scored {
        /// The number that it printed.
        score: f64,
        /// Its standard error, where the evaluator printed that beside it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, schemars(range(min = 0)))]
        stderr: Option<f64>,
    },
    /// Its weights were measured, as there is no evaluator.
    Measured {
        /// Sum of the layers' effective ranks, divided by the number of their kernels.
        effective_rank: f64,
        /// Mean over all kernels of the similarity to the nearest other; none if there is no pair.
        mean_nearest: Option<f64>,
    },
    /// The evaluator failed, so that there is no score.
    Failed {
        /// The cause of the failure, in a sentence.
        why: String,
        /// The end of the evaluator's output.
        output: String,
    },
}
