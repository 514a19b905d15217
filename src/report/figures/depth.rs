//! All layers over depth.

use plotters::element::{PathElement, Rectangle};
use plotters::series::LineSeries;
use plotters::style::{Color, RGBColor};

use crate::analysis::{Spectrum, Spread};
use crate::layers::Layer;
use crate::layers::Reason;

use super::axis::Axis;
use super::canvas::{Chart, TICK, drawn, line};
use super::chart::{Caption, ChartFigure, LegendKey, empty};
use super::colours::{ACCENT, APART, INK, MARK, SECOND, SOFT};
use super::font::Weight;
use super::text::{room, things};
use super::thresholds::{HEIGHT, WIDTH, dots, upright};
use super::{DepthPoint, Figure, FigureKind};

/// Pixels per layer, and the greatest width of all layers.
const EACH: f64 = 8.0;
const WIDEST: f64 = 1000.0;
/// Half of a box's width, as a share of its layer's and in pixels at most.
const BOX: f64 = 0.32;
const WIDEST_BOX: f64 = 14.0;
/// Up to this many layers have dots on their lines.
const DOTS: usize = 60;

/// The layers in the order in which they are drawn: those without depth last.
struct Row<'p, 'a> {
    layers: Vec<&'p DepthPoint<'a>>,
    width: f64,
}

impl<'p, 'a> Row<'p, 'a> {
    fn new(points: &'p [DepthPoint<'a>]) -> Self {
        let mut layers: Vec<&DepthPoint<'_>> = points.iter().collect();
        layers.sort_by_key(|point| point.facts.depth.is_none());
        Self {
            width: (layers.len() as f64 * EACH).clamp(WIDTH, WIDEST),
            layers,
        }
    }

    /// The axis of depths, with as many labels as fit.
    fn axis(&self, y: &Axis) -> Axis {
        let length = self.width - ChartFigure::left(y);
        let deepest = self
            .layers
            .iter()
            .filter_map(|point| point.facts.depth)
            .max();
        let widest = room(
            &deepest.unwrap_or(1).to_string(),
            Weight::Regular,
            TICK.size,
        );
        let least = (widest + TICK.size) * self.layers.len() as f64 / length;
        let step = [1, 2, 5, 10, 20, 50, 100, 200, 500]
            .into_iter()
            .find(|step| *step as f64 >= least)
            .unwrap_or(1000);
        let labels: Vec<String> = self
            .layers
            .iter()
            .map(|point| match point.facts.depth {
                Some(depth) if depth == 1 || depth % step == 0 => depth.to_string(),
                Some(_) => String::new(),
                None => "\u{2013}".to_owned(),
            })
            .collect();
        Axis::labelled(&labels, length, TICK.size, "depth")
    }

    /// The legend's entry for the end of the shallow layers.
    fn shallow_key(&self, skip_shallow: usize) -> Option<(LegendKey, String)> {
        let any = self.layers.iter().any(|point| is_shallow(point.facts));
        any.then(|| {
            let text = format!("end of the shallow layers left alone, L_s = {skip_shallow}");
            (LegendKey::Dashed(SOFT), text)
        })
    }

    fn notes(&self) -> Vec<String> {
        let without = self
            .layers
            .iter()
            .filter(|point| point.facts.depth.is_none());
        match without.count() {
            0 => Vec::new(),
            count => vec![format!(
                "{} without depth at the right (\u{2013}).",
                things(count as u64, "layer")
            )],
        }
    }

    /// Lines between shallow layers and the next ones of the same network.
    fn draw_cuts(&self, chart: &mut Chart<'_>) {
        for (place, two) in self.layers.windows(2).enumerate() {
            let [before, after] = [two[0].facts, two[1].facts];
            if is_shallow(before) && !is_shallow(after) && before.depth < after.depth {
                upright(chart, place as f64 + 0.5, SOFT, true);
            }
        }
    }
}

fn is_shallow(layer: &Layer) -> bool {
    layer.reason == Some(Reason::Shallow)
}

/// The kernels' greatest similarities over depth: median, quartiles and maximum of every layer.
pub(super) fn nearest_over_depth(layers: &[DepthPoint<'_>], skip_shallow: usize) -> Figure {
    let row = Row::new(layers);
    let spreads: Vec<Option<(Spread, bool)>> = row
        .layers
        .iter()
        .map(|point| {
            let spread = point.numbers.nearest_spread()?;
            Some((spread, is_shallow(point.facts)))
        })
        .collect();
    let known = || spreads.iter().flatten().map(|(spread, _)| spread);
    let least = known().map(|spread| spread.min).reduce(f64::min);
    let greatest = known().map(|spread| spread.max).reduce(f64::max);
    let y = Axis::similarities(least.zip(greatest), "similarity to the most similar kernel");
    let x = row.axis(&y);
    let mut legend = vec![
        (LegendKey::Line(INK, 2.0), "median".to_owned()),
        (LegendKey::Bar(ACCENT, 0.45), "quartiles".to_owned()),
        (LegendKey::Dot(ACCENT), "maximum".to_owned()),
        (LegendKey::Line(ACCENT, 1.0), "least to greatest".to_owned()),
    ];
    legend.extend(row.shallow_key(skip_shallow));
    let mut notes = row.notes();
    let missing = spreads.iter().filter(|spread| spread.is_none()).count();
    if missing > 0 && missing < spreads.len() {
        notes.push(format!(
            "{} with no two kernels to compare.",
            things(missing as u64, "layer")
        ));
    }
    let figure = ChartFigure {
        kind: FigureKind::NearestOverDepth,
        caption: Caption::new(
            row.width,
            "Redundancy over depth",
            &format!(
                "Each kernel\u{2019}s greatest similarity \u{b7} {}",
                things(layers.len() as u64, "layer")
            ),
            legend,
            &notes,
        ),
        x,
        y,
        height: HEIGHT,
        second: None,
        right: super::chart::PADDING,
    };
    let each = row.width / layers.len().max(1) as f64;
    figure.draw(|canvas, chart, place| {
        if known().next().is_none() {
            empty(canvas, place, "No layer has two kernels to compare.");
            return;
        }
        row.draw_cuts(chart);
        for (is_shallow, colours) in [(true, [APART, SOFT]), (false, [ACCENT, INK])] {
            let spreads = spreads.iter().enumerate().filter_map(|(place, spread)| {
                let (spread, shallow) = (*spread)?;
                (shallow == is_shallow).then_some((place as f64, spread))
            });
            draw_boxes(chart, &spreads.collect::<Vec<_>>(), each, colours);
        }
    })
}

/// Boxes of layers, each with its place, in a colour and with medians in another; `each` is the width of a layer in pixels.
fn draw_boxes(
    chart: &mut Chart<'_>,
    spreads: &[(f64, Spread)],
    each: f64,
    [colour, ink]: [RGBColor; 2],
) {
    let half = BOX.min(WIDEST_BOX / each);
    // One kind of shape after the other: those of one pen are one path.
    let placed = || spreads.iter().copied();
    let upright =
        |x: f64, from: f64, to: f64| PathElement::new(vec![(x, from), (x, to)], line(colour, 1.0));
    drawn(chart.draw_series(
        placed().flat_map(|(x, s)| [upright(x, s.min, s.q1), upright(x, s.q3, s.max)]),
    ));
    drawn(chart.draw_series(placed().map(|(x, s)| {
        let corners = [(x - half, s.q1), (x + half, s.q3)];
        Rectangle::new(corners, colour.mix(0.45).filled())
    })));
    drawn(chart.draw_series(placed().map(|(x, s)| {
        let ends = vec![(x - half, s.median), (x + half, s.median)];
        PathElement::new(ends, line(ink, 2.0))
    })));
    let radius = (each * 0.3).min(3.0);
    dots(chart, placed().map(|(x, s)| (x, s.max)), radius, colour);
}

/// The greatest rank that a layer's kernels can have: of kernels of d numbers, as many as there are kernels, and no more
/// than d in each group.
fn greatest_rank(layer: &Layer) -> f64 {
    let numbers: f64 = layer.shape.iter().map(|&extent| extent as f64).product();
    let kernels = layer.kernels as f64;
    kernels.min(layer.groups_compared() as f64 * numbers / kernels)
}

/// The ranks as shares of the greatest that each layer can have, over depth; `None` where no layer has a spectrum.
pub(super) fn ranks_over_depth(layers: &[DepthPoint<'_>], skip_shallow: usize) -> Option<Figure> {
    let row = Row::new(layers);
    let spectrum = |point: &&DepthPoint<'_>| point.numbers.spectrum.clone();
    let spectra: Vec<Option<Spectrum>> = row.layers.iter().map(spectrum).collect();
    if spectra.iter().all(Option::is_none) {
        return None;
    }
    type Rank = fn(&Spectrum) -> f64;
    let ranks: [(&str, RGBColor, Rank); 3] = [
        ("effective rank", ACCENT, |s| s.effective_rank),
        ("participation ratio", SECOND, |s| s.participation_ratio),
        ("stable rank", MARK, |s| s.stable_rank),
    ];
    let y = Axis::percent(100.0, "share of the greatest possible rank");
    let x = row.axis(&y);
    let mut legend: Vec<(LegendKey, String)> = ranks
        .iter()
        .map(|(name, colour, _)| (LegendKey::Line(*colour, 2.0), (*name).to_owned()))
        .collect();
    legend.extend(row.shallow_key(skip_shallow));
    let mut notes = row.notes();
    let missing = spectra.iter().filter(|spectrum| spectrum.is_none()).count();
    if missing > 0 {
        notes.push(format!(
            "{} without spectrum.",
            things(missing as u64, "layer")
        ));
    }
    let figure = ChartFigure {
        kind: FigureKind::RanksOverDepth,
        caption: Caption::new(
            row.width,
            "Ranks over depth",
            &format!(
                "Of n kernels of d numbers, the greatest possible rank is min(n, d) \u{b7} {}",
                things(layers.len() as u64, "layer")
            ),
            legend,
            &notes,
        ),
        x,
        y,
        height: HEIGHT,
        second: None,
        right: super::chart::PADDING,
    };
    Some(figure.draw(|_, chart, _| {
        row.draw_cuts(chart);
        for (_, colour, rank) in ranks {
            let points: Vec<Option<(f64, f64)>> = (0..spectra.len())
                .map(|place| {
                    let rank = rank(spectra[place].as_ref()?);
                    let share = rank / greatest_rank(row.layers[place].facts);
                    Some((place as f64, (100.0 * share).min(100.0)))
                })
                .collect();
            for run in points.split(Option::is_none) {
                let run = run.iter().flatten().copied();
                drawn(chart.draw_series(LineSeries::new(run, line(colour, 2.0))));
            }
            let points: Vec<_> = points.into_iter().flatten().collect();
            if points.len() <= DOTS {
                dots(chart, points, 2.8, colour);
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Kind;

    #[test]
    fn no_rank_is_greater_than_kernels_and_numbers_allow() {
        let greatest = |kind, groups, shape: &[usize]| {
            greatest_rank(&Layer {
                groups,
                ..Layer::sample("w", kind, shape)
            })
        };
        assert_eq!(greatest(Kind::Conv, 1, &[64, 2, 3, 3]), 18.0);
        assert_eq!(greatest(Kind::Conv, 1, &[8, 2, 3, 3]), 8.0);
        // In each of four groups 16 kernels of 9 numbers.
        assert_eq!(greatest(Kind::Conv, 4, &[64, 1, 3, 3]), 36.0);
        // All of a depthwise layer's kernels are compared.
        assert_eq!(greatest(Kind::Depthwise, 64, &[64, 1, 3, 3]), 9.0);
    }
}
