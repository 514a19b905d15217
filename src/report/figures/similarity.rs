//! Similarity matrices.

use plotters::style::Color;
use plotters::style::text_anchor::HPos;

use crate::analysis::{LayerDrawings, SimilarityMap};
use crate::layers::Layer;
use crate::report::picture::Picture;
use crate::report::redundancy::LayerMerges;

use super::axis::Axis;
use super::canvas::{Canvas, LABEL, Lines, Rect, TICK, TICK_LENGTH, Type};
use super::chart::{Caption, LEADING, LegendKey, PADDING, frame};
use super::colour_bar::{self, colour_bar};
use super::colours::{MARK, NOT_COMPARED, bytes, diverging, palette};
use super::heading;
use super::text::{count, room, things};
use super::{Figure, FigureKind};

/// Side in pixels that a map comes close to with cells of whole pixels.
const SIDE: f64 = 512.0;
/// Pixels along a cell's side at most: a map of a few kernels need not be large.
const LARGEST_CELL: f64 = 48.0;
/// Width of the margin in which merged kernels are marked, and from there to the map.
const MARGIN: f64 = 5.0;
const MARGIN_GAP: f64 = 3.0;
/// Between the two maps, and before the colour bar.
const BETWEEN: f64 = 30.0;
/// From the baseline of a title to what it is of.
const TITLE_ABOVE: f64 = MARGIN + MARGIN_GAP + 7.0;
/// Least height of the colour bar.
const BAR_HEIGHT: f64 = 110.0;
/// Least width, for the words.
const LEAST: f64 = 520.0;

/// One of the maps, with what is written around it.
struct Panel<'a> {
    map: &'a SimilarityMap,
    title: &'static str,
    x: Axis,
    y: Axis,
    /// Pixels along a side of the map.
    side: f64,
}

impl<'a> Panel<'a> {
    fn new(map: &'a SimilarityMap, title: &'static str, axis: &str) -> Self {
        let side = map.cells as f64 * cell(map.cells);
        let kernels = map.order.len();
        let x = Axis::whole(0, kernels, ticks(side), axis);
        let mut y = x.clone();
        y.range = y.range.end..y.range.start;
        Self {
            map,
            title,
            x,
            y,
            side,
        }
    }

    /// From the panel's left to the map.
    fn left(&self) -> f64 {
        self.y.widest_label(TICK.size) + 2.0 * TICK_LENGTH
    }

    fn width(&self) -> f64 {
        let titled = |text: &str, look: Type| room(text, look.weight, look.size);
        let below = titled(&self.x.title, TICK);
        // The axis' title has its middle below the map's, if there is room for that.
        let right = self.side.max(titled(self.title, LABEL)).max(below);
        self.left() + right
    }

    fn draw(&self, canvas: &Canvas, left: f64, top: f64, merges: Option<&LayerMerges>) {
        let place = Rect {
            left: left + self.left(),
            top,
            width: self.side,
            height: self.side,
        };
        let picture = Picture::square(self.map.cells, &bytes(&palette()), &self.cells());
        canvas.image(place, &picture);
        canvas.chart(place, &self.x, &self.y, Lines::Ticks);
        frame(canvas, place);
        let title = (place.left, top - TITLE_ABOVE);
        canvas.text(title, HPos::Left, self.title, LABEL);
        let below = place.bottom() + 2.0 * TICK_LENGTH + 2.0 * LEADING - 9.0;
        let half = room(&self.x.title, TICK.weight, TICK.size) / 2.0;
        let middle = place.left + (self.side / 2.0).max(half);
        canvas.text((middle, below), HPos::Center, &self.x.title, TICK);
        if let Some(merges) = merges {
            self.mark(canvas, place, merges);
        }
    }

    /// Where the cells' colours are in the palette: the maximum of a cell's pairs on the diagonal and above, their mean
    /// below.
    fn cells(&self) -> Vec<u8> {
        let rows = |cells: &'a [f32]| cells.chunks_exact(self.map.cells.max(1));
        rows(&self.map.mean)
            .zip(rows(&self.map.max))
            .enumerate()
            .flat_map(|(row, (mean, max))| mean[..row].iter().chain(&max[row..]))
            .map(|&similarity| diverging(similarity))
            .collect()
    }

    /// Marks merged kernels above the map and right of it, where no ticks are.
    fn mark(&self, canvas: &Canvas, map: Rect, merges: &LayerMerges) {
        let cells = self.map.cells;
        let mut marked = vec![false; cells];
        for (place, kernel) in self.map.order.iter().enumerate() {
            if merges.kernels.contains(kernel) {
                marked[place * cells / self.map.order.len()] = true;
            }
        }
        let size = cell(cells);
        // Wide cells keep apart.
        let inset = if size >= 4.0 {
            (size / 8.0).min(2.0)
        } else {
            0.0
        };
        let runs = marked.chunk_by(|a, b| a == b && inset == 0.0);
        let mut from = 0;
        for run in runs {
            let (start, length) = (from as f64 * size + inset, run.len() as f64 * size);
            from += run.len();
            if !run[0] {
                continue;
            }
            let length = length - 2.0 * inset;
            let (left, top) = (map.right() + MARGIN_GAP, map.top - MARGIN - MARGIN_GAP);
            for mark in [
                Rect {
                    left: map.left + start,
                    top,
                    width: length,
                    height: MARGIN,
                },
                Rect {
                    left,
                    top: map.top + start,
                    width: MARGIN,
                    height: length,
                },
            ] {
                canvas.rectangle(mark, MARK.filled());
            }
        }
    }
}

/// Pixels along a cell's side.
fn cell(cells: usize) -> f64 {
    (SIDE / cells as f64).round().clamp(1.0, LARGEST_CELL)
}

/// Ticks along a side of so many pixels.
fn ticks(side: f64) -> usize {
    (side / 60.0).round().max(4.0) as usize
}

/// A layer's similarity matrix in file order and, beside it, clustered; with the colour bar.
pub(super) fn similarity(
    layer: &Layer,
    drawings: &LayerDrawings,
    merges: Option<&LayerMerges>,
) -> Figure {
    let in_file_order = &drawings.in_file_order;
    let mut panels = vec![Panel::new(in_file_order, "in file order", "kernel")];
    if let Some(clustered) = &drawings.clustered
        && clustered.order != in_file_order.order
    {
        panels.push(Panel::new(
            clustered,
            "clustered",
            "position in the clustered order",
        ));
    }
    let merges = merges.filter(|merges| !merges.kernels.is_empty());
    let bar_ticks = Axis::linear(-1.0..1.0, 4, "similarity");
    let maps: f64 = panels.iter().map(|panel| panel.width() + BETWEEN).sum();
    let caption = Caption::new(
        (maps + colour_bar::width_with(&bar_ticks)).max(LEAST),
        &heading::title(layer),
        &heading::subtitle("Cosine similarity", layer),
        legend(layer, drawings, merges),
        &notes(layer, drawings),
    );

    let top = caption.above() + LEADING + MARGIN + MARGIN_GAP;
    let side = panels[0].side;
    let height = side.max(BAR_HEIGHT);
    let end = top + height.max(side + 2.0 * TICK_LENGTH + 2.0 * LEADING - 6.0);
    let canvas = Canvas::new(caption.width() + 2.0 * PADDING, end + 8.0 + caption.below());
    let mut left = PADDING;
    for panel in &panels {
        panel.draw(&canvas, left, top, merges);
        left += panel.width() + BETWEEN;
    }
    let bar = Rect {
        left,
        top,
        width: colour_bar::WIDTH,
        height,
    };
    let colours = palette();
    // The last colour of the palette is none of the scale.
    let falling = colours[..colours.len() - 1].iter().rev().copied();
    colour_bar(&canvas, bar, falling, &bar_ticks, TITLE_ABOVE);
    caption.finish(canvas, FigureKind::Similarity, end + 8.0)
}

fn legend(
    layer: &Layer,
    drawings: &LayerDrawings,
    merges: Option<&LayerMerges>,
) -> Vec<(LegendKey, String)> {
    let mut legend = Vec::new();
    if let Some(merges) = merges {
        let merged = format!(
            "{} of {} merged",
            count(merges.kernels.len() as u64),
            things(layer.kernels as u64, "kernel")
        );
        legend.push((LegendKey::Bar(MARK, 1.0), merged));
    }
    let absent = || drawings.in_file_order.max.iter().any(|cell| cell.is_nan());
    if layer.kernels > 1 && absent() {
        let why = match layer.groups_compared() {
            1 => "not compared: kernels of zeros or with NaN or infinities",
            _ => "not compared: kernels of different groups",
        };
        legend.push((LegendKey::Bar(NOT_COMPARED, 1.0), why.to_owned()));
    }
    legend
}

fn notes(layer: &Layer, drawings: &LayerDrawings) -> Vec<String> {
    let map = &drawings.in_file_order;
    let mut notes = Vec::new();
    let mut say = |note: String| notes.push(note);
    if map.is_reduced() {
        let (kernels, cells) = (map.order.len(), map.cells);
        let block = kernels.div_ceil(cells);
        let about = if kernels.is_multiple_of(cells) {
            ""
        } else {
            "up to "
        };
        say(format!(
            "Each cell: {about}{block}\u{a0}\u{d7}\u{a0}{block} kernels; maximum on and above the diagonal, mean below."
        ));
    }
    if layer.kernels == 1 {
        say("There is no other kernel to compare it with.".to_owned());
    } else {
        match &drawings.clustered {
            None => say("In file order only: the layer is too large to be clustered.".to_owned()),
            Some(clustered) if clustered.order == map.order && layer.kernels > 2 => {
                say("Clustered, the kernels stay in file order.".to_owned());
            }
            Some(_) => {}
        }
    }
    notes
}
