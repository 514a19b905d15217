//! A chart with what surrounds it: title, legend, axis titles and notes.

use plotters::style::text_anchor::HPos;
use plotters::style::{Color, RGBColor};

use super::axis::Axis;
use super::canvas::{
    Canvas, Chart, LABEL, Lines, NOTE, Rect, TICK, TICK_LENGTH, TITLE, Type, line,
};
use super::colours::{ALARM, PAPER, SOFT};
use super::figure::Heading;
use super::font::Weight;
use super::lines::{DASH, DOT};
use super::text::{room, shortened, wrapped};
use super::{Figure, FigureKind};

/// Width of charts between the paddings, and height of their data.
pub(super) const WIDTH: f64 = 600.0;
pub(super) const HEIGHT: f64 = 260.0;
/// Room around a figure.
pub(super) const PADDING: f64 = 20.0;
/// From the upper edge of a figure to the baseline of its title.
const TITLE_BASELINE: f64 = PADDING + 12.0;
/// From one line of text to the next.
pub(super) const LEADING: f64 = 18.0;
/// Width of a legend's key, and the room after it.
const KEY: f64 = 18.0;
const KEY_GAP: f64 = 7.0;
/// Between the entries of a legend.
const ENTRY_GAP: f64 = 20.0;
/// From the baseline of a y axis' title to the data: its uppermost label is between them.
pub(super) const Y_TITLE: f64 = 13.0;

/// What an entry of a legend explains.
#[derive(Clone, Copy, Debug)]
pub(super) enum LegendKey {
    Line(RGBColor, f64),
    Dashed(RGBColor),
    Dotted(RGBColor),
    Dot(RGBColor),
    /// A small dot, covering so much of what is below.
    Speck(RGBColor, f64),
    /// A line between two short ones.
    Spread(RGBColor),
    Bar(RGBColor, f64),
    Ring(RGBColor),
    Frame(RGBColor),
    Cross(RGBColor),
}

/// What must not be overlooked.
const LOUD: Type = Type {
    size: 12.0,
    weight: Weight::SemiBold,
    colour: ALARM,
};
/// Half of a cross's side, in pixels.
pub(super) const CROSS: f64 = 3.5;
/// Width of the lines around a faint area.
pub(super) const BAR_SIDES: f64 = 0.8;
/// Width of the line around what is hollow.
pub(super) const RIM: f64 = 1.6;

/// The text around a figure: title, subtitle, alarm, legend and notes, wrapped to a width.
#[derive(Clone, Debug)]
pub(super) struct Caption {
    /// Width between the paddings.
    width: f64,
    title: String,
    subtitle: Vec<String>,
    alarm: Vec<String>,
    legend: Vec<Vec<(LegendKey, String)>>,
    notes: Vec<String>,
}

impl Caption {
    /// Laid out for a width.
    pub fn new(
        width: f64,
        title: &str,
        subtitle: &str,
        legend: Vec<(LegendKey, String)>,
        notes: &[String],
    ) -> Self {
        let mut rows: Vec<Vec<(LegendKey, String)>> = Vec::new();
        let mut used = f64::INFINITY;
        for (key, text) in legend {
            let text = shortened(&text, LABEL.weight, LABEL.size, width - KEY - KEY_GAP);
            let entry = entry_width(&text);
            if used + ENTRY_GAP + entry > width {
                rows.push(Vec::new());
                used = -ENTRY_GAP;
            }
            used += ENTRY_GAP + entry;
            rows.last_mut()
                .expect("a first row is begun")
                .push((key, text));
        }
        let fitted = |text: &str, look: Type| wrapped(text, look.weight, look.size, width);
        Self {
            width,
            title: shortened(title, TITLE.weight, TITLE.size, width),
            subtitle: fitted(subtitle, NOTE),
            alarm: Vec::new(),
            legend: rows,
            notes: notes.iter().flat_map(|note| fitted(note, NOTE)).collect(),
        }
    }

    /// With a line below the subtitle that must not be overlooked.
    pub fn alarmed(mut self, alarm: &str) -> Self {
        self.alarm = wrapped(alarm, LOUD.weight, LOUD.size, self.width);
        self
    }

    /// Height of what is above the data, padding included.
    pub fn above(&self) -> f64 {
        let lines = (1 + self.subtitle.len() + self.alarm.len() + self.legend.len()) as f64;
        let gap = if self.legend.is_empty() { 10.0 } else { 14.0 };
        PADDING + lines * LEADING + gap
    }

    /// Height of what is below the data, padding included.
    pub fn below(&self) -> f64 {
        PADDING + self.notes.len() as f64 * LEADING
    }

    /// Title and subtitle by themselves.
    fn titles(&self) -> Heading {
        let height = (1 + self.subtitle.len()) as f64 * LEADING;
        let canvas = Canvas::new(self.width + 2.0 * PADDING, PADDING + height);
        let mut baseline = TITLE_BASELINE;
        canvas.text((PADDING, baseline), HPos::Left, &self.title, TITLE);
        for line in &self.subtitle {
            baseline += LEADING;
            canvas.text((PADDING, baseline), HPos::Left, line, NOTE);
        }
        Heading {
            drawing: canvas.into_drawing(),
            height: height as u32,
        }
    }

    /// Writes the rest of the text above the data at the top, and the notes below `notes_below`.
    fn write(&self, canvas: &Canvas, notes_below: f64) {
        let left = PADDING;
        let mut baseline = TITLE_BASELINE + self.subtitle.len() as f64 * LEADING;
        for line in &self.alarm {
            baseline += LEADING;
            canvas.text((left, baseline), HPos::Left, line, LOUD);
        }
        baseline += 8.0;
        for row in &self.legend {
            baseline += LEADING;
            let mut x = left;
            for (key, text) in row {
                draw_key(canvas, *key, (x, baseline - 4.3));
                canvas.text((x + KEY + KEY_GAP, baseline), HPos::Left, text, LABEL);
                x += entry_width(text) + ENTRY_GAP;
            }
        }
        for (place, line) in self.notes.iter().enumerate() {
            let baseline = notes_below + (place + 1) as f64 * LEADING - 4.0;
            canvas.text((left, baseline), HPos::Left, line, NOTE);
        }
    }

    /// A figure of what was drawn and of this text, the notes below `notes_below`.
    pub fn finish(&self, canvas: Canvas, kind: FigureKind, notes_below: f64) -> Figure {
        self.write(&canvas, notes_below);
        canvas.finish(kind, self.aloud(), self.titles())
    }

    /// Title, subtitle and alarm as one text, for screen readers.
    fn aloud(&self) -> String {
        let lines = self.subtitle.iter().chain(&self.alarm);
        let lines: Vec<&str> = lines.map(String::as_str).collect();
        format!("{}: {}", self.title, lines.join(" "))
    }

    /// Width that it was laid out for.
    pub fn width(&self) -> f64 {
        self.width
    }
}

fn entry_width(text: &str) -> f64 {
    KEY + KEY_GAP + room(text, LABEL.weight, LABEL.size)
}

fn draw_key(canvas: &Canvas, key: LegendKey, (x, y): (f64, f64)) {
    match key {
        LegendKey::Line(colour, width) => {
            canvas.line(&[(x, y), (x + KEY, y)], line(colour, width));
        }
        LegendKey::Dashed(colour) => dashes(canvas, (x, y), colour, DASH),
        LegendKey::Dotted(colour) => dashes(canvas, (x, y), colour, DOT),
        LegendKey::Dot(colour) => canvas.circle((x + KEY / 2.0, y), 3.0, colour.filled()),
        LegendKey::Speck(colour, opacity) => {
            canvas.circle((x + KEY / 2.0, y), 2.0, colour.mix(opacity).filled());
        }
        LegendKey::Spread(colour) => {
            let (middle, style) = (x + KEY / 2.0, line(colour, 1.2));
            canvas.line(&[(middle, y - 5.0), (middle, y + 5.0)], style);
            for end in [y - 5.0, y + 5.0] {
                canvas.line(&[(middle - 4.0, end), (middle + 4.0, end)], style);
            }
        }
        LegendKey::Bar(colour, opacity) => {
            let place = Rect {
                left: x,
                top: y - 5.0,
                width: KEY,
                height: 10.0,
            };
            bar(canvas, place, colour, opacity);
        }
        LegendKey::Ring(colour) => ring(canvas, (x + KEY / 2.0, y), 3.5, colour),
        LegendKey::Frame(colour) => {
            let place = Rect {
                left: x + 1.0,
                top: y - 5.0,
                width: KEY - 2.0,
                height: 10.0,
            };
            canvas.rectangle(place, line(colour, RIM));
        }
        LegendKey::Cross(colour) => cross(canvas, (x + KEY / 2.0, y), CROSS, colour),
    }
}

/// An area in a colour, with sides in that colour where it is too faint to be seen by itself.
pub(super) fn bar(canvas: &Canvas, place: Rect, colour: RGBColor, opacity: f64) {
    canvas.rectangle(place, colour.mix(opacity).filled());
    if opacity < 1.0 {
        canvas.rectangle(place, line(colour, BAR_SIDES));
    }
}

/// A key's line of dashes and gaps of so many pixels.
fn dashes(canvas: &Canvas, (x, y): (f64, f64), colour: RGBColor, pattern: [f64; 2]) {
    let ends = [(x, y), (x + KEY, y)];
    canvas.with_dashes(pattern, || canvas.line(&ends, line(colour, 1.5)));
}

pub(super) fn ring(canvas: &Canvas, middle: (f64, f64), radius: f64, colour: RGBColor) {
    canvas.circle(middle, radius, PAPER.filled());
    canvas.circle(middle, radius, line(colour, RIM));
}

/// Two lines across each other, of this half side.
pub(super) fn cross(canvas: &Canvas, (x, y): (f64, f64), half: f64, colour: RGBColor) {
    for rise in [-half, half] {
        let ends = [(x - half, y - rise), (x + half, y + rise)];
        canvas.line(&ends, line(colour, 1.8));
    }
}

/// A figure with one chart.
pub(super) struct ChartFigure {
    pub kind: FigureKind,
    pub caption: Caption,
    pub x: Axis,
    pub y: Axis,
    /// A second y axis, right of the data.
    pub second: Option<Axis>,
    /// Height of the data.
    pub height: f64,
    /// Room right of the data.
    pub right: f64,
}

impl ChartFigure {
    /// Room left of the data, for a y axis.
    pub fn left(y: &Axis) -> f64 {
        PADDING + y.widest_label(TICK.size) + 2.0 * TICK_LENGTH
    }

    /// Room right of the data that keeps the labels of the x axis within the figure.
    pub fn least_right(x: &Axis) -> f64 {
        if x.upright {
            PADDING
        } else {
            PADDING.max(x.widest_label(TICK.size) / 2.0 + 2.0)
        }
    }

    /// Room right of the data, for a second y axis.
    pub fn right_of(second: &Axis) -> f64 {
        Self::left(second)
    }

    /// Draws the axes, then the data by `plot`, then the caption.
    pub fn draw(self, plot: impl FnOnce(&Canvas, &mut Chart<'_>, Rect)) -> Figure {
        let titled = LEADING + 4.0;
        let left = Self::left(&self.y);
        let place = Rect {
            left,
            top: self.caption.above() + titled,
            width: self.caption.width() + 2.0 * PADDING - left - self.right,
            height: self.height,
        };
        // Tick labels and the x axis' title.
        let labels = if self.x.upright {
            self.x.widest_label(TICK.size) + 4.0
        } else {
            LEADING
        };
        let axis_end = place.bottom() + 2.0 * TICK_LENGTH + labels + LEADING - 6.0;
        let canvas = Canvas::new(
            self.caption.width() + 2.0 * PADDING,
            axis_end + self.caption.below(),
        );
        let mut chart = canvas.chart(place, &self.x, &self.y, Lines::Grid);
        plot(&canvas, &mut chart, place);
        canvas.text(
            (PADDING, place.top - Y_TITLE),
            HPos::Left,
            &self.y.title,
            TICK,
        );
        if let Some(second) = &self.second {
            let x = place.right();
            canvas.line(&[(x, place.top), (x, place.bottom())], line(SOFT, 1.0));
            right_ticks(&canvas, place, second);
            let title = (PADDING + self.caption.width(), place.top - Y_TITLE);
            canvas.text(title, HPos::Right, &second.title, TICK);
        }
        let middle = (place.left + place.width / 2.0, axis_end - 3.0);
        canvas.text(middle, HPos::Center, &self.x.title, TICK);
        drop(chart);
        self.caption.finish(canvas, self.kind, axis_end + 6.0)
    }
}

/// The ticks of an axis from a place's lower right corner to its upper one, with their labels.
pub(super) fn right_ticks(canvas: &Canvas, place: Rect, axis: &Axis) {
    let x = place.right();
    for (at, label) in &axis.ticks {
        let y = place.bottom() - axis.share(*at) * place.height;
        canvas.line(&[(x, y), (x + TICK_LENGTH, y)], line(SOFT, 1.0));
        let text = (x + 2.0 * TICK_LENGTH, y + 4.0);
        canvas.text(text, HPos::Left, label, TICK);
    }
}

/// Says in the middle of an empty chart why it is empty.
pub(super) fn empty(canvas: &Canvas, place: Rect, why: &str) {
    let middle = (
        place.left + place.width / 2.0,
        place.top + place.height / 2.0 + 4.0,
    );
    let text = shortened(why, NOTE.weight, NOTE.size, place.width - 8.0);
    canvas.text(middle, HPos::Center, &text, NOTE);
}

/// The sides of a picture.
pub(super) fn frame(canvas: &Canvas, place: Rect) {
    canvas.rectangle(place, line(SOFT, 0.8));
}
