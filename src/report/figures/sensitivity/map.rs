//! A measure over two numbers that were crossed.

use plotters::style::text_anchor::HPos;
use plotters::style::{Color, RGBColor};

use crate::plan::ThresholdScale;
use crate::report::figures::axis::Axis;
use crate::report::figures::canvas::{Canvas, Lines, Rect, TICK, TICK_LENGTH, Type, line};
use crate::report::figures::chart::{
    CROSS, Caption, LEADING, LegendKey, PADDING, RIM, Y_TITLE, cross, frame,
};
use crate::report::figures::colour_bar::{self, colour_bar};
use crate::report::figures::colours::{
    ALARM, GRID, INK, PAPER, SOFT, cell as colour_of, cells, text_on,
};
use crate::report::figures::text::{minus, room, things};
use crate::report::figures::{Figure, FigureKind, SweepFigure};
use crate::report::sensitivity::labels;
use crate::sensitivity::{Measure, Results, Series, Setting};

use super::notes::{self, Remarks};
use super::{DrawnMeasure, tau_scale};

/// Sides in pixels that a map comes close to, and the least and greatest side of a cell.
const SIDES: [f64; 2] = [560.0, 400.0];
const LEAST_CELL: f64 = 3.0;
const LARGEST_CELL: [f64; 2] = [104.0, 56.0];
const GAP: f64 = 1.0;
/// From the map to the colour bar, and its steps.
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
    /// The scale of its thresholds.
    tau: ThresholdScale,
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

/// A figure for each two parameters that were crossed and each measure.
pub fn figures(results: &Results) -> Vec<Figure> {
    let mut maps: Vec<([Series; 2], ThresholdScale, Vec<Setting<'_>>)> = Vec::new();
    let merges = |setting: &Setting<'_>| setting.variation.control.is_none();
    for setting in results.settings(Series::Grid).filter(merges) {
        let &[(x, _), (y, _)] = &setting.variation.numbers()[..] else {
            continue;
        };
        let (crossed, tau) = ([x, y], tau_scale(&setting));
        let known = maps.iter_mut().find(|map| (map.0, map.1) == (crossed, tau));
        match known {
            Some((.., settings)) => settings.push(setting),
            None => maps.push((crossed, tau, vec![setting])),
        }
    }
    let mut figures = Vec::new();
    for ([x, y], tau, settings) in maps {
        let map = Map {
            results,
            x,
            y,
            tau,
            columns: values(&settings, x),
            rows: values(&settings, y),
            settings,
        };
        figures.extend(results.measures().iter().map(|&measure| map.draw(measure)));
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
        label: minus(&labels::value(setting.variation, series).unwrap_or_default()),
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
        // Not broken across lines.
        minus(&labels::setting(setting.variation))
            .replace(", ", " ")
            .replace(' ', "\u{a0}")
    }

    fn caption(&self, reading: &DrawnMeasure, is_level_shown: bool, width: f64) -> Caption {
        let results = self.results;
        let remarks = Remarks::on(results, &self.settings, reading.measure, |s| self.call(s));
        let mut below = remarks.notes("");
        let cells = self.columns.len() * self.rows.len();
        let absent = cells.saturating_sub(self.settings.len());
        if absent > 0 {
            let absent = things(absent as u64, "setting");
            below.push(format!("Empty: {absent} not known."));
        }
        let mut legend = Vec::new();
        let baseline = reading.baseline.map(|baseline| reading.write(baseline));
        match baseline {
            Some(baseline) if is_level_shown => {
                legend.push((LegendKey::Line(INK, 2.0), format!("unmerged: {baseline}")));
            }
            // It lies beyond the colour bar, which cannot mark it.
            Some(baseline) => {
                below.insert(0, format!("Unmerged: {baseline}, beyond these colours."))
            }
            None => {}
        }
        remarks.explain(LegendKey::Frame(colour_of(0.5)), &mut legend);
        let varying = format!(
            "over {} and {}",
            labels::symbol(self.x),
            labels::symbol(self.y)
        );
        remarks.alarm(Caption::new(
            width,
            &notes::title(results, reading.measure, &varying),
            &notes::subtitle(results, &[self.x, self.y], &self.settings, "mean"),
            legend,
            &below,
        ))
    }

    fn draw(&self, measure: Measure) -> Figure {
        let reading = DrawnMeasure::of(self.results, &self.settings, measure);
        let means: Vec<f64> = self
            .settings
            .iter()
            .filter_map(|setting| reading.mean(setting))
            .collect();
        let colours = (!means.is_empty()).then(|| reading.axis(means));
        let level = reading.baseline.and_then(|level| reading.drawable(level));
        let level = level
            .zip(colours.as_ref())
            .map(|(level, axis)| axis.share(level));
        let level = level.filter(|share| (0.0..=1.0).contains(share));

        let cell = [
            cell_side(0, self.columns.len()),
            cell_side(1, self.rows.len()),
        ];
        let width = cell[0] * self.columns.len() as f64;
        let height = cell[1] * self.rows.len() as f64;
        let titled = |series: Series| match series {
            Series::Tau => "threshold \u{3c4}",
            series => labels::symbol(series),
        };
        let x = Axis::labelled(&labels(&self.columns), width, TICK.size, titled(self.x));
        let y = Axis::stacked(&labels(&self.rows), height, TICK.size, titled(self.y));
        let bar_width = colours
            .as_ref()
            .map_or(0.0, |axis| BAR_GAP + colour_bar::width_with(axis));
        let left = PADDING + y.widest_label(TICK.size) + 2.0 * TICK_LENGTH;
        let least_width = (left - PADDING + width + bar_width).max(LEAST);
        let caption = self.caption(&reading, level.is_some(), least_width);

        let place = Rect {
            left,
            top: caption.above() + LEADING + 4.0,
            width,
            height,
        };
        let axis_end = place.bottom() + 2.0 * TICK_LENGTH + 2.0 * LEADING - 6.0;
        let bar = Rect {
            left: place.right() + BAR_GAP,
            width: colour_bar::WIDTH,
            height: height.max(LEAST_HEIGHT),
            ..place
        };
        let end = axis_end.max(bar.bottom() + LEADING / 2.0) + 6.0;
        let canvas = Canvas::new(caption.width() + 2.0 * PADDING, end + caption.below());
        self.draw_cells(&canvas, place, cell, &reading, colours.as_ref());
        canvas.chart(place, &x, &y, Lines::Ticks);
        frame(&canvas, place);
        let title = (PADDING, place.top - Y_TITLE);
        canvas.text(title, HPos::Left, &y.title, TICK);
        let half = room(&x.title, TICK.weight, TICK.size) / 2.0;
        let middle = place.left + (width / 2.0).max(half - TICK_LENGTH);
        canvas.text((middle, axis_end - 3.0), HPos::Center, &x.title, TICK);
        if let Some(axis) = &colours {
            colour_bar(&canvas, bar, cells(BAR_STEPS).rev(), axis, Y_TITLE);
            if let Some(share) = level {
                let y = bar.bottom() - share * bar.height;
                let ends = [(bar.left - 5.0, y), (bar.right() + 2.0, y)];
                canvas.line(&ends, line(INK, 2.0));
            }
        }
        let kind = FigureKind::Sweep(SweepFigure {
            series: Series::Grid,
            crossed: Some([self.x, self.y]),
            tau: self.tau,
            measure,
        });
        caption.finish(canvas, kind, end)
    }

    fn draw_cells(
        &self,
        canvas: &Canvas,
        map: Rect,
        [wide, high]: [f64; 2],
        reading: &DrawnMeasure,
        colours: Option<&Axis>,
    ) {
        let gap = if wide.min(high) < 8.0 { 0.0 } else { GAP };
        for setting in &self.settings {
            let column = place_of(&self.columns, number(setting, self.x));
            let row = place_of(&self.rows, number(setting, self.y));
            let cell = Rect {
                left: map.left + column * wide + gap / 2.0,
                top: map.bottom() - (row + 1.0) * high + gap / 2.0,
                width: wide - gap,
                height: high - gap,
            };
            let mean = reading.mean(setting).zip(colours);
            let colour = mean.map(|(mean, axis)| colour_of(axis.share(mean)));
            let average = setting.average(reading.measure);
            let text = average.map(|average| reading.write(average.mean));
            draw_cell(canvas, cell, setting, colour, text.as_deref());
        }
    }
}

/// Pixels of a cell along an axis with so many.
fn cell_side(axis: usize, count: usize) -> f64 {
    let even = (SIDES[axis] / count as f64).floor();
    even.clamp(LEAST_CELL, LARGEST_CELL[axis])
}

/// One cell: filled if something merged, else its sides alone; crossed if it failed.
fn draw_cell(
    canvas: &Canvas,
    cell: Rect,
    setting: &Setting<'_>,
    colour: Option<RGBColor>,
    number: Option<&str>,
) {
    let (middle, centre) = (cell.left + cell.width / 2.0, cell.top + cell.height / 2.0);
    let hollow = setting.merged_nothing();
    match colour {
        Some(colour) if hollow => {
            let rim = RIM.min(cell.width.min(cell.height) / 4.0);
            let inside = Rect {
                left: cell.left + rim,
                top: cell.top + rim,
                width: cell.width - 2.0 * rim,
                height: cell.height - 2.0 * rim,
            };
            canvas.rectangle(inside, line(colour, rim));
            // The lightest colours are hardly seen as lines.
            canvas.rectangle(cell, line(SOFT, 0.5));
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
        let half = (cell.width.min(cell.height) / 2.0 - 1.0).clamp(1.0, 2.0 * CROSS);
        // In the corner, beside the mean of the repetitions that did not fail.
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
        // A ground of its own, so that the cross is seen on cells of any colour.
        let ground = Rect {
            left: at.0 - half - 1.5,
            top: at.1 - half - 1.5,
            width: 2.0 * half + 3.0,
            height: 2.0 * half + 3.0,
        };
        if colour.is_some() {
            canvas.rectangle(ground, PAPER.filled());
        }
        cross(canvas, at, half, ALARM);
    }
}
