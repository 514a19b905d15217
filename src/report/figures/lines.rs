//! Lines and dots in a chart.

use plotters::element::Circle;
use plotters::series::LineSeries;
use plotters::style::{Color, RGBColor};

use super::canvas::{Canvas, Chart, drawn, line};
use super::sheet::UNITS;

/// Pixels of a dash and of the gap after it.
pub(super) const DASH: [f64; 2] = [4.0, 3.0];
/// The same of a dotted line.
pub(super) const DOT: [f64; 2] = [1.5, 2.5];

/// A dashed line through points of a chart.
pub(super) fn dashed_line(
    canvas: &Canvas,
    chart: &mut Chart<'_>,
    points: impl IntoIterator<Item = (f64, f64)>,
    colour: RGBColor,
) {
    patterned_line(canvas, chart, points, colour, DASH);
}

/// A line of dashes and gaps of so many pixels through points of a chart.
pub(super) fn patterned_line(
    canvas: &Canvas,
    chart: &mut Chart<'_>,
    points: impl IntoIterator<Item = (f64, f64)>,
    colour: RGBColor,
    pattern: [f64; 2],
) {
    canvas.with_dashes(pattern, || {
        drawn(chart.draw_series(LineSeries::new(points, line(colour, 1.5))));
    });
}

/// A line from the bottom of a chart to its top.
pub(super) fn upright(
    canvas: &Canvas,
    chart: &mut Chart<'_>,
    x: f64,
    colour: RGBColor,
    dashed: bool,
) {
    let y = chart.y_range();
    let ends = [(x, y.start), (x, y.end)];
    if dashed {
        dashed_line(canvas, chart, ends, colour);
    } else {
        drawn(chart.draw_series(LineSeries::new(ends, line(colour, 1.5))));
    }
}

/// Points of a chart as dots of a radius in pixels.
pub(super) fn dots(
    chart: &mut Chart<'_>,
    points: impl IntoIterator<Item = (f64, f64)>,
    radius: f64,
    colour: RGBColor,
) {
    let radius = (radius * UNITS) as i32;
    let circles = points
        .into_iter()
        .map(|point| Circle::new(point, radius, colour.filled()));
    drawn(chart.draw_series(circles));
}
