//! A measure over what varies, with its spread, the baseline, and what merged.

use plotters::series::LineSeries;
use plotters::style::Color;

use crate::report::figures::Figure;
use crate::report::figures::axis::Axis;
use crate::report::figures::canvas::{Canvas, Place, TICK, drawn, line};
use crate::report::figures::chart::{CROSS, ChartFigure, PADDING, Sign, Words, cross, empty, ring};
use crate::report::figures::colours::{ACCENT, ALARM, INK, SECOND};
use crate::report::figures::text::{self, minus, name};
use crate::report::figures::thresholds::{HEIGHT, WIDTH, dashed_line};
use crate::report::sensitivity::words::{self, Written};
use crate::sensitivity::{Average, Measure, Results, Series, Setting};

use super::notes::{self, Hollow};
use super::{axis_title, drawable, is_tau_share};

/// Pixels that a layer needs, and the most that all get.
const EACH: f64 = 12.0;
const WIDEST: f64 = 1500.0;
/// Radius of a mean, of a single repetition, and half of an error bar's ends, at most.
const MEAN: f64 = 4.0;
const SINGLE: f64 = 2.0;
const CAP: f64 = 4.0;
/// Width of a bar at most, and as a share of what is between two.
const WIDEST_BAR: f64 = 22.0;
const BAR: f64 = 0.6;
/// How strongly bars and single repetitions are drawn.
const BAR_OPACITY: f64 = 0.3;
const FAINT: f64 = 0.45;

/// A series of which one figure is drawn for each measure.
struct Curve<'a> {
    results: &'a Results,
    series: Series,
    settings: Vec<Setting<'a>>,
}

/// A setting as it is drawn.
struct Mark {
    x: f64,
    mean: Option<f64>,
    deviation: Option<f64>,
    /// Values of several repetitions, and whether each merged nothing.
    repeats: Vec<(f64, bool)>,
    /// The share of kernels that merged, in percent.
    share: f64,
    hollow: bool,
    failed: bool,
}

/// A figure for each measure, as `(stem, figure)`.
pub fn figures(results: &Results, series: Series) -> Vec<(String, Figure)> {
    let (shares, others): (Vec<Setting<'_>>, Vec<Setting<'_>>) =
        results.settings(series).partition(is_tau_share);
    let curves = [(others, ""), (shares, "-share")];
    let mut figures = Vec::new();
    for (settings, kind) in curves {
        if settings.is_empty() {
            continue;
        }
        let curve = Curve {
            results,
            series,
            settings,
        };
        for &measure in results.measures() {
            let stem = format!("{series}{kind}-{}", measure.name());
            figures.push((stem, curve.draw(measure)));
        }
    }
    figures
}

impl<'a> Curve<'a> {
    /// Whether it is over numbers, not over layers.
    fn is_numeric(&self) -> bool {
        matches!(
            self.series,
            Series::Tau | Series::Alpha | Series::Prob | Series::SkipShallow
        )
    }

    fn varying(&self) -> String {
        match self.series {
            Series::Layer => "with one layer merged at a time".to_owned(),
            Series::Stage => "with one stage merged at a time".to_owned(),
            Series::Past => "with all layers past a depth merged".to_owned(),
            series => format!("over {}", words::sign(series)),
        }
    }

    /// What a setting is called in a note.
    fn call(&self, setting: &Setting<'_>) -> String {
        match words::value(setting.variation, self.series) {
            Some(value) => minus(&value),
            None => self.short_name(setting),
        }
    }

    /// What is said before such names.
    fn prefix(&self) -> String {
        match (self.is_numeric(), self.series) {
            (true, series) => format!("{}\u{a0}", words::sign(series)),
            (false, Series::Past) => "depth\u{a0}".to_owned(),
            (false, _) => String::new(),
        }
    }

    /// The name of a layer without what all layers' names end in; for layers past a depth, the depth.
    fn short_name(&self, setting: &Setting<'_>) -> String {
        let Some(scope) = &setting.variation.layers else {
            return String::new();
        };
        match self.series {
            Series::Past => scope.first.saturating_sub(1).to_string(),
            _ => {
                let label = scope.label.strip_suffix(".weight");
                name(label.unwrap_or(&scope.label))
            }
        }
    }

    /// What all names begin with, up to a dot, of which an axis has no need.
    fn common_start(names: &[String]) -> usize {
        let Some((first, others)) = names.split_first() else {
            return 0;
        };
        let common = |end: &usize| {
            let start = &first[..*end];
            others
                .iter()
                .all(|name| name.len() > *end && name.starts_with(start))
        };
        let ends = first.match_indices('.').map(|(dot, _)| dot + 1);
        match others.is_empty() {
            true => 0,
            false => ends.filter(common).max().unwrap_or(0),
        }
    }

    fn marks(&self, measure: Measure) -> Vec<Mark> {
        let scale = if words::is_share(measure) { 100.0 } else { 1.0 };
        let scaled = |number: f64| drawable(scale * number);
        let settings = self.settings.iter().enumerate();
        settings
            .map(|(place, setting)| {
                let average = setting.average(measure);
                let deviation = average.and_then(|average: Average| average.deviation);
                let repeats = setting.points.iter().filter_map(|point| {
                    let value = scaled(measure.of(point)?)?;
                    Some((value, point.merging.merged == 0))
                });
                let repeats: Vec<(f64, bool)> = repeats.collect();
                let numbers = setting.variation.numbers();
                let number = numbers.iter().find(|(series, _)| *series == self.series);
                let share = setting.average(Measure::MergedShare);
                Mark {
                    x: number.map_or(place as f64, |(_, number)| *number),
                    mean: average.and_then(|average| scaled(average.mean)),
                    deviation: deviation.and_then(scaled),
                    repeats: if repeats.len() > 1 {
                        repeats
                    } else {
                        Vec::new()
                    },
                    share: 100.0 * share.map_or(0.0, |share| share.mean),
                    hollow: setting.merged_nothing(),
                    failed: setting.failed().next().is_some(),
                }
            })
            .collect()
    }

    /// The share of kernels that merged, where the figure is over something that changes it and not of it.
    fn second_axis(&self, measure: Measure, marks: &[Mark]) -> Option<Axis> {
        let changes = matches!(
            self.series,
            Series::Tau | Series::Prob | Series::SkipShallow
        );
        (changes && measure != Measure::MergedShare).then(|| {
            let greatest = marks.iter().map(|mark| mark.share).fold(1.0, f64::max);
            Axis::percent(greatest, "kernels merged")
        })
    }

    fn x_axis(&self, marks: &[Mark], length: f64) -> Axis {
        if !self.is_numeric() {
            let names: Vec<String> = self.settings.iter().map(|s| self.short_name(s)).collect();
            let start = Self::common_start(&names);
            let labels: Vec<String> = names.iter().map(|name| name[start..].to_owned()).collect();
            return match self.series {
                Series::Past => {
                    Axis::labelled(&labels, length, TICK.size, "layers past this depth")
                }
                _ => {
                    let what = match self.series {
                        Series::Stage => "stage",
                        _ => "layer",
                    };
                    let mut title = format!("{what}, from the input of the net to its output");
                    if start > 0 {
                        let start =
                            text::shortened(&names[0][..start], TICK.weight, TICK.size, 200.0);
                        title += &format!(" \u{b7} names without \u{201c}{start}\u{201d}");
                    }
                    let axis = Axis::named(&labels, length, TICK.size, &title);
                    let whole = |(place, label): &(f64, String)| labels[*place as usize] == *label;
                    match axis.ticks.iter().all(whole) {
                        true => axis,
                        false => Axis {
                            title: format!("{title} \u{b7} words shortened"),
                            ..axis
                        },
                    }
                }
            };
        }
        let least = marks
            .iter()
            .map(|mark| mark.x)
            .fold(f64::INFINITY, f64::min);
        let greatest = marks
            .iter()
            .map(|mark| mark.x)
            .fold(f64::NEG_INFINITY, f64::max);
        let is_share = self.settings.iter().any(is_tau_share);
        let (unit, domain, title) = match self.series {
            Series::Tau if is_share => {
                let title = "threshold \u{3c4}, as the share of kernels with a partner above it";
                (10.0, 0.0..=100.0, title)
            }
            Series::Tau => (0.1, -1.0..=1.0, "threshold \u{3c4}"),
            Series::Alpha => (
                0.1,
                0.0..=1.0,
                "\u{3b1}: the share of itself that a merged kernel keeps",
            ),
            Series::Prob => (
                0.1,
                0.0..=1.0,
                "p: the probability that a kernel takes its turn",
            ),
            _ => {
                let title = "L_s: the first convolutions, left alone";
                let (first, count) = (least as usize, (greatest - least) as usize + 1);
                return Axis::whole(first, count, 10, title);
            }
        };
        let margin = match greatest > least {
            true => (greatest - least) * 0.05,
            false => unit,
        };
        let values = marks.iter().zip(&self.settings);
        let ticks =
            values.map(|(mark, setting)| (mark.x, self.call(setting).replace('%', "\u{a0}%")));
        let range = least - margin..greatest + margin;
        if let Some(axis) = Axis::at(range, ticks.collect(), length, TICK.size, title) {
            return axis;
        }
        let mut axis = Axis::linear(least - margin..greatest + margin, 9, title);
        axis.ticks.retain(|(at, _)| domain.contains(at));
        match is_share {
            true => axis.in_percent(),
            false => axis,
        }
    }

    fn draw(&self, measure: Measure) -> Figure {
        let results = self.results;
        let marks = self.marks(measure);
        let baseline = results.baseline(measure);
        let means = self
            .settings
            .iter()
            .filter_map(|s| Some(s.average(measure)?.mean));
        let written = Written::of(measure, means.chain(baseline));
        let scale = if words::is_share(measure) { 100.0 } else { 1.0 };
        let level = baseline.and_then(|baseline| drawable(scale * baseline));

        let measured = name(&words::measure(results, measure));
        let y = y_axis(&marks, level, &axis_title(&measured));
        let y = if words::is_share(measure) {
            y.in_percent()
        } else {
            y
        };
        let second = self.second_axis(measure, &marks);
        let width = match self.is_numeric() {
            true => WIDTH,
            false => (marks.len() as f64 * EACH + ChartFigure::left(&y)).clamp(WIDTH, WIDEST),
        };
        let mut right = second.as_ref().map_or(PADDING, ChartFigure::right_of);
        let length = |right: f64| width + 2.0 * PADDING - ChartFigure::left(&y) - right;
        let mut x = self.x_axis(&marks, length(right));
        if ChartFigure::least_right(&x) > right {
            right = ChartFigure::least_right(&x);
            x = self.x_axis(&marks, length(right));
        }

        let call = |setting: &Setting<'_>| self.call(setting);
        let hollow = Hollow::of(&self.settings, call);
        let mut below: Vec<String> = hollow.note(&self.prefix()).into_iter().collect();
        below.extend(notes::others(results, &self.settings, &self.prefix(), call));
        if baseline.is_none() {
            below.push("What the unmerged checkpoint comes to is not known.".to_owned());
        }
        let is_spread = marks.iter().any(|mark| mark.deviation.is_some());
        let mut legend = Vec::new();
        if marks.iter().any(|mark| mark.mean.is_some() && !mark.hollow) {
            let what = if is_spread {
                format!("mean {measured}")
            } else {
                measured.clone()
            };
            legend.push((Sign::Dot(ACCENT), what));
        }
        if let Some(baseline) = baseline {
            legend.push((
                Sign::Dashed(INK),
                format!("unmerged: {}", minus(&written.write(baseline))),
            ));
        }
        if second.is_some() {
            legend.push((
                Sign::Bar(SECOND, BAR_OPACITY),
                "kernels merged (right axis)".to_owned(),
            ));
        }
        if hollow.any() {
            legend.push((Sign::Ring(ACCENT), "nothing merged".to_owned()));
        }
        if marks.iter().any(|mark| mark.failed) {
            legend.push((Sign::Cross(ALARM), "failed".to_owned()));
        }
        let varied: &[Series] = match self.is_numeric() {
            true => &[self.series],
            false => &[Series::Layer],
        };
        let shown = "mean \u{b1} 1 standard deviation";
        let words = Words::new(
            width,
            &notes::title(results, measure, &self.varying()),
            &notes::subtitle(results, varied, &self.settings, shown),
            legend,
            &below,
        );
        let words = match hollow.alarm() {
            Some(alarm) => words.alarmed(&alarm),
            None => words,
        };
        let figure = ChartFigure {
            words,
            x: x.clone(),
            y: y.clone(),
            second: second.clone(),
            height: HEIGHT,
            right,
        };
        figure.draw(|canvas, chart, place| {
            let at = Pixels { place, x, y };
            let each = at.closest(&marks);
            if let Some(second) = &second {
                let width = (BAR * each).min(WIDEST_BAR);
                for mark in &marks {
                    let height = second.share(mark.share) * place.height;
                    let bar = Place {
                        left: at.across(mark.x) - width / 2.0,
                        top: place.bottom() - height,
                        width,
                        height,
                    };
                    canvas.rectangle(bar, SECOND.mix(BAR_OPACITY).filled());
                }
            }
            if let Some(level) = level {
                let across = chart.x_range();
                dashed_line(chart, [(across.start, level), (across.end, level)], INK);
            }
            let points: Vec<Option<(f64, f64)>> = marks
                .iter()
                .map(|mark| Some((mark.x, mark.mean?)))
                .collect();
            for run in points.split(Option::is_none) {
                let run = run.iter().flatten().copied();
                drawn(chart.draw_series(LineSeries::new(run, line(ACCENT.mix(0.7), 1.5))));
            }
            if points.iter().all(Option::is_none) {
                empty(canvas, place, "There is no number to show.");
            }
            at.draw(canvas, &marks, each);
        })
    }
}

/// Around everything that is drawn.
fn y_axis(marks: &[Mark], baseline: Option<f64>, title: &str) -> Axis {
    let ends = marks.iter().flat_map(|mark| {
        let (mean, deviation) = (mark.mean, mark.deviation.unwrap_or(0.0));
        let ends = mean.map(|mean| [mean - deviation, mean + deviation]);
        let repeats = mark.repeats.iter().map(|(value, _)| *value);
        ends.into_iter().flatten().chain(repeats)
    });
    let numbers: Vec<f64> = ends.chain(baseline).filter_map(drawable).collect();
    let least = numbers.iter().copied().reduce(f64::min);
    let greatest = numbers.iter().copied().reduce(f64::max);
    Axis::measured(least.unwrap_or(0.0), greatest.unwrap_or(1.0), 5, title)
}

/// Where numbers are in pixels.
struct Pixels {
    place: Place,
    x: Axis,
    y: Axis,
}

impl Pixels {
    fn across(&self, x: f64) -> f64 {
        self.place.left + self.x.share(x) * self.place.width
    }

    fn up(&self, y: f64) -> f64 {
        let share = self.y.share(y).clamp(0.0, 1.0);
        self.place.bottom() - share * self.place.height
    }

    /// The least distance of two marks; as far as the place is wide, if there is one.
    fn closest(&self, marks: &[Mark]) -> f64 {
        let gaps = marks
            .windows(2)
            .map(|two| self.across(two[1].x) - self.across(two[0].x));
        gaps.map(f64::abs).fold(self.place.width, f64::min)
    }

    fn draw(&self, canvas: &Canvas, marks: &[Mark], each: f64) {
        let cap = CAP.min(each * 0.25);
        let radius = MEAN.min((each * 0.35).max(1.2));
        for mark in marks {
            let (Some(mean), Some(deviation)) = (mark.mean, mark.deviation) else {
                continue;
            };
            let x = self.across(mark.x);
            let [low, high] = [mean - deviation, mean + deviation].map(|end| self.up(end));
            let style = line(ACCENT, 1.2);
            canvas.line(&[(x, low), (x, high)], style);
            for end in [low, high] {
                canvas.line(&[(x - cap, end), (x + cap, end)], style);
            }
        }
        for mark in marks {
            // Beside the mean, which would cover them, unless it would be nearer to the next one.
            let beside = radius + SINGLE + 1.0;
            let beside = if each > 3.0 * beside { beside } else { 0.0 };
            let x = self.across(mark.x) + beside;
            for &(value, hollow) in &mark.repeats {
                let middle = (x, self.up(value));
                match hollow {
                    true => canvas.circle(middle, SINGLE, line(ACCENT.mix(FAINT), 0.8)),
                    false => canvas.circle(middle, SINGLE, ACCENT.mix(FAINT).filled()),
                }
            }
        }
        for mark in marks {
            let x = self.across(mark.x);
            if let Some(mean) = mark.mean {
                let middle = (x, self.up(mean));
                match mark.hollow {
                    true => ring(canvas, middle, radius, ACCENT),
                    false => canvas.circle(middle, radius, ACCENT.filled()),
                }
            }
            if mark.failed {
                let half = CROSS.min(each * 0.4).max(1.5);
                cross(canvas, (x, self.place.bottom() - half - 2.0), half, ALARM);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_names_begin_with_is_left_out() {
        let start = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
            Curve::common_start(&names)
        };
        assert_eq!(start(&["features.a.0", "features.b.0"]), 9);
        assert_eq!(
            start(&["m.features.0", "m.features.10", "m.features.2"]),
            11
        );
        assert_eq!(start(&["conv1", "layer1.0"]), 0);
        assert_eq!(start(&["a.b", "a.b"]), 2);
        assert_eq!(start(&["features.0"]), 0);
        assert_eq!(start(&[]), 0);
    }
}
