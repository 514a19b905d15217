//! What merging does to a score, or to the weights, over what a sweep varies (the paper's Figures 2 and 3).

mod curve;
mod map;
mod notes;

use crate::plan::Threshold;
use crate::sensitivity::{Results, Series, Setting};

use super::Figure;
use super::canvas::TICK;
use super::text::shortened;

/// A figure for each thing that varies and each of the measures that are drawn, as `(stem, figure)`: which layers merge
/// (Figure 3a), τ (3b), α and p (2), L_s, and a map for each two that were crossed (2). Thresholds that are similarities and
/// those that are shares have figures of their own.
pub fn sensitivity(results: &Results) -> Vec<(String, Figure)> {
    let mut figures = Vec::new();
    for series in Series::ALL {
        let drawn = match series {
            Series::Baseline => Vec::new(),
            Series::Grid => map::figures(results),
            _ => curve::figures(results, series),
        };
        figures.extend(drawn);
    }
    figures
}

/// Whether a setting's τ is a share.
fn is_tau_share(setting: &Setting<'_>) -> bool {
    matches!(setting.variation.tau, Some(Threshold::Share(_)))
}

/// What an evaluator calls its number, as far as it fits beside another title.
fn axis_title(measured: &str) -> String {
    shortened(measured, TICK.weight, TICK.size, 200.0)
}

/// A mean or spread as it can be drawn: there is nothing to see beyond the greatest, and no number may be none.
fn drawable(number: f64) -> Option<f64> {
    const GREATEST: f64 = 1e300;
    (!number.is_nan()).then(|| number.clamp(-GREATEST, GREATEST))
}
