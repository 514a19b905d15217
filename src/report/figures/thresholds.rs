//! How many merge at which threshold.

use plotters::series::LineSeries;
use plotters::style::RGBColor;

use crate::analysis::{Curve, Expected, LayerNumbers, NetNumbers, ThresholdHint, threshold};
use crate::layers::Layer;
use crate::report::redundancy::LayerMerges;

use super::axis::Axis;
use super::canvas::{drawn, line};
use super::chart::{Caption, ChartFigure, HEIGHT, LegendKey, WIDTH, empty};
use super::colours::{ACCENT, MARK, SECOND};
use super::heading;
use super::lines::{dashed_line, dots, upright};
use super::shown::Shown;
use super::text::{self, count, things};
use super::{Figure, FigureKind};

/// The share, in percent, whose threshold is drawn as a line.
const SUGGESTED: f64 = 5.0;

/// Counts over thresholds, of a layer or of all.
struct Counts<'a> {
    kind: FigureKind,
    kernels: usize,
    pairs: u64,
    kernels_above: &'a Curve,
    pairs_above: &'a Curve,
    by_chance: &'a Expected,
    hints: &'a [ThresholdHint],
}

/// The shares of a layer's pairs and kernels above τ, over τ.
pub(super) fn layer_thresholds(
    layer: &Layer,
    numbers: &LayerNumbers,
    merges: Option<&LayerMerges>,
) -> Figure {
    let counts = Counts {
        kind: FigureKind::Thresholds,
        kernels: layer.kernels,
        pairs: numbers.pairs,
        kernels_above: &numbers.kernels_above,
        pairs_above: &numbers.pairs_above,
        by_chance: &numbers.by_chance.expected,
        hints: &numbers.hints,
    };
    let title = heading::title(layer);
    let subtitle = heading::subtitle("Choosing \u{3c4}", layer);
    counts.draw(&title, &subtitle, merges, numbers.nearest.greatest())
}

/// The same for all layers that take part.
pub(super) fn net_thresholds(net: &NetNumbers) -> Figure {
    let counts = Counts {
        kind: FigureKind::NetThresholds,
        kernels: net.kernels,
        pairs: net.pairs,
        kernels_above: &net.kernels_above,
        pairs_above: &net.pairs_above,
        by_chance: &net.by_chance,
        hints: &net.hints,
    };
    let subtitle = format!(
        "All layers that take part \u{b7} {}",
        things(net.kernels as u64, "kernel")
    );
    counts.draw("Choosing \u{3c4}", &subtitle, None, net.greatest)
}

fn percent(part: f64, whole: f64) -> f64 {
    100.0 * part / whole
}

/// Counts at the thresholds in percent of the whole, to a tenth.
fn shares(above: impl IntoIterator<Item = f64>, whole: f64) -> Vec<f64> {
    let tenths = above.into_iter().map(|above| 10.0 * percent(above, whole));
    tenths.map(|tenths| tenths.round() / 10.0).collect()
}

/// The last threshold at which as much is above as above the first, and the first at which nothing is. All need not be
/// above the first: kernels of zeros have no partner at any.
fn falling(shares: &[f64]) -> [f64; 2] {
    let below = shares.iter().position(|&share| share < shares[0]);
    let none = shares.iter().position(|&share| share == 0.0);
    let last = shares.len() - 1;
    [
        threshold(below.unwrap_or(last).saturating_sub(1)),
        threshold(none.unwrap_or(last)),
    ]
}

impl Counts<'_> {
    /// The curves, each with its whole and colour: what is there, and what chance gives.
    fn measured(&self) -> [(&Curve, f64, RGBColor); 2] {
        [
            (self.pairs_above, self.pairs as f64, SECOND),
            (self.kernels_above, self.kernels as f64, ACCENT),
        ]
    }

    fn chance(&self) -> [(Vec<f64>, RGBColor); 2] {
        let Expected {
            pairs_above,
            kernels_above,
            ..
        } = self.by_chance;
        [
            (
                shares(pairs_above.iter().copied(), self.pairs as f64),
                SECOND,
            ),
            (
                shares(kernels_above.iter().copied(), self.kernels as f64),
                ACCENT,
            ),
        ]
    }

    /// The thresholds between which the curves are seen to fall, and all that are marked.
    fn shown(&self, used: Option<f64>) -> Shown {
        let measured = self.measured().map(|(curve, whole, _)| {
            let above = curve.above().iter().map(|&above| above as f64);
            shares(above, whole)
        });
        let chance = self.chance().map(|(shares, _)| shares);
        let falls = measured
            .iter()
            .chain(&chance)
            .flat_map(|shares| falling(shares));
        let marked = self.hints.iter().map(|hint| hint.tau);
        Shown::around(falls.chain(marked).chain(used))
    }

    fn suggested(&self) -> Option<&ThresholdHint> {
        self.hints.iter().find(|hint| hint.percent == SUGGESTED)
    }

    fn legend(&self, merges: Option<&LayerMerges>) -> Vec<(LegendKey, String)> {
        let mut legend = vec![
            (
                LegendKey::Line(ACCENT, 2.0),
                format!(
                    "kernels with a partner above \u{3c4} (of {})",
                    count(self.kernels as u64)
                ),
            ),
            (
                LegendKey::Line(SECOND, 2.0),
                format!("pairs above \u{3c4} (of {})", count(self.pairs)),
            ),
        ];
        for (colour, what) in [(ACCENT, "kernels"), (SECOND, "pairs")] {
            legend.push((LegendKey::Dashed(colour), format!("{what}, by chance")));
        }
        if let Some(merges) = merges {
            legend.push((
                LegendKey::Line(MARK, 1.5),
                format!(
                    "\u{3c4} used: {}; {} merged",
                    text::threshold(merges.tau),
                    things(merges.kernels.len() as u64, "kernel")
                ),
            ));
        }
        if let Some(hint) = self.suggested() {
            legend.push((
                LegendKey::Dashed(MARK),
                format!(
                    "\u{3c4} {} for 5\u{a0}%: {}",
                    text::equal_to(hint.tau),
                    things(hint.kernels as u64, "kernel")
                ),
            ));
        }
        if !self.hints.is_empty() {
            let shares: Vec<String> = self
                .hints
                .iter()
                .map(|hint| hint.percent.to_string())
                .collect();
            legend.push((
                LegendKey::Dot(ACCENT),
                format!("{}\u{a0}% of the kernels", shares.join(", ")),
            ));
        }
        legend
    }

    fn draw(
        &self,
        title: &str,
        subtitle: &str,
        merges: Option<&LayerMerges>,
        greatest: Option<f64>,
    ) -> Figure {
        let suggested = self.suggested();
        let legend = self.legend(merges);
        let notes: Vec<String> = greatest
            .map(|greatest| format!("Greatest similarity: {}.", text::threshold(greatest)))
            .into_iter()
            .collect();
        let shown = match self.pairs {
            0 => Shown::ALL,
            _ => self.shown(merges.map(|merges| merges.tau)),
        };
        let x = Axis::linear(shown.range(), 8, "threshold \u{3c4}");
        let figure = ChartFigure {
            kind: self.kind,
            caption: Caption::new(WIDTH, title, subtitle, legend, &notes),
            y: Axis::percent(100.0, "share above \u{3c4}"),
            height: HEIGHT,
            second: None,
            right: ChartFigure::least_right(&x),
            x,
        };
        figure.draw(|canvas, chart, place| {
            if self.pairs == 0 {
                empty(canvas, place, "No two kernels can be compared.");
                return;
            }
            for (above, whole, colour) in self.measured() {
                let counts = above.above();
                let points = shown
                    .places()
                    .map(|place| (threshold(place), percent(counts[place] as f64, whole)));
                drawn(chart.draw_series(LineSeries::new(points, line(colour, 2.0))));
            }
            for (shares, colour) in self.chance() {
                let points = shown
                    .places()
                    .map(|place| (threshold(place), shares[place]));
                dashed_line(canvas, chart, points, colour);
            }
            if let Some(hint) = suggested {
                upright(canvas, chart, hint.tau, MARK, true);
            }
            if let Some(merges) = merges {
                upright(canvas, chart, merges.tau, MARK, false);
            }
            let points = self.hints.iter().map(|hint| {
                let share = percent(hint.kernels as f64, self.kernels as f64);
                (hint.tau, share)
            });
            dots(chart, points, 3.0, ACCENT);
        })
    }
}
