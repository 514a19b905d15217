//! What the colours of a figure stand for.

use plotters::style::RGBColor;
use plotters::style::text_anchor::HPos;

use super::axis::Axis;
use super::canvas::{Canvas, Rect, TICK, TICK_LENGTH};
use super::chart::{frame, right_ticks};
use super::text::room;
use crate::report::picture::Picture;

/// Width of the bar of a map.
pub(super) const WIDTH: f64 = 14.0;

/// Width of the bar of a map with its ticks, their labels and its title.
pub(super) fn width_with(axis: &Axis) -> f64 {
    let labels = WIDTH + 2.0 * TICK_LENGTH + axis.widest_label(TICK.size);
    labels.max(room(&axis.title, TICK.weight, TICK.size))
}

/// Draws colours from the top of a bar to its bottom, with the ticks of an axis on the right and its title, where it has one,
/// so far above.
pub(super) fn colour_bar(
    canvas: &Canvas,
    bar: Rect,
    falling: impl IntoIterator<Item = RGBColor>,
    axis: &Axis,
    title_above: f64,
) {
    let pixels: Vec<u8> = falling
        .into_iter()
        .flat_map(|RGBColor(red, green, blue)| [red, green, blue])
        .collect();
    canvas.image(bar, &Picture::rgb([1, pixels.len() / 3], &pixels));
    frame(canvas, bar);
    if !axis.title.is_empty() {
        let title = (bar.left, bar.top - title_above);
        canvas.text(title, HPos::Left, &axis.title, TICK);
    }
    right_ticks(canvas, bar, axis);
}
