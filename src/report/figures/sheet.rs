//! The SVG that is written: what `plotters` draws on.
//!
//! `plotters-svg` knows neither images nor weights, sets text beside its baseline, and spends an element on every line and
//! rectangle; here shapes of one pen that follow each other are one path.

use std::convert::Infallible;

use plotters::style::{FontStyle, FontTransform, RGBColor, text_anchor};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
};
use text_anchor::{HPos, VPos};

use super::drawing::{Drawing, escaped};

/// Units of `plotters`, whose coordinates are whole numbers, in a pixel.
pub(super) const UNITS: f64 = 10.0;

/// Middle of a digit above the baseline, as a share of the em.
const MIDDLE: f64 = 0.36;
/// Top of a digit above the baseline, as a share of the em.
const TOP: f64 = 0.73;

/// A drawing being written, 10 units a pixel.
pub(super) struct Sheet {
    size: (u32, u32),
    drawing: Drawing,
    /// The path that is open, and its data.
    path: Option<(Pen, String)>,
}

/// How a path is drawn.
#[derive(Clone, Copy, PartialEq)]
enum Pen {
    Stroke { colour: BackendColour, width: u32 },
    Fill(BackendColour),
}

impl Pen {
    fn of(style: &impl BackendStyle, fill: bool) -> Self {
        let colour = style.color().into();
        if fill {
            Self::Fill(colour)
        } else {
            let width = style.stroke_width();
            Self::Stroke { colour, width }
        }
    }
}

/// A colour of `plotters` that can be compared.
#[derive(Clone, Copy, PartialEq)]
struct BackendColour {
    rgb: RGBColor,
    alpha: f64,
}

impl From<BackendColor> for BackendColour {
    fn from(
        BackendColor {
            rgb: (r, g, b),
            alpha,
        }: BackendColor,
    ) -> Self {
        Self {
            rgb: RGBColor(r, g, b),
            alpha,
        }
    }
}

impl Sheet {
    /// An empty one of this size in pixels.
    pub fn new(size: (u32, u32)) -> Self {
        Self {
            size,
            drawing: Drawing::default(),
            path: None,
        }
    }

    /// Draws a picture, given as a URI, at a left, top, width and height in pixels.
    pub fn image(&mut self, place: [f64; 4], uri: &str) {
        self.end_path();
        let [x, y, width, height] = place.map(|v| units((v * UNITS).round() as i32));
        self.drawing.push(&format!(
            "<image x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" preserveAspectRatio=\"none\" \
             style=\"image-rendering:pixelated\" href=\"{uri}\"/>\n"
        ));
    }

    pub fn finish(&mut self) -> Drawing {
        self.end_path();
        std::mem::take(&mut self.drawing)
    }

    fn end_path(&mut self) {
        let Some((pen, data)) = self.path.take() else {
            return;
        };
        self.drawing.push(&format!("<path d=\"{data}\""));
        self.push_pen(pen);
        self.drawing.push("/>\n");
    }

    /// The attributes of a shape that is drawn with this pen.
    fn push_pen(&mut self, pen: Pen) {
        match pen {
            Pen::Fill(colour) => self.push_paint("fill", colour),
            Pen::Stroke { colour, width } => {
                self.drawing.push(" fill=\"none\"");
                self.push_paint("stroke", colour);
                let width = units(width as i32);
                self.drawing.push(&format!(" stroke-width=\"{width}\""));
            }
        }
    }

    /// The colour of `fill` or `stroke`.
    fn push_paint(&mut self, attribute: &str, colour: BackendColour) {
        self.drawing.push(&format!(" {attribute}=\""));
        self.drawing.push_colour(colour.rgb);
        self.drawing.push("\"");
        if colour.alpha != 1.0 {
            let alpha = colour.alpha;
            self.drawing
                .push(&format!(" {attribute}-opacity=\"{alpha}\""));
        }
    }

    /// The data of a path drawn with this pen.
    fn path(&mut self, pen: Pen) -> &mut String {
        if self.path.as_ref().is_some_and(|(open, _)| *open != pen) {
            self.end_path();
        }
        &mut self.path.get_or_insert_with(|| (pen, String::new())).1
    }
}

/// A number of units in pixels.
fn units(number: i32) -> String {
    let sign = if number < 0 { "-" } else { "" };
    let (whole, tenth) = (number.unsigned_abs() / 10, number.unsigned_abs() % 10);
    match tenth {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{tenth}"),
    }
}

/// Points one after another, as the data of a path.
fn polyline(points: impl IntoIterator<Item = BackendCoord>, data: &mut String) {
    let mut points = points.into_iter();
    let Some((mut x, mut y)) = points.next() else {
        return;
    };
    data.push_str(&format!("M{} {}", units(x), units(y)));
    let mut command = "l";
    for (to_x, to_y) in points {
        data.push_str(&format!("{command}{} {}", units(to_x - x), units(to_y - y)));
        (x, y, command) = (to_x, to_y, " ");
    }
}

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

impl DrawingBackend for Sheet {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        let (width, height) = self.size;
        (width * UNITS as u32, height * UNITS as u32)
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        self.draw_rect((x, y), (x + 1, y + 1), &color, true)
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        (left, top): BackendCoord,
        (right, bottom): BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let (left, right) = (left.min(right), left.max(right));
        let (top, bottom) = (top.min(bottom), top.max(bottom));
        let (x, y) = (units(left), units(top));
        let (w, h) = (units(right - left), units(bottom - top));
        let path = self.path(Pen::of(style, fill));
        path.push_str(&format!("M{x} {y}h{w}v{h}h-{w}z"));
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        polyline(path, self.path(Pen::of(style, false)));
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        corners: I,
        style: &S,
    ) -> Drawn {
        let data = self.path(Pen::of(style, true));
        polyline(corners, data);
        data.push('z');
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        (x, y): BackendCoord,
        radius: u32,
        style: &S,
        fill: bool,
    ) -> Drawn {
        self.end_path();
        let (x, y, radius) = (units(x), units(y), units(radius as i32));
        self.drawing
            .push(&format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\""));
        self.push_pen(Pen::of(style, fill));
        self.drawing.push("/>\n");
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        (x, y): BackendCoord,
    ) -> Drawn {
        self.end_path();
        let size = style.size();
        let down = match style.anchor().v_pos {
            VPos::Top => TOP * size,
            VPos::Center => MIDDLE * size,
            VPos::Bottom => 0.0,
        };
        let anchor = match style.anchor().h_pos {
            HPos::Left => "",
            HPos::Center => " text-anchor=\"middle\"",
            HPos::Right => " text-anchor=\"end\"",
        };
        let weight = match style.style() {
            FontStyle::Bold => " font-weight=\"600\"",
            _ => "",
        };
        let (x, y) = match style.transform() {
            FontTransform::Rotate270 => (x + down.round() as i32, y),
            _ => (x, y + down.round() as i32),
        };
        let turned = match style.transform() {
            FontTransform::Rotate270 => {
                format!(" transform=\"rotate(-90 {} {})\"", units(x), units(y))
            }
            _ => String::new(),
        };
        let (x, y, size) = (units(x), units(y), units(size.round() as i32));
        self.drawing.push(&format!(
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\"{weight}{anchor}{turned}"
        ));
        self.push_paint("fill", style.color().into());
        self.drawing.push(&format!(
            ">{}</text>\n",
            with_subscripts(&escaped(text), style.size())
        ));
        Ok(())
    }
}

/// Where a text names L_s, the s as a subscript; within other words it is left.
fn with_subscripts(text: &str, size: f64) -> String {
    const NAME: &str = "L_s";
    let is_end = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && !"._-/".contains(c));
    let (down, small) = (units((0.2 * size) as i32), units((0.75 * size) as i32));
    let mut written = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(NAME) {
        let (before, after) = (&rest[..at], &rest[at + NAME.len()..]);
        let last = before.chars().next_back().or(written.chars().next_back());
        written += before;
        if is_end(last.filter(|c| *c != '>')) && is_end(after.chars().next()) {
            written += &format!("L<tspan dy=\"{down}\" font-size=\"{small}\">s</tspan>");
            if !after.is_empty() {
                written += &format!("<tspan dy=\"-{down}\">{after}</tspan>");
            }
            return written;
        }
        written += NAME;
        rest = after;
    }
    written + rest
}

#[cfg(test)]
mod tests {
    use plotters::style::{Color, ShapeStyle};

    use super::*;
    use crate::report::figures::colours::hex;

    #[test]
    fn shapes_of_one_pen_are_one_path() {
        let mut sheet = Sheet::new((10, 10));
        let pen = ShapeStyle::from(&RGBColor(1, 2, 3)).stroke_width(15);
        sheet.draw_line((0, 0), (5, 12), &pen).unwrap();
        sheet.draw_path([(7, 0), (6, 20), (6, 31)], &pen).unwrap();
        sheet
            .draw_rect((0, 0), (10, 25), &RGBColor(1, 2, 3).mix(0.5), true)
            .unwrap();
        let drawing = sheet.finish().written(hex);
        assert_eq!(
            drawing.lines().collect::<Vec<_>>(),
            [
                "<path d=\"M0 0l0.5 1.2M0.7 0l-0.1 2 0 1.1\" fill=\"none\" stroke=\"#010203\" stroke-width=\"1.5\"/>",
                "<path d=\"M0 0h1v2.5h-1z\" fill=\"#010203\" fill-opacity=\"0.5\"/>",
            ]
        );
    }
}
