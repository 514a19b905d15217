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
mod font;
mod heading;
mod kernels;
mod nearest;
mod raster;
mod sensitivity;
mod sheet;
mod shown;
mod similarity;
mod spectrum;
#[cfg(test)]
mod tests;
mod text;
mod thresholds;

use plotters::style::RGBColor;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

use crate::analysis::{LayerDrawings, LayerNumbers};

use super::bitmap;
use super::redundancy::{LayerMerges, Redundancy};
use crate::layers::Layer;
use depth::{nearest_over_depth, ranks_over_depth};
use drawing::Drawing;
use evolution::evolution;
use kernels::kernels;
use nearest::nearest;
use similarity::similarity;
use spectrum::spectrum;
use thresholds::{layer_thresholds, net_thresholds};

pub(crate) use super::figure_kind::LayerStem;
pub use super::figure_kind::{FigureKind, PngFigures, SweepFigure};
pub(super) use colours::colour;
pub use sensitivity::sensitivity;

/// Pixels of a PNG in a pixel of the SVG, along each side.
const PNG_SCALE: u32 = 2;

/// A figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What it shows.
    pub kind: FigureKind,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// What it shows, for those who cannot see it.
    label: String,
    drawing: Drawing,
}

impl Figure {
    /// A whole SVG document.
    pub fn svg(&self) -> String {
        let paper = colours::hex(colours::PAPER);
        let background = format!("<rect width=\"100%\" height=\"100%\" fill=\"{paper}\"/>");
        self.document(&background, colours::hex)
    }

    /// For a page that shows it in its own colours: without background, and with the colours of text and marks as CSS
    /// variables (`--ink` and others).
    pub fn inline(&self) -> String {
        self.document("", colours::on_page)
    }

    fn document(&self, background: &str, colour: impl Fn(RGBColor) -> String) -> String {
        let Self { width, height, .. } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"{}\" stroke-linejoin=\"round\" role=\"img\" aria-label=\"{}\">\n{background}\n{}</svg>\n",
            font::FAMILY,
            drawing::escaped(&self.label),
            self.drawing.written(colour)
        )
    }

    /// Rendered at twice its nominal size.
    pub fn png(&self) -> Vec<u8> {
        let options = Options {
            fontdb: font::database(),
            ..Options::default()
        };
        let tree = Tree::from_str(&self.svg(), &options).expect("an SVG written by this module");
        let [width, height] = [self.width, self.height].map(|side| side * PNG_SCALE);
        let mut pixels = Pixmap::new(width, height).expect("a figure of some size");
        let scale = PNG_SCALE as f32;
        resvg::render(
            &tree,
            Transform::from_scale(scale, scale),
            &mut pixels.as_mut(),
        );
        // The background is opaque.
        let colours: Vec<u8> = pixels
            .data()
            .chunks_exact(4)
            .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]])
            .collect();
        let size = [width, height].map(|side| side as usize);
        bitmap::drawing(size, &colours)
    }
}

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
