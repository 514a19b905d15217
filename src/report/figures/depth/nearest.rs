//! The kernels' greatest similarities over depth.

use plotters::element::{PathElement, Rectangle};
use plotters::style::{Color, RGBColor};

use crate::analysis::Spread;
use crate::report::figures::axis::Axis;
use crate::report::figures::canvas::{Chart, drawn, line};
use crate::report::figures::chart::{
    BAR_SIDES, Caption, ChartFigure, HEIGHT, LegendKey, PADDING, empty,
};
use crate::report::figures::colours::{APART, INK, SOFT};
use crate::report::figures::lines::dots;
use crate::report::figures::text::things;
use crate::report::figures::{DepthPoint, Figure, FigureKind};

use super::kinds::{Look, looks};
use super::{Row, is_shallow};

/// Half of a box's width, as a share of its layer's and in pixels at most.
const BOX: f64 = 0.32;
const WIDEST_BOX: f64 = 14.0;
/// How strongly a box is filled.
const BOX_OPACITY: f64 = 0.45;

/// The kernels' greatest similarities over depth: median, quartiles and maximum of every layer.
pub fn nearest_over_depth(layers: &[DepthPoint<'_>], skip_shallow: usize) -> Figure {
    let row = Row::new(layers);
    let spreads: Vec<Option<Spread>> = row
        .layers
        .iter()
        .map(|point| point.numbers.nearest_spread())
        .collect();
    let known = || spreads.iter().flatten();
    let least = known().map(|spread| spread.min).reduce(f64::min);
    let greatest = known().map(|spread| spread.max).reduce(f64::max);
    let y = Axis::similarities(least.zip(greatest), "similarity to the most similar kernel");
    let x = row.axis(&y);
    let mut legend = legend(&row);
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
        right: PADDING,
    };
    let each = row.width / layers.len().max(1) as f64;
    figure.draw(|canvas, chart, place| {
        if known().next().is_none() {
            empty(canvas, place, "No layer has two kernels to compare.");
            return;
        }
        row.draw_cuts(canvas, chart);
        let tints = row.layers.iter().map(|layer| tint(layer));
        let placed: Vec<(f64, Spread, RGBColor)> = (0..)
            .zip(&spreads)
            .zip(tints)
            .filter_map(|((place, spread), tint)| Some((f64::from(place), (*spread)?, tint)))
            .collect();
        // One tint after the other, so that each is one path.
        let tints = Look::ALL.map(Look::tint);
        for tint in [APART].into_iter().chain(tints) {
            let of_tint = placed.iter().filter(|(.., other)| *other == tint);
            let spreads: Vec<(f64, Spread)> = of_tint.map(|&(x, spread, _)| (x, spread)).collect();
            let ink = if tint == APART { SOFT } else { INK };
            draw_boxes(chart, &spreads, each, [tint, ink]);
        }
    })
}

/// The colour of a layer's box.
fn tint(layer: &DepthPoint<'_>) -> RGBColor {
    if is_shallow(layer.facts) {
        APART
    } else {
        Look::of(layer.facts.kind).tint()
    }
}

/// What the parts of a box are and, where there are several, what their tints stand for.
fn legend(row: &Row<'_, '_>) -> Vec<(LegendKey, String)> {
    let taking_part = row.layers.iter().filter(|layer| !is_shallow(layer.facts));
    let taking_part: Vec<_> = taking_part.copied().collect();
    let looks = looks(&taking_part);
    let any_apart = taking_part.len() < row.layers.len();
    // Where boxes differ, their parts are explained in none of their colours.
    let parts = match &looks[..] {
        [(look, _)] => look.tint(),
        _ => SOFT,
    };
    let mut legend = vec![
        (LegendKey::Line(INK, 2.0), "median".to_owned()),
        (LegendKey::Bar(parts, BOX_OPACITY), "quartiles".to_owned()),
        (LegendKey::Dot(parts), "maximum".to_owned()),
        (LegendKey::Line(parts, 1.0), "least to greatest".to_owned()),
    ];
    if looks.len() > 1 {
        let keys = looks.into_iter();
        legend.extend(keys.map(|(look, names)| (LegendKey::Bar(look.tint(), BOX_OPACITY), names)));
    }
    if any_apart {
        legend.push((LegendKey::Bar(APART, BOX_OPACITY), "left alone".to_owned()));
    }
    legend
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
    for style in [colour.mix(BOX_OPACITY).filled(), line(colour, BAR_SIDES)] {
        drawn(chart.draw_series(placed().map(|(x, s)| {
            let corners = [(x - half, s.q1), (x + half, s.q3)];
            Rectangle::new(corners, style)
        })));
    }
    drawn(chart.draw_series(placed().map(|(x, s)| {
        let ends = vec![(x - half, s.median), (x + half, s.median)];
        PathElement::new(ends, line(ink, 2.0))
    })));
    let radius = (each * 0.3).min(3.0);
    dots(chart, placed().map(|(x, s)| (x, s.max)), radius, colour);
}
