//! The SVG that is written: what `plotters` draws on.
//!
//! `plotters-svg` knows neither images nor weights, sets text beside its baseline, and spends an element on every line and
//! rectangle; here shapes of one pen that follow each other are one path. Nor does `plotters` know dashes, and its series of
//! them draws each by itself.

use std::convert::Infallible;

use plotters::style::{FontStyle, FontTransform, RGBColor, text_anchor};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
};
use text_anchor::{HPos, VPos};

use super::drawing::{Drawing, escaped};
use super::path_data::{PathData, units};
use crate::report::picture::Picture;

/// Units of `plotters`, whose coordinates are whole numbers, in a pixel.
pub(super) const UNITS: f64 = 10.0;

/// Middle of a digit above the baseline, as a share of the em.
const MIDDLE: f64 = 0.36;
/// Top of a digit above the baseline, as a share of the em.
const TOP: f64 = 0.73;

/// A drawing being written, 10 units a pixel.
///
/// Shapes are written in the order in which they are drawn, neighbours that look the same as one element; texts after all
/// shapes, those that look the same as one group.
pub(super) struct Sheet {
    size: (u32, u32),
    drawing: Drawing,
    /// The shapes that more of the same look may join.
    open: Option<Open>,
    /// Texts by their look, in the order in which the looks came.
    texts: Vec<(Look, Vec<String>)>,
    /// Units of a dash and of the gap after it in lines that are drawn now; `None` for whole lines.
    dashes: Option<[u32; 2]>,
}

/// Shapes of one pen that follow each other.
enum Open {
    Path(Pen, PathData),
    Circles(Pen, Vec<String>),
    /// Elements.
    Pictures(String),
}

/// How a shape is drawn.
#[derive(Clone, Copy, PartialEq)]
enum Pen {
    Stroke {
        colour: BackendColour,
        width: u32,
        dashes: Option<[u32; 2]>,
    },
    Fill(BackendColour),
}

/// How a text is written.
#[derive(Clone, PartialEq)]
struct Look {
    size: i32,
    bold: bool,
    anchor: &'static str,
    colour: BackendColour,
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
            open: None,
            texts: Vec::new(),
            dashes: None,
        }
    }

    /// Draws lines from now on with dashes and gaps of so many pixels, or whole.
    pub fn set_dashes(&mut self, pattern: Option<[f64; 2]>) {
        self.dashes = pattern.map(|pattern| pattern.map(|pixels| (pixels * UNITS) as u32));
    }

    /// Draws a picture at a left, top, width and height in pixels.
    pub fn image(&mut self, place: [f64; 4], picture: &Picture) {
        let place = place.map(|side| (side * UNITS).round() / UNITS);
        let element = picture.svg(place) + "\n";
        if let Some(Open::Pictures(elements)) = &mut self.open {
            elements.push_str(&element);
        } else {
            self.end_shapes();
            self.open = Some(Open::Pictures(element));
        }
    }

    pub fn finish(&mut self) -> Drawing {
        self.end_shapes();
        for (look, texts) in std::mem::take(&mut self.texts) {
            self.push_group("text", &texts, |sheet| sheet.push_look(&look));
        }
        std::mem::take(&mut self.drawing)
    }

    fn end_shapes(&mut self) {
        match self.open.take() {
            None => {}
            Some(Open::Path(pen, path)) => {
                self.drawing.push(&format!("<path d=\"{}\"", path.data()));
                self.push_pen(pen);
                self.drawing.push("/>\n");
            }
            Some(Open::Circles(pen, circles)) => {
                self.push_group("circle", &circles, |sheet| sheet.push_pen(pen));
            }
            Some(Open::Pictures(elements)) => {
                let style = Picture::STYLE;
                self.drawing
                    .push(&format!("<g style=\"{style}\">\n{elements}</g>\n"));
            }
        }
    }

    /// Writes elements of a name that have attributes in common; each is given as what follows its name.
    fn push_group(&mut self, name: &str, elements: &[String], attributes: impl Fn(&mut Self)) {
        if let [element] = elements {
            self.drawing.push(&format!("<{name}"));
            attributes(self);
            self.drawing.push(&format!("{element}\n"));
            return;
        }
        self.drawing.push("<g");
        attributes(self);
        self.drawing.push(">\n");
        for element in elements {
            self.drawing.push(&format!("<{name}{element}\n"));
        }
        self.drawing.push("</g>\n");
    }

    /// The attributes of a shape that is drawn with this pen.
    fn push_pen(&mut self, pen: Pen) {
        match pen {
            Pen::Fill(colour) => self.push_paint("fill", colour),
            Pen::Stroke {
                colour,
                width,
                dashes,
            } => {
                self.drawing.push(" fill=\"none\"");
                self.push_paint("stroke", colour);
                let width = units(width as i32);
                self.drawing.push(&format!(" stroke-width=\"{width}\""));
                if let Some(dashes) = dashes {
                    let [dash, gap] = dashes.map(|length| units(length as i32));
                    self.drawing
                        .push(&format!(" stroke-dasharray=\"{dash} {gap}\""));
                }
            }
        }
    }

    /// The attributes of a text of this look.
    fn push_look(&mut self, look: &Look) {
        let weight = match look.bold {
            true => " font-weight=\"600\"",
            false => "",
        };
        let (size, anchor) = (units(look.size), look.anchor);
        self.drawing
            .push(&format!(" font-size=\"{size}\"{weight}{anchor}"));
        self.push_paint("fill", look.colour);
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

    fn pen(&self, style: &impl BackendStyle, fill: bool) -> Pen {
        let colour = style.color().into();
        if fill {
            Pen::Fill(colour)
        } else {
            Pen::Stroke {
                colour,
                width: style.stroke_width(),
                dashes: self.dashes,
            }
        }
    }

    /// Adds to the path that is drawn with this pen.
    fn path(&mut self, pen: Pen, add: impl FnOnce(&mut PathData)) {
        if let Some(Open::Path(open, path)) = &mut self.open
            && *open == pen
        {
            return add(path);
        }
        self.end_shapes();
        let mut path = PathData::default();
        add(&mut path);
        self.open = Some(Open::Path(pen, path));
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
        self.path(self.pen(style, fill), |path| {
            path.rectangle((left, top), (right, bottom));
        });
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        points: I,
        style: &S,
    ) -> Drawn {
        self.path(self.pen(style, false), |path| path.polyline(points));
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        corners: I,
        style: &S,
    ) -> Drawn {
        self.path(self.pen(style, true), |path| {
            path.polyline(corners);
            path.close();
        });
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        (x, y): BackendCoord,
        radius: u32,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let (x, y, radius) = (units(x), units(y), units(radius as i32));
        let circle = format!(" cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"/>");
        let pen = self.pen(style, fill);
        if let Some(Open::Circles(open, circles)) = &mut self.open
            && *open == pen
        {
            circles.push(circle);
        } else {
            self.end_shapes();
            self.open = Some(Open::Circles(pen, vec![circle]));
        }
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        (x, y): BackendCoord,
    ) -> Drawn {
        let size = style.size();
        let down = match style.anchor().v_pos {
            VPos::Top => TOP * size,
            VPos::Center => MIDDLE * size,
            VPos::Bottom => 0.0,
        };
        let down = down.round() as i32;
        let look = Look {
            size: size.round() as i32,
            bold: matches!(style.style(), FontStyle::Bold),
            anchor: match style.anchor().h_pos {
                HPos::Left => "",
                HPos::Center => " text-anchor=\"middle\"",
                HPos::Right => " text-anchor=\"end\"",
            },
            colour: style.color().into(),
        };
        let (x, y, turned) = match style.transform() {
            FontTransform::Rotate270 => {
                let (x, y) = (units(x + down), units(y));
                let turned = format!(" transform=\"rotate(-90 {x} {y})\"");
                (x, y, turned)
            }
            _ => (units(x), units(y + down), String::new()),
        };
        let text = with_subscripts(&escaped(text), size);
        let text = format!(" x=\"{x}\" y=\"{y}\"{turned}>{text}</text>");
        match self.texts.iter_mut().find(|(known, _)| *known == look) {
            Some((_, texts)) => texts.push(text),
            None => self.texts.push((look, vec![text])),
        }
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
                "<path d=\"M0 0l0.5 1.2m0.2-1.2l-0.1 2v1.1\" fill=\"none\" stroke=\"#010203\" stroke-width=\"1.5\"/>",
                "<path d=\"M0 0h1v2.5h-1z\" fill=\"#010203\" fill-opacity=\"0.5\"/>",
            ]
        );
    }
}
