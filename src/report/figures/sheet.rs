//! The SVG that is written: what `plotters` draws on.
//!
//! `plotters-svg` knows neither images nor weights, sets text beside its baseline, and spends an element on every line and
//! rectangle; here shapes of one pen that follow each other are one path.

use std::convert::Infallible;
use std::fmt::Write;

use plotters::style::{FontStyle, FontTransform, text_anchor};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
};
use text_anchor::{HPos, VPos};

use super::colours::{PAPER, hex};
use super::font::FAMILY;

/// Units of `plotters`, whose coordinates are whole numbers, in a pixel.
pub(super) const UNITS: f64 = 10.0;

/// Middle of a digit above the baseline, as a share of the em.
const MIDDLE: f64 = 0.36;
/// Top of a digit above the baseline, as a share of the em.
const TOP: f64 = 0.73;

/// An SVG document being written, 10 units a pixel.
pub(super) struct Sheet {
    /// In pixels.
    size: (u32, u32),
    body: String,
    /// The path that is open, and its data.
    path: Option<(Pen, String)>,
}

/// How a path is drawn.
#[derive(Clone, Copy, PartialEq)]
enum Pen {
    Stroke { colour: BackendColour, width: u32 },
    Fill(BackendColour),
}

/// A colour that can be compared.
#[derive(Clone, Copy, PartialEq)]
struct BackendColour {
    rgb: (u8, u8, u8),
    alpha: f64,
}

impl From<BackendColor> for BackendColour {
    fn from(BackendColor { rgb, alpha }: BackendColor) -> Self {
        Self { rgb, alpha }
    }
}

impl BackendColour {
    /// As attributes, for `fill` or `stroke`.
    fn attributes(self, of: &str) -> String {
        let (r, g, b) = self.rgb;
        let colour = hex(plotters::style::RGBColor(r, g, b));
        match self.alpha {
            1.0 => format!("{of}=\"{colour}\""),
            alpha => format!("{of}=\"{colour}\" {of}-opacity=\"{alpha}\""),
        }
    }
}

/// A picture in a figure.
pub(super) struct Image<'a> {
    /// Left, top, width and height in pixels.
    pub place: [f64; 4],
    /// Its data, as a URI.
    pub uri: &'a str,
}

impl Sheet {
    /// An empty one of this size in pixels.
    pub fn new(size: (u32, u32)) -> Self {
        Self {
            size,
            body: String::new(),
            path: None,
        }
    }

    /// Puts a picture on what has been drawn.
    pub fn image(&mut self, image: &Image<'_>) {
        self.end_path();
        let [x, y, width, height] = image.place.map(|v| units((v * UNITS).round() as i32));
        let uri = image.uri;
        writeln!(
            self.body,
            "<image x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" preserveAspectRatio=\"none\" \
             style=\"image-rendering:pixelated\" href=\"{uri}\"/>"
        )
        .expect("a string takes what is written");
    }

    /// The whole document. `label` says what it shows to those who cannot see it.
    pub fn document(&mut self, label: &str) -> String {
        self.end_path();
        let (width, height) = self.size;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"{FAMILY}\" stroke-linejoin=\"round\" role=\"img\" aria-label=\"{}\">\n{}\n{}</svg>\n",
            escaped(label),
            background(),
            self.body
        )
    }

    fn end_path(&mut self) {
        let Some((pen, data)) = self.path.take() else {
            return;
        };
        match pen {
            Pen::Fill(colour) => writeln!(
                self.body,
                "<path d=\"{data}\" {}/>",
                colour.attributes("fill")
            ),
            Pen::Stroke { colour, width } => writeln!(
                self.body,
                "<path d=\"{data}\" fill=\"none\" {} stroke-width=\"{}\"/>",
                colour.attributes("stroke"),
                units(width as i32)
            ),
        }
        .expect("a string takes what is written");
    }

    /// The data of a path drawn with this pen.
    fn path(&mut self, pen: Pen) -> &mut String {
        if self.path.as_ref().is_some_and(|(open, _)| *open != pen) {
            self.end_path();
        }
        &mut self.path.get_or_insert_with(|| (pen, String::new())).1
    }
}

/// What a whole document begins with, behind everything.
pub(super) fn background() -> String {
    format!(
        "<rect width=\"100%\" height=\"100%\" fill=\"{}\"/>",
        hex(PAPER)
    )
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

/// Text in XML: what it does not allow at all is replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
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
        let colour = style.color().into();
        let pen = match fill {
            true => Pen::Fill(colour),
            false => Pen::Stroke {
                colour,
                width: style.stroke_width(),
            },
        };
        let (x, y) = (units(left), units(top));
        let (w, h) = (units(right - left), units(bottom - top));
        self.path(pen).push_str(&format!("M{x} {y}h{w}v{h}h-{w}z"));
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        let pen = Pen::Stroke {
            colour: style.color().into(),
            width: style.stroke_width(),
        };
        polyline(path, self.path(pen));
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        corners: I,
        style: &S,
    ) -> Drawn {
        let data = self.path(Pen::Fill(style.color().into()));
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
        let colour = BackendColour::from(style.color());
        let pen = match fill {
            true => colour.attributes("fill"),
            false => format!(
                "fill=\"none\" {} stroke-width=\"{}\"",
                colour.attributes("stroke"),
                units(style.stroke_width() as i32)
            ),
        };
        let (x, y, radius) = (units(x), units(y), units(radius as i32));
        writeln!(
            self.body,
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" {pen}/>"
        )
        .expect("a string takes what is written");
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
        writeln!(
            self.body,
            "<text x=\"{}\" y=\"{}\" font-size=\"{}\"{weight}{anchor}{turned} {}>{}</text>",
            units(x),
            units(y),
            units(size.round() as i32),
            BackendColour::from(style.color()).attributes("fill"),
            escaped(text)
        )
        .expect("a string takes what is written");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use plotters::style::{Color, RGBColor, ShapeStyle};

    use super::*;

    #[test]
    fn shapes_of_one_pen_are_one_path() {
        let mut sheet = Sheet::new((10, 10));
        let pen = ShapeStyle::from(&RGBColor(1, 2, 3)).stroke_width(15);
        sheet.draw_line((0, 0), (5, 12), &pen).unwrap();
        sheet.draw_path([(7, 0), (6, 20), (6, 31)], &pen).unwrap();
        sheet
            .draw_rect((0, 0), (10, 25), &RGBColor(1, 2, 3).mix(0.5), true)
            .unwrap();
        let document = sheet.document("a \"b\"\u{1b} & <c>");
        let body: Vec<&str> = document.lines().skip(2).collect();
        assert_eq!(
            body,
            [
                "<path d=\"M0 0l0.5 1.2M0.7 0l-0.1 2 0 1.1\" fill=\"none\" stroke=\"#010203\" stroke-width=\"1.5\"/>",
                "<path d=\"M0 0h1v2.5h-1z\" fill=\"#010203\" fill-opacity=\"0.5\"/>",
                "</svg>"
            ]
        );
        assert!(document.contains("aria-label=\"a &quot;b&quot;\u{fffd} &amp; &lt;c&gt;\""));
    }
}
