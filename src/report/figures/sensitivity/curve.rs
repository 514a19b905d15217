//! A measure over what varies, with its spread, the baseline, and what merged.

use std::collections::BTreeMap;

use plotters::series::LineSeries;
use plotters::style::{Color, RGBColor};

use crate::plan::{CHANCE, Control, ThresholdScale};
use crate::report::figures::axis::Axis;
use crate::report::figures::canvas::{TICK, drawn, line};
use crate::report::figures::chart::{
    Caption, ChartFigure, HEIGHT, LegendKey, PADDING, WIDTH, empty,
};
use crate::report::figures::colours::{ACCENT, INK, MARK, SECOND, SOFT};
use crate::report::figures::lines::{dashed_line, dots};
use crate::report::figures::text::{self, minus, name};
use crate::report::figures::{Figure, FigureKind, SweepFigure};
use crate::report::sensitivity::labels;
use crate::sensitivity::{Measure, Results, Series, Setting, Variation};

use super::marks::{BAR_OPACITY, FAINT, Mark, MarksIn};
use super::notes::{self, Remarks};
use super::{DrawnMeasure, tau_scale};

/// Pixels per layer, and the greatest width of all layers.
const EACH: f64 = 12.0;
const WIDEST: f64 = 1500.0;
/// The settings of a series, drawn once for each measure.
struct Curve<'a> {
    results: &'a Results,
    series: Series,
    settings: Vec<Setting<'a>>,
    /// What was made beside them.
    controls: Vec<Setting<'a>>,
    /// The scale of its thresholds.
    tau: ThresholdScale,
}

/// The means of a control where its settings are; `None` where one is not known.
type ControlLine = Vec<Option<(f64, f64)>>;

/// A figure for each measure.
pub fn figures(results: &Results, series: Series) -> Vec<Figure> {
    let mut by_scale: BTreeMap<ThresholdScale, Vec<Setting<'_>>> = BTreeMap::new();
    for setting in results.settings(series) {
        let settings = by_scale.entry(tau_scale(&setting)).or_default();
        settings.push(setting);
    }
    let curves = by_scale.into_iter().map(|(tau, settings)| {
        let is_merge = |setting: &Setting<'_>| setting.variation.control.is_none();
        let (settings, controls) = settings.into_iter().partition(is_merge);
        Curve {
            results,
            series,
            settings,
            controls,
            tau,
        }
    });
    curves
        .flat_map(|curve| {
            results
                .measures()
                .iter()
                .map(|&measure| curve.draw(measure))
                .collect::<Vec<_>>()
        })
        .collect()
}

impl<'a> Curve<'a> {
    /// Whether it is over numbers, not over layers.
    fn is_numeric(&self) -> bool {
        matches!(
            self.series,
            Series::Tau | Series::Alpha | Series::Prob | Series::SkipShallow
        )
    }

    /// Whether what is between two settings means something: parts of a net are no steps.
    fn is_sequence(&self) -> bool {
        !matches!(self.series, Series::Layer | Series::Stage)
    }

    fn varying(&self) -> String {
        match self.series {
            Series::Layer => "with one layer merged at a time".to_owned(),
            Series::Stage => "with one stage merged at a time".to_owned(),
            Series::Past => "with all layers past a depth merged".to_owned(),
            series => format!("over {}", labels::symbol(series)),
        }
    }

    /// What a setting is called in a note.
    fn call(&self, setting: &Setting<'_>) -> String {
        match labels::value(setting.variation, self.series) {
            Some(value) => minus(&value),
            None => self.short_name(setting),
        }
    }

    /// The same at the axis, whose title says what it is.
    fn tick(&self, setting: &Setting<'_>) -> String {
        let name = self.call(setting);
        let number = name.strip_prefix(CHANCE).unwrap_or(&name);
        number.replace('%', "\u{a0}%")
    }

    /// What stands before these names.
    fn prefix(&self) -> String {
        match (self.is_numeric(), self.series) {
            (true, series) => format!("{}\u{a0}", labels::symbol(series)),
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

    /// Length in bytes of the beginning, up to a dot, that all names share and an axis can leave out.
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
        if others.is_empty() {
            0
        } else {
            ends.filter(common).max().unwrap_or(0)
        }
    }

    /// The axis of the share of kernels that merged, where that changes along the figure and is not what it shows.
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
        if self.is_numeric() {
            self.numbers_axis(marks, length)
        } else {
            self.names_axis(length)
        }
    }

    fn names_axis(&self, length: f64) -> Axis {
        let names: Vec<String> = self.settings.iter().map(|s| self.short_name(s)).collect();
        let start = Self::common_start(&names);
        let labels: Vec<String> = names.iter().map(|name| name[start..].to_owned()).collect();
        let what = match self.series {
            Series::Past => {
                return Axis::labelled(&labels, length, TICK.size, "layers past this depth");
            }
            Series::Stage => "stage",
            _ => "layer",
        };
        let mut title = format!("{what}, from the input of the net to its output");
        if start > 0 {
            let start = text::shortened(&names[0][..start], TICK.weight, TICK.size, 200.0);
            title += &format!(" \u{b7} names without \u{201c}{start}\u{201d}");
        }
        let mut axis = Axis::named(&labels, length, TICK.size, &title);
        let whole = |(place, label): &(f64, String)| labels[*place as usize] == *label;
        if !axis.ticks.iter().all(whole) {
            axis.title += " \u{b7} words shortened";
        }
        axis
    }

    fn numbers_axis(&self, marks: &[Mark], length: f64) -> Axis {
        let least = marks
            .iter()
            .map(|mark| mark.x)
            .fold(f64::INFINITY, f64::min);
        let greatest = marks
            .iter()
            .map(|mark| mark.x)
            .fold(f64::NEG_INFINITY, f64::max);
        let (unit, domain, title) = match self.series {
            Series::Tau => match self.tau {
                ThresholdScale::Similarity => (0.1, -1.0..=1.0, "threshold \u{3c4}"),
                ThresholdScale::Share => (
                    10.0,
                    0.0..=100.0,
                    "threshold \u{3c4}, as the share of kernels with a partner above it",
                ),
                ThresholdScale::Chance => (
                    10.0,
                    0.0..=100.0,
                    "threshold \u{3c4}, as the share of kernels that chance gives a partner",
                ),
            },
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
            _ => (
                1.0,
                0.0..=f64::INFINITY,
                "L_s: the first convolutions, left alone",
            ),
        };
        let margin = if greatest > least {
            (greatest - least) * 0.05
        } else {
            unit
        };
        let values = marks.iter().zip(&self.settings);
        let ticks = values.map(|(mark, setting)| (mark.x, self.tick(setting)));
        let range = least - margin..greatest + margin;
        if let Some(axis) = Axis::at(range, ticks.collect(), length, TICK.size, title) {
            return axis;
        }
        let mut axis = Axis::linear(least - margin..greatest + margin, 9, title);
        axis.ticks.retain(|(at, _)| domain.contains(at));
        match self.tau {
            ThresholdScale::Similarity => axis,
            ThresholdScale::Share | ThresholdScale::Chance => axis.in_percent(),
        }
    }

    /// Wide enough for its layers.
    fn width(&self, y: &Axis) -> f64 {
        if self.is_numeric() {
            WIDTH
        } else {
            (self.settings.len() as f64 * EACH + ChartFigure::left(y)).clamp(WIDTH, WIDEST)
        }
    }

    fn caption(
        &self,
        reading: &DrawnMeasure,
        marks: &[Mark],
        is_second: bool,
        width: f64,
    ) -> Caption {
        let remarks = Remarks::on(self.results, &self.settings, reading.measure, |s| {
            self.call(s)
        });
        let mut legend = Vec::new();
        if marks.iter().any(|mark| mark.mean.is_some() && !mark.hollow) {
            let what = if marks.iter().any(|mark| mark.deviation.is_some()) {
                format!("mean {}", reading.name)
            } else {
                reading.name.clone()
            };
            legend.push((LegendKey::Dot(ACCENT), what));
        }
        let is_spread = |mark: &Mark| mark.mean.is_some() && mark.deviation.is_some();
        if marks.iter().any(is_spread) {
            let spread = "\u{b1} 1 standard deviation".to_owned();
            legend.push((LegendKey::Spread(ACCENT), spread));
        }
        if marks.iter().any(Mark::is_repeated) {
            legend.push((LegendKey::Speck(ACCENT, FAINT), "single run".to_owned()));
        }
        for control in self.controls_made() {
            let key = match self.is_sequence() {
                true => LegendKey::Dashed(colour_of(control)),
                false => LegendKey::Dot(colour_of(control)),
            };
            legend.push((key, format!("the same kernels, {}", control.words())));
        }
        if let Some(baseline) = reading.baseline.filter(|_| !is_empty(marks)) {
            let level = format!("unmerged: {}", reading.write(baseline));
            legend.push((LegendKey::Dashed(INK), level));
        }
        if is_second {
            let bars = LegendKey::Bar(SECOND, BAR_OPACITY);
            legend.push((bars, "kernels merged (right axis)".to_owned()));
        }
        remarks.explain(LegendKey::Ring(ACCENT), &mut legend);
        let shown = "mean \u{b1} 1 standard deviation";
        remarks.alarm(Caption::new(
            width,
            &notes::title(self.results, reading.measure, &self.varying()),
            &notes::subtitle(self.results, &[self.series], &self.settings, shown),
            legend,
            &remarks.notes(&self.prefix()),
        ))
    }

    /// The controls of which any setting is known.
    fn controls_made(&self) -> impl Iterator<Item = Control> {
        let is_made = |control: &Control| {
            let mut controls = self.controls.iter();
            controls.any(|setting| setting.variation.control == Some(*control))
        };
        Control::ALL.into_iter().filter(is_made)
    }

    /// A control's means, at the places of the settings that it belongs to.
    fn line_of(&self, control: Control, marks: &[Mark], reading: &DrawnMeasure) -> ControlLine {
        let settings = self.settings.iter().zip(marks);
        let point = |(setting, mark): (&Setting<'_>, &Mark)| {
            let variation = Variation {
                control: Some(control),
                ..setting.variation.clone()
            };
            let mut controls = self.controls.iter();
            let made = controls.find(|made| *made.variation == variation)?;
            Some((mark.x, reading.mean(made)?))
        };
        settings.map(point).collect()
    }

    fn draw(&self, measure: Measure) -> Figure {
        let reading = DrawnMeasure::of(self.results, &self.settings, measure);
        let marks: Vec<Mark> = self
            .settings
            .iter()
            .enumerate()
            .map(|(place, setting)| Mark::of(setting, place, &reading))
            .collect();
        let level = reading.baseline.and_then(|level| reading.drawable(level));
        let controls: Vec<(Control, ControlLine)> = self
            .controls_made()
            .map(|control| (control, self.line_of(control, &marks, &reading)))
            .collect();
        let controlled = controls.iter().flat_map(|(_, line)| line.iter().flatten());
        let heights = controlled.map(|(_, height)| *height);
        let extents = marks.iter().flat_map(Mark::extent).chain(heights);
        let mut y = reading.axis(extents.chain(level));
        let mut second = self.second_axis(measure, &marks);
        if is_empty(&marks) {
            y.ticks.clear();
            second = None;
        }
        let width = self.width(&y);
        let mut right = second.as_ref().map_or(PADDING, ChartFigure::right_of);
        let length = |right: f64| width + 2.0 * PADDING - ChartFigure::left(&y) - right;
        let mut x = self.x_axis(&marks, length(right));
        if ChartFigure::least_right(&x) > right {
            right = ChartFigure::least_right(&x);
            x = self.x_axis(&marks, length(right));
        }
        let figure = ChartFigure {
            kind: FigureKind::Sweep(SweepFigure {
                series: self.series,
                crossed: None,
                tau: self.tau,
                measure,
            }),
            caption: self.caption(&reading, &marks, second.is_some(), width),
            x: x.clone(),
            y: y.clone(),
            second: second.clone(),
            height: HEIGHT,
            right,
        };
        figure.draw(|canvas, chart, place| {
            let drawing = MarksIn::new(place, [&x, &y], &marks);
            if is_empty(&marks) {
                empty(canvas, place, "There is no number to show.");
                drawing.failures(canvas);
                return;
            }
            if let Some(second) = &second {
                drawing.bars(canvas, second);
            }
            if let Some(level) = level {
                let across = chart.x_range();
                dashed_line(
                    canvas,
                    chart,
                    [(across.start, level), (across.end, level)],
                    INK,
                );
            }
            for (control, points) in &controls {
                for run in points.split(Option::is_none) {
                    let run: Vec<(f64, f64)> = run.iter().flatten().copied().collect();
                    dots(chart, run.iter().copied(), 2.5, colour_of(*control));
                    if self.is_sequence() {
                        dashed_line(canvas, chart, run, colour_of(*control));
                    }
                }
            }
            let points = marks.iter().map(|mark| Some((mark.x, mark.mean?)));
            let points: Vec<Option<(f64, f64)>> = points.collect();
            let runs = points.split(Option::is_none).filter(|_| self.is_sequence());
            for run in runs {
                let run = run.iter().flatten().copied();
                drawn(chart.draw_series(LineSeries::new(run, line(ACCENT.mix(FAINT), 1.5))));
            }
            drawing.spreads(canvas);
            drawing.repeats(canvas);
            drawing.means(canvas);
            drawing.failures(canvas);
        })
    }
}

/// The colour of a control.
fn colour_of(control: Control) -> RGBColor {
    match control {
        Control::Random => MARK,
        Control::Shrink => SOFT,
    }
}

/// Whether no setting has a number, so that a sentence stands in place of marks.
fn is_empty(marks: &[Mark]) -> bool {
    marks.iter().all(|mark| mark.mean.is_none())
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
