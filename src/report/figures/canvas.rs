//! A canvas in pixels, over `plotters` and the [`Sheet`] it draws on.

use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;

use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::drawing::DrawingArea;
use plotters::element::{PathElement, Rectangle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontTransform, RGBColor, ShapeStyle, TextStyle};

use super::axis::Axis;
use super::colours::{GRID, INK, SOFT};
use super::drawing::Drawing;
use super::figure::Heading;
use super::font::{Weight, described};
use super::sheet::{Sheet, UNITS};
use super::{Figure, FigureKind};
use crate::report::picture::Picture;

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Type {
    pub size: f64,
    pub weight: Weight,
    pub colour: RGBColor,
}

/// What a figure is of.
pub(super) const TITLE: Type = Type {
    size: 14.0,
    weight: Weight::SemiBold,
    colour: INK,
};
/// What is read next.
pub(super) const LABEL: Type = Type {
    size: 12.0,
    weight: Weight::Regular,
    colour: INK,
};
pub(super) const NOTE: Type = Type {
    size: 12.0,
    weight: Weight::Regular,
    colour: SOFT,
};
pub(super) const TICK: Type = Type {
    size: 11.0,
    weight: Weight::Regular,
    colour: SOFT,
};

/// Length of a tick; labels begin at twice that from the axis.
pub(super) const TICK_LENGTH: f64 = 4.0;

/// A rectangle in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rect {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

impl Rect {
    pub fn right(self) -> f64 {
        self.left + self.width
    }

    pub fn bottom(self) -> f64 {
        self.top + self.height
    }
}

/// The lines drawn with the axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    /// Level ones at the ticks of the y axis.
    Grid,
    Ticks,
}

/// A place of a canvas with coordinates.
pub(super) type Chart<'c> = ChartContext<'c, Sheet, Cartesian2d<Axis, Axis>>;

/// What is drawn on.
pub(super) struct Canvas {
    size: (u32, u32),
    sheet: Rc<RefCell<Sheet>>,
    area: DrawingArea<Sheet, Shift>,
}

/// Unwraps the result of drawing, which cannot fail in memory with a font that comes with the program.
pub(super) fn drawn<T, E: Error>(result: Result<T, E>) -> T {
    result.expect("drawing in memory with a font at hand")
}

fn units(pixels: f64) -> i32 {
    (pixels * UNITS).round() as i32
}

/// A line of this colour and width in pixels.
pub(super) fn line(colour: impl Color, width: f64) -> ShapeStyle {
    colour.stroke_width(units(width) as u32)
}

fn style(look: Type, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    described(look.weight, look.size * UNITS)
        .color(&look.colour)
        .pos(Pos::new(horizontal, vertical))
}

impl Canvas {
    /// An empty one of this size in pixels.
    pub fn new(width: f64, height: f64) -> Self {
        let size = (width.ceil() as u32, height.ceil() as u32);
        let sheet = Rc::new(RefCell::new(Sheet::new(size)));
        Self {
            size,
            area: DrawingArea::from(&sheet),
            sheet,
        }
    }

    /// What was drawn; `label` says in words what it shows.
    pub fn finish(self, kind: FigureKind, label: String, titles: Heading) -> Figure {
        let (width, height) = self.size;
        Figure {
            kind,
            width,
            height,
            label,
            titles,
            drawing: self.into_drawing(),
        }
    }

    /// What was drawn, to be a part of a figure.
    pub fn into_drawing(self) -> Drawing {
        self.sheet.borrow_mut().finish()
    }

    /// Writes a text whose baseline begins, ends or has its middle here.
    pub fn text(&self, (x, y): (f64, f64), anchor: HPos, text: &str, look: Type) {
        let style = style(look, anchor, VPos::Bottom);
        drawn(self.area.draw_text(text, &style, (units(x), units(y))));
    }

    /// Writes a text that is read from below, upright, and ends here; its letters have their middle here.
    pub fn upright_text(&self, (x, y): (f64, f64), text: &str, look: Type) {
        let style = style(look, HPos::Right, VPos::Center).transform(FontTransform::Rotate270);
        drawn(self.area.draw_text(text, &style, (units(x), units(y))));
    }

    /// Draws a line through points.
    pub fn line(&self, points: &[(f64, f64)], style: ShapeStyle) {
        let points: Vec<_> = points.iter().map(|&(x, y)| (units(x), units(y))).collect();
        drawn(self.area.draw(&PathElement::new(points, style)));
    }

    /// Draws what `draw` does with lines of dashes and gaps of so many pixels.
    pub fn with_dashes(&self, pattern: [f64; 2], draw: impl FnOnce()) {
        self.sheet.borrow_mut().set_dashes(Some(pattern));
        draw();
        self.sheet.borrow_mut().set_dashes(None);
    }

    /// Fills a rectangle, or draws its sides.
    pub fn rectangle(&self, place: Rect, style: ShapeStyle) {
        let corners = [
            (units(place.left), units(place.top)),
            (units(place.right()), units(place.bottom())),
        ];
        drawn(self.area.draw(&Rectangle::new(corners, style)));
    }

    /// Fills a circle, or draws its line.
    pub fn circle(&self, (x, y): (f64, f64), radius: f64, style: ShapeStyle) {
        let circle = plotters::element::Circle::new((units(x), units(y)), units(radius), style);
        drawn(self.area.draw(&circle));
    }

    /// Puts a picture into a place.
    pub fn image(&self, place: Rect, picture: &Picture) {
        let place = [place.left, place.top, place.width, place.height];
        self.sheet.borrow_mut().image(place, picture);
    }

    /// Coordinates for a place, with ticks and their labels left of it and below; titles are not written.
    pub fn chart(&self, place: Rect, x: &Axis, y: &Axis, lines: Lines) -> Chart<'_> {
        // As much room for labels as there is; the caller sees to it that they fit.
        let (left, below) = (units(place.left), units(40.0));
        let area = self.area.clone().shrink(
            (0, units(place.top)),
            (units(place.right()), units(place.height) + below),
        );
        // `plotters` places upright labels as if they were level, so they are written here.
        let mut level = x.clone();
        if x.upright {
            for (at, label) in std::mem::take(&mut level.ticks) {
                let x = place.left + x.share(at) * place.width;
                let (axis, end) = (place.bottom(), place.bottom() + TICK_LENGTH);
                self.line(&[(x, axis), (x, end)], line(SOFT, 1.0));
                self.upright_text((x, end + TICK_LENGTH), &label, TICK);
            }
        }
        let mut chart = drawn(
            ChartBuilder::on(&area)
                .x_label_area_size(below)
                .y_label_area_size(left)
                .build_cartesian_2d(level, y.clone()),
        );
        let tick = style(TICK, HPos::Center, VPos::Center);
        let mut mesh = chart.configure_mesh();
        mesh.disable_x_mesh()
            .bold_line_style(line(GRID, 1.0))
            .axis_style(line(SOFT, 1.0))
            .label_style(tick)
            .set_all_tick_mark_size(units(TICK_LENGTH));
        if lines == Lines::Ticks {
            mesh.disable_y_mesh();
        }
        drawn(mesh.draw());
        chart
    }
}
