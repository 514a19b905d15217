//! Figures: values in, SVG out, and from that PNG.
//!
//! Each figure is drawn once, as SVG, with text as text; the PNG is the same drawing rendered with the font that comes with
//! the program, so neither needs a font of the system.

mod axis;
mod canvas;
mod chart;
mod colours;
mod depth;
mod evolution;
mod font;
mod heading;
mod kernels;
mod nearest;
mod raster;
mod sensitivity;
mod sheet;
mod similarity;
mod spectrum;
#[cfg(test)]
mod tests;
mod text;
mod thresholds;

use png::Compression;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

use crate::analysis::LayerNumbers;

use super::bitmap::{self, Colours};
use super::redundancy::LayerFacts;

pub use colours::colour;
pub use depth::{nearest_over_depth, ranks_over_depth};
pub use evolution::evolution;
pub use kernels::kernels;
pub use nearest::nearest;
pub use sensitivity::sensitivity;
pub use similarity::similarity;
pub use spectrum::spectrum;
pub use thresholds::{layer_thresholds, net_thresholds};

/// Pixels of a PNG in a pixel of the SVG, along each side.
const PNG_SCALE: u32 = 2;

/// A figure, as SVG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure(String);

impl Figure {
    /// From a whole SVG document.
    #[cfg(test)]
    pub(crate) fn from_svg(svg: String) -> Self {
        Self(svg)
    }

    /// A whole SVG document.
    pub fn svg(&self) -> &str {
        &self.0
    }

    /// Its width in pixels.
    pub fn width(&self) -> u32 {
        let (_, rest) = self.0.split_once(" width=\"").unwrap_or_default();
        let digits = rest.split('"').next().unwrap_or_default();
        digits.parse().unwrap_or_default()
    }

    /// Rendered at twice its nominal size.
    pub fn png(&self) -> Vec<u8> {
        let options = Options {
            fontdb: font::database(),
            ..Options::default()
        };
        let tree = Tree::from_str(&self.0, &options).expect("an SVG written by this module");
        let size = tree.size().to_int_size();
        let [width, height] = [size.width(), size.height()].map(|side| side * PNG_SCALE);
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
        bitmap::png(size, Colours::Rgb, &colours, Compression::Balanced)
    }

    /// For a page that shows it in its own colours: without background, and with the colours of text, lines, grid and what
    /// is hollow as the CSS variables `--ink`, `--soft`, `--grid` and `--paper`.
    pub fn inline(&self) -> String {
        let mut svg = self.0.replacen(&sheet::background(), "", 1);
        for (colour, variable) in [
            (colours::INK, "ink"),
            (colours::SOFT, "soft"),
            (colours::GRID, "grid"),
            (colours::PAPER, "paper"),
        ] {
            // In quotes it is an attribute: text has them escaped.
            let attribute = format!("\"{}\"", colours::hex(colour));
            svg = svg.replace(&attribute, &format!("\"var(--{variable})\""));
        }
        svg
    }
}

/// A layer as the overviews over depth show it.
#[derive(Clone, Copy, Debug)]
pub struct DepthPoint<'a> {
    /// What it is.
    pub facts: &'a LayerFacts,
    /// What was found out.
    pub numbers: &'a LayerNumbers,
}
