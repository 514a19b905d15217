//! A figure that is drawn, to be written in one form or another.

use plotters::style::RGBColor;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

use crate::report::bitmap;
use crate::report::figure_kind::{FigureKind, Titles};

use super::drawing::{self, Drawing};
use super::{colours, font, pdf};

/// Pixels of a PNG in a pixel of the figure, along each side.
const PNG_SCALE: u32 = 2;

/// Pixels of CSS in an inch.
const CSS_DPI: f32 = 96.0;

/// Millimetres in a pixel, so that labels have 8 to 9 points; and the width in millimetres to which wider figures are scaled
/// down, which is that of a page's text.
const MILLIMETRES: f64 = 25.4 / CSS_DPI as f64;
const WIDEST: f64 = 180.0;

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
    pub(super) label: String,
    /// Title and subtitle.
    pub(super) titles: Heading,
    /// All the rest.
    pub(super) drawing: Drawing,
}

/// What is drawn at the top of a figure, and could be left out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Heading {
    pub drawing: Drawing,
    /// The pixels that are free without it.
    pub height: u32,
}

/// The unit of a drawing's width and height.
enum Unit {
    Pixels,
    /// Those of paper.
    Millimetres,
}

impl Figure {
    /// As a whole SVG document of a size for paper.
    pub fn svg(&self, titles: Titles) -> String {
        self.with_paper(titles, Unit::Millimetres)
    }

    /// For a page that shows it in its own font and colours: without background, and with the colours of text and marks as CSS
    /// variables (`--ink` and others).
    pub fn inline(&self) -> String {
        let (width, height) = (self.width, self.height);
        // Line breaks between elements would be as many nodes again for a browser.
        let elements = self
            .elements(Titles::Drawn, colours::on_page)
            .replace('\n', "");
        format!(
            "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">\
             {elements}</svg>",
            drawing::escaped(&self.label)
        )
    }

    fn with_paper(&self, titles: Titles, unit: Unit) -> String {
        let (top, paper) = (self.top(titles), colours::hex(colours::PAPER));
        let (width, height) = (self.width, self.height - top);
        let [wide, high] = match unit {
            Unit::Pixels => [width, height].map(|side| side.to_string()),
            Unit::Millimetres => {
                let scale = MILLIMETRES.min(WIDEST / f64::from(width));
                [width, height].map(|side| format!("{:.1}mm", scale * f64::from(side)))
            }
        };
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{wide}\" height=\"{high}\" viewBox=\"0 {top} {width} {height}\" \
             font-family=\"{}\" stroke-linejoin=\"round\" role=\"img\" aria-label=\"{}\">\n\
             <rect y=\"{top}\" width=\"100%\" height=\"100%\" fill=\"{paper}\"/>\n{}</svg>\n",
            font::FAMILY,
            drawing::escaped(&self.label),
            self.elements(titles, colours::hex)
        )
    }

    fn elements(&self, titles: Titles, colour: impl Fn(RGBColor) -> String + Copy) -> String {
        let titles = match titles {
            Titles::Drawn => self.titles.drawing.written(colour),
            Titles::LeftOut => String::new(),
        };
        titles + &self.drawing.written(colour)
    }

    /// The first of its pixels from above that is shown.
    fn top(&self, titles: Titles) -> u32 {
        match titles {
            Titles::Drawn => 0,
            Titles::LeftOut => self.titles.height,
        }
    }

    /// As a PDF of the SVG's size, with its text as text in the font that comes with the program.
    pub fn pdf(&self, titles: Titles) -> Vec<u8> {
        pdf::page(&self.tree(titles, Unit::Millimetres), 72.0 / CSS_DPI)
    }

    fn tree(&self, titles: Titles, unit: Unit) -> Tree {
        let options = Options {
            fontdb: font::database(),
            ..Options::default()
        };
        Tree::from_str(&self.with_paper(titles, unit), &options)
            .expect("an SVG written by this module")
    }

    /// Rendered at twice its nominal size.
    pub fn png(&self, titles: Titles) -> Vec<u8> {
        let tree = self.tree(titles, Unit::Pixels);
        let sides = [self.width, self.height - self.top(titles)];
        let [width, height] = sides.map(|side| side * PNG_SCALE);
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
