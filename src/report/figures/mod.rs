//! Figures: values in, SVG out, and from that PNG.
//!
//! Each figure is drawn once, as SVG, with text as text; the PNG is the same drawing rendered with the font that comes with
//! the program, so neither needs a font of the system.

mod axis;
mod canvas;
mod chart;
mod colour_bar;
mod colours;
mod depth;
mod drawing;
mod evolution;
mod figure;
mod font;
mod heading;
mod kernels;
mod lines;
mod nearest;
mod path_data;
mod pdf;
mod sensitivity;
mod sheet;
mod shown;
mod similarity;
mod spectrum;
#[cfg(test)]
mod tests;
mod text;
mod thresholds;

use crate::analysis::{LayerDrawings, LayerNumbers};

use super::redundancy::{LayerMerges, Redundancy};
use crate::layers::Layer;
use depth::{nearest_over_depth, ranks_over_depth};
use evolution::evolution;
use kernels::kernels;
use nearest::nearest;
use similarity::similarity;
use spectrum::spectrum;
use thresholds::{layer_thresholds, net_thresholds};

pub(crate) use super::figure_kind::LayerStem;
pub use super::figure_kind::{FigureKind, FigureSet, FormatSets, Formats, SweepFigure, Titles};
pub(super) use colours::{bytes, diverging, palette};
pub use figure::Figure;
pub use sensitivity::sensitivity;

/// The figures of a layer: what can be drawn of it.
pub(crate) fn of_layer(
    layer: &Layer,
    numbers: &LayerNumbers,
    drawings: &LayerDrawings,
    merges: Option<&LayerMerges>,
) -> Vec<Figure> {
    let mut figures = vec![
        similarity(layer, drawings, merges),
        layer_thresholds(layer, numbers, merges),
        nearest(layer, &numbers.nearest),
    ];
    figures.extend(numbers.spectrum.as_ref().map(|of| spectrum(layer, of)));
    if !drawings.pairs.is_empty() {
        figures.push(kernels(layer, &drawings.pairs));
    }
    figures
}

/// The figures of a whole net, and of its layers from epoch to epoch.
pub(crate) fn overviews(report: &Redundancy) -> Vec<Figure> {
    let points: Vec<DepthPoint<'_>> = report
        .layers
        .iter()
        .map(|layer| DepthPoint {
            facts: &layer.facts,
            numbers: &layer.numbers,
        })
        .collect();
    let cut = report.skip_shallow;
    let mut figures = vec![
        nearest_over_depth(&points, cut),
        net_thresholds(&report.net),
    ];
    figures.extend(ranks_over_depth(&points, cut));
    figures.extend(report.evolution.iter().flat_map(evolution));
    figures
}

/// A layer as the overviews over depth show it.
#[derive(Clone, Copy, Debug)]
struct DepthPoint<'a> {
    facts: &'a Layer,
    numbers: &'a LayerNumbers,
}
