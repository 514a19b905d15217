//! A measure over two numbers that were crossed.

use plotters::style::text_anchor::HPos;
use plotters::style::{Color, RGBColor};

use crate::report::figures::Figure;
use crate::report::figures::axis::Axis;
use crate::report::figures::canvas::{Canvas, Lines, Place, TICK, TICK_LENGTH, Type, line};
use crate::report::figures::chart::{
    CROSS, LEADING, PADDING, RIM, Sign, Words, Y_TITLE, cross, frame, right_ticks,
};
use crate::report::figures::colours::{ALARM, GRID, INK, ON_DARK, depth, text_on};
use crate::report::figures::raster;
use crate::report::figures::text::{minus, name, room, things};
use crate::report::sensitivity::words::{self, Written};
use crate::sensitivity::{Measure, Results, Series, Setting};

use super::notes::{self, Hollow};
use super::{axis_title, drawable, is_tau_share};

/// Pixels along the sides that a map is brought near to, and of a cell at least and at most.
const SIDES: [f64; 2] = [560.0, 400.0];
const LEAST_CELL: f64 = 3.0;
const LARGEST_CELL: [f64; 2] = [104.0, 56.0];
/// Between cells.
const GAP: f64 = 1.0;
/// Width of the colour bar, from the map to it, and its steps.
const BAR: f64 = 14.0;
const BAR_GAP: f64 = 28.0;
const BAR_STEPS: usize = 128;
/// Least width, for the words, and least height, for the bar.
const LEAST: f64 = 560.0;
const LEAST_HEIGHT: f64 = 110.0;
/// A cell with room for less does without its number.
const NUMBER_ROOM: f64 = 15.0;

/// What is drawn: all settings that cross the same two parameters.
struct Map<'a> {
    results: &'a Results,
    x: Series,
    y: Series,
    settings: Vec<Setting<'a>>,
    /// The values of x, rising, and those of y.
    columns: Vec<Value>,
    rows: Vec<Value>,
}

/// A value of a parameter.
struct Value {
    number: f64,
    label: String,
}

/// A figure for each two parameters that were crossed and each measure, as `(stem, figure)`.
pub fn figures(results: &Results) -> Vec<(String, Figure)> {
    let mut maps: Vec<([Series; 2], bool, Vec<Setting<'_>>)> = Vec::new();
    for setting in results.settings(Series::Grid) {
        let &[(x, _), (y, _)] = &setting.variation.numbers()[..] else {
            continue;
        };
        let (crossed, is_share) = ([x, y], is_tau_share(&setting));
        let known = maps
            .iter_mut()
            .find(|map| (map.0, map.1) == (crossed, is_share));
        match known {
            Some((.., settings)) => settings.push(setting),
            None => maps.push((crossed, is_share, vec![setting])),
        }
    }
    let mut figures = Vec::new();
    for ([x, y], is_share, settings) in maps {
        let map = Map {
            results,
            x,
            y,
            columns: values(&settings, x),
            rows: values(&settings, y),
            settings,
        };
        let kind = if is_share { "-share" } else { "" };
        for &measure in results.measures() {
            let stem = format!("grid-{x}{kind}-{y}-{}", measure.name());
            figures.push((stem, map.draw(measure)));
        }
    }
    figures
}

fn number(setting: &Setting<'_>, series: Series) -> f64 {
    let numbers = setting.variation.numbers().into_iter();
    let mut of_series = numbers.filter(|(of, _)| *of == series);
    of_series.next().map_or(0.0, |(_, number)| number)
}

/// The values of a parameter, rising.
fn values(settings: &[Setting<'_>], series: Series) -> Vec<Value> {
    let values = settings.iter().map(|setting| Value {
        number: number(setting, series),
        label: minus(&words::value(setting.variation, series).unwrap_or_default()),
    });
    let mut values: Vec<Value> = values.collect();
    values.sort_by(|a, b| a.number.total_cmp(&b.number));
    values.dedup_by(|a, b| a.number == b.number);
    values
}

fn labels(values: &[Value]) -> Vec<String> {
    values.iter().map(|value| value.label.clone()).collect()
}

/// Where a value is among rising ones.
fn place_of(values: &[Value], number: f64) -> f64 {
    values.partition_point(|value| value.number < number) as f64
}

impl Map<'_> {
    fn call(&self, setting: &Setting<'_>) -> String {
        // Held together where the line is broken.
        minus(&words::setting(setting.variation))
            .replace(", ", " ")
            .replace(' ', "\u{a0}")
    }

    fn draw(&self, measure: Measure) -> Figure {
        let results = self.results;
        let scale = if words::is_share(measure) { 100.0 } else { 1.0 };
        let mean = |setting: &Setting<'_>| setting.average(measure).map(|average| average.mean);
        let drawn_mean = |setting: &Setting<'_>| drawable(scale * mean(setting)?);
        let means: Vec<f64> = self.settings.iter().filter_map(drawn_mean).collect();
        let ends = (
            means.iter().copied().reduce(f64::min),
            means.iter().copied().reduce(f64::max),
        );
        let baseline = results.baseline(measure);
        let level = baseline.and_then(|baseline| drawable(scale * baseline));
        let raw = self.settings.iter().filter_map(mean);
        let written = Written::of(measure, raw.chain(baseline));
        let measured = name(&words::measure(results, measure));

        let cell = |axis: usize, count: usize| {
            let even = (SIDES[axis] / count as f64).floor();
            even.clamp(LEAST_CELL, LARGEST_CELL[axis])
        };
        let (wide, high) = (cell(0, self.columns.len()), cell(1, self.rows.len()));
        let (width, height) = (
            wide * self.columns.len() as f64,
            high * self.rows.len() as f64,
        );
        let titled = |series: Series| match series {
            Series::Tau => "threshold \u{3c4}",
            series => words::sign(series),
        };
        let x = Axis::labelled(&labels(&self.columns), width, TICK.size, titled(self.x));
        let y = Axis::stacked(&labels(&self.rows), height, TICK.size, titled(self.y));
        let colours = ends.0.zip(ends.1).map(|(least, greatest)| {
            let axis = Axis::measured(least, greatest, 5, &axis_title(&measured));
            match words::is_share(measure) {
                true => axis.in_percent(),
                false => axis,
            }
        });
        let bar_width = colours.as_ref().map_or(0.0, |axis| {
            let labels = BAR + 2.0 * TICK_LENGTH + axis.widest_label(TICK.size);
            BAR_GAP + labels.max(room(&axis.title, TICK.weight, TICK.size))
        });
        let left = PADDING + y.widest_label(TICK.size) + 2.0 * TICK_LENGTH;

        let call = |setting: &Setting<'_>| self.call(setting);
        let hollow = Hollow::of(&self.settings, call);
        let mut below: Vec<String> = hollow.note("").into_iter().collect();
        below.extend(notes::others(results, &self.settings, "", call));
        let absent = self.columns.len() * self.rows.len() - self.settings.len();
        if absent > 0 {
            below.push(format!(
                "Empty: {} not known.",
                things(absent as u64, "setting")
            ));
        }
        if baseline.is_none() {
            below.push("What the unmerged checkpoint comes to is not known.".to_owned());
        }
        // Where the baseline is beyond the colours, no line on the bar could stand for it.
        let level_at = level
            .zip(colours.as_ref())
            .map(|(level, axis)| axis.share(level));
        let level_at = level_at.filter(|share| (0.0..=1.0).contains(share));
        let mut legend = Vec::new();
        if let Some(baseline) = baseline {
            let baseline = minus(&written.write(baseline));
            match level_at {
                Some(_) => legend.push((Sign::Line(INK, 2.0), format!("unmerged: {baseline}"))),
                None => below.insert(0, format!("Unmerged: {baseline}, beyond these colours.")),
            }
        }
        if hollow.any() {
            legend.push((Sign::Frame(depth(0.5)), "nothing merged".to_owned()));
        }
        if self
            .settings
            .iter()
            .any(|setting| setting.failed().next().is_some())
        {
            legend.push((Sign::Cross(ALARM), "failed".to_owned()));
        }
        let varying = format!("over {} and {}", words::sign(self.x), words::sign(self.y));
        let words = Words::new(
            (left - PADDING + width + bar_width).max(LEAST),
            &notes::title(results, measure, &varying),
            &notes::subtitle(results, &[self.x, self.y], &self.settings, "mean"),
            legend,
            &below,
        );
        let words = match hollow.alarm() {
            Some(alarm) => words.alarmed(&alarm),
            None => words,
        };

        let place = Place {
            left,
            top: words.above() + LEADING + 4.0,
            width,
            height,
        };
        let axis_end = place.bottom() + 2.0 * TICK_LENGTH + 2.0 * LEADING - 6.0;
        let bar = Place {
            left: place.right() + BAR_GAP,
            width: BAR,
            height: height.max(LEAST_HEIGHT),
            ..place
        };
        let end = axis_end.max(bar.bottom() + LEADING / 2.0);
        let canvas = Canvas::new(words.width() + 2.0 * PADDING, end + 6.0 + words.below());
        for setting in &self.settings {
            let column = place_of(&self.columns, number(setting, self.x));
            let row = place_of(&self.rows, number(setting, self.y));
            let gap = if wide.min(high) < 8.0 { 0.0 } else { GAP };
            let cell = Place {
                left: place.left + column * wide + gap / 2.0,
                top: place.bottom() - (row + 1.0) * high + gap / 2.0,
                width: wide - gap,
                height: high - gap,
            };
            let shown = drawn_mean(setting).zip(colours.as_ref());
            let colour = shown.map(|(mean, axis)| depth(axis.share(mean)));
            let text = mean(setting).map(|mean| minus(&written.write(mean)));
            draw_cell(&canvas, cell, setting, colour, text.as_deref());
        }
        canvas.chart(place, &x, &y, Lines::Ticks);
        frame(&canvas, place);
        let title = (PADDING, place.top - Y_TITLE);
        canvas.text(title, HPos::Left, &y.title, TICK);
        let half = room(&x.title, TICK.weight, TICK.size) / 2.0;
        let middle = place.left + (width / 2.0).max(half - TICK_LENGTH);
        canvas.text((middle, axis_end - 3.0), HPos::Center, &x.title, TICK);
        if let Some(axis) = &colours {
            colour_bar(&canvas, bar, axis, level_at);
        }
        words.write(&canvas, end + 6.0);
        canvas.finish(&words.aloud())
    }
}

/// One cell: filled if something merged, else its sides alone; crossed if it failed.
fn draw_cell(
    canvas: &Canvas,
    cell: Place,
    setting: &Setting<'_>,
    colour: Option<RGBColor>,
    number: Option<&str>,
) {
    let (middle, centre) = (cell.left + cell.width / 2.0, cell.top + cell.height / 2.0);
    let hollow = setting.merged_nothing();
    match colour {
        Some(colour) if hollow => {
            let rim = RIM.min(cell.width.min(cell.height) / 4.0);
            let inside = Place {
                left: cell.left + rim,
                top: cell.top + rim,
                width: cell.width - 2.0 * rim,
                height: cell.height - 2.0 * rim,
            };
            canvas.rectangle(inside, line(colour, rim));
        }
        Some(colour) => canvas.rectangle(cell, colour.filled()),
        None => canvas.rectangle(cell, GRID.mix(0.6).filled()),
    }
    let look = Type {
        colour: match colour {
            Some(colour) if !hollow => text_on(colour),
            _ => INK,
        },
        ..TICK
    };
    let fits = |text: &&str| {
        cell.height >= NUMBER_ROOM && room(text, look.weight, look.size) <= cell.width - 4.0
    };
    if let Some(text) = number.filter(fits) {
        canvas.text((middle, centre + 4.0), HPos::Center, text, look);
    }
    if setting.failed().next().is_some() {
        let half = (cell.width.min(cell.height) / 2.0 - 1.0)
            .min(2.0 * CROSS)
            .max(1.0);
        // Beside the number of the repetitions that did not fail.
        let at = match colour {
            None => (middle, centre),
            Some(_) => {
                let corner = CROSS.min(half) + 2.0;
                (cell.left + cell.width - corner, cell.top + corner)
            }
        };
        let half = if colour.is_none() {
            half
        } else {
            half.min(CROSS - 1.0)
        };
        // Seen on cells of every colour.
        let ground = Place {
            left: at.0 - half - 1.5,
            top: at.1 - half - 1.5,
            width: 2.0 * half + 3.0,
            height: 2.0 * half + 3.0,
        };
        if colour.is_some() {
            canvas.rectangle(ground, ON_DARK.filled());
        }
        cross(canvas, at, half, ALARM);
    }
}

/// What the colours stand for, with the baseline at a share of the way up.
fn colour_bar(canvas: &Canvas, place: Place, axis: &Axis, baseline: Option<f64>) {
    let steps = (0..BAR_STEPS).rev();
    let pixels: Vec<u8> = steps
        .flat_map(|step| {
            let colour = depth(step as f64 / (BAR_STEPS - 1) as f64);
            [colour.0, colour.1, colour.2]
        })
        .collect();
    canvas.image(place, &raster::rgb(1, BAR_STEPS, &pixels));
    frame(canvas, place);
    let title = (place.left, place.top - Y_TITLE);
    canvas.text(title, HPos::Left, &axis.title, TICK);
    right_ticks(canvas, place, axis);
    if let Some(share) = baseline {
        let y = place.bottom() - share * place.height;
        canvas.line(
            &[(place.left - 5.0, y), (place.right() + 2.0, y)],
            line(INK, 2.0),
        );
    }
}
