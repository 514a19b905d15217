//! What merging does to a score, or to the weights, over what a sweep varies (the paper's Figures 2 and 3).

mod curve;
mod map;
mod marks;
mod notes;

#[cfg(test)]
pub(super) use marks::FAINT;

use crate::plan::{Threshold, ThresholdScale};
use crate::report::sensitivity::labels::{self, NumberFormat};
use crate::sensitivity::{Measure, Results, Series, Setting};

use super::Figure;
use super::axis::Axis;
use super::canvas::TICK;
use super::text;

/// A figure for each thing that varies and each of the measures that are drawn: which layers merge
/// (Figure 3a), τ (3b), α and p (2), L_s, and a map for each two that were crossed (2). Thresholds that are similarities and
/// those that are shares have figures of their own.
pub fn sensitivity(results: &Results) -> Vec<Figure> {
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

/// The scale of a setting's τ.
fn tau_scale(setting: &Setting<'_>) -> ThresholdScale {
    let tau = setting.variation.tau;
    tau.map_or(ThresholdScale::Similarity, Threshold::scale)
}

/// A measure as a figure shows it.
struct DrawnMeasure {
    measure: Measure,
    /// What it is called.
    name: String,
    /// Of the checkpoint as it is, where that is known.
    baseline: Option<f64>,
    written: NumberFormat,
}

impl DrawnMeasure {
    fn of(results: &Results, settings: &[Setting<'_>], measure: Measure) -> Self {
        let baseline = results.baseline(measure);
        let means = settings
            .iter()
            .filter_map(|setting| Some(setting.average(measure)?.mean));
        Self {
            measure,
            name: text::name(&labels::measure(results, measure)),
            baseline,
            written: NumberFormat::of(measure, means.chain(baseline)),
        }
    }

    /// A mean or spread in the unit of the axis: shares in percent, clamped; `None` for NaN.
    fn drawable(&self, number: f64) -> Option<f64> {
        let scale = if labels::is_share(self.measure) {
            100.0
        } else {
            1.0
        };
        drawable(scale * number)
    }

    /// The mean of a setting, to be drawn.
    fn mean(&self, setting: &Setting<'_>) -> Option<f64> {
        self.drawable(setting.average(self.measure)?.mean)
    }

    /// A number in words.
    fn write(&self, number: f64) -> String {
        text::minus(&self.written.write(number))
    }

    /// An axis around what is drawn; from 0 to 1 if that is nothing.
    fn axis(&self, drawn: impl IntoIterator<Item = f64>) -> Axis {
        let ends = drawn.into_iter().fold(None, |ends, number: f64| {
            let (least, greatest) = ends.unwrap_or((number, number));
            Some((number.min(least), number.max(greatest)))
        });
        let (least, greatest) = ends.unwrap_or((0.0, 1.0));
        // Narrow enough to fit beside another title.
        let title = text::shortened(&self.name, TICK.weight, TICK.size, 200.0);
        let axis = Axis::measured(least, greatest, 5, &title);
        if labels::is_share(self.measure) {
            axis.in_percent()
        } else {
            axis
        }
    }
}

/// Clamps a number to what an axis can hold; `None` for NaN.
fn drawable(number: f64) -> Option<f64> {
    const GREATEST: f64 = 1e300;
    (!number.is_nan()).then(|| number.clamp(-GREATEST, GREATEST))
}
