//! The settings of a curve: means, spreads, repetitions, what merged, and what failed.

use plotters::style::Color;

use crate::report::figures::axis::Axis;
use crate::report::figures::canvas::{Canvas, Rect, line};
use crate::report::figures::chart::{self, CROSS, cross, ring};
use crate::report::figures::colours::{ACCENT, ALARM, SECOND};
use crate::sensitivity::{Measure, Setting};

use super::{DrawnMeasure, drawable};

/// Radius of a mean, of a single repetition, and half of an error bar's ends, at most.
const MEAN: f64 = 4.0;
const SINGLE: f64 = 2.0;
const CAP: f64 = 4.0;
/// Width of a bar at most, and as a share of what is between two.
const WIDEST_BAR: f64 = 22.0;
const BAR: f64 = 0.6;
/// How strongly bars, and lines and single repetitions are drawn.
pub const BAR_OPACITY: f64 = 0.3;
pub const FAINT: f64 = 0.7;

/// A setting as it is drawn.
pub struct Mark {
    /// Along the x axis.
    pub x: f64,
    /// The mean, if any repetition has a value.
    pub mean: Option<f64>,
    pub deviation: Option<f64>,
    /// Values of several repetitions, and whether each merged nothing.
    repeats: Vec<(f64, bool)>,
    /// The share of kernels that merged, in percent.
    pub share: f64,
    pub hollow: bool,
    /// Whether a repetition failed.
    failed: bool,
}

impl Mark {
    /// Of a setting of a series of numbers, or of that place in its series.
    pub fn of(setting: &Setting<'_>, place: usize, reading: &DrawnMeasure) -> Self {
        let average = setting.average(reading.measure);
        let deviation = average.and_then(|average| average.deviation);
        let repeats = setting.points.iter().filter_map(|point| {
            let value = reading.drawable(reading.measure.of(point)?)?;
            Some((value, point.merging.merged == 0))
        });
        let repeats: Vec<(f64, bool)> = repeats.collect();
        let numbers = setting.variation.numbers();
        let number = numbers.iter().find(|(series, _)| *series == setting.series);
        let share = setting.average(Measure::MergedShare);
        Self {
            x: number.map_or(place as f64, |(_, number)| *number),
            mean: reading.mean(setting),
            deviation: deviation.and_then(|deviation| reading.drawable(deviation)),
            repeats: match repeats.len() {
                0 | 1 => Vec::new(),
                _ => repeats,
            },
            share: 100.0 * share.map_or(0.0, |share| share.mean),
            hollow: setting.merged_nothing(),
            failed: setting.failed().next().is_some(),
        }
    }

    /// Whether single values are drawn beside the mean.
    pub fn is_repeated(&self) -> bool {
        !self.repeats.is_empty()
    }

    /// The ends of its spread, and its single values.
    pub fn extent(&self) -> impl Iterator<Item = f64> {
        let deviation = self.deviation.unwrap_or(0.0);
        let ends = self.mean.map(|mean| [mean - deviation, mean + deviation]);
        let repeats = self.repeats.iter().map(|(value, _)| *value);
        ends.into_iter()
            .flatten()
            .chain(repeats)
            .filter_map(drawable)
    }
}

/// Marks in their place on a canvas.
pub struct MarksIn<'a> {
    place: Rect,
    x: &'a Axis,
    y: &'a Axis,
    marks: &'a [Mark],
    /// Pixels from one to the next where they are closest.
    each: f64,
    /// Radius of a mean.
    radius: f64,
}

impl<'a> MarksIn<'a> {
    pub fn new(place: Rect, [x, y]: [&'a Axis; 2], marks: &'a [Mark]) -> Self {
        let gaps = marks
            .windows(2)
            .map(|two| x.share(two[1].x) - x.share(two[0].x));
        let each = place.width * gaps.map(f64::abs).fold(1.0, f64::min);
        Self {
            place,
            x,
            y,
            marks,
            each,
            radius: MEAN.min((each * 0.35).max(1.2)),
        }
    }

    fn across(&self, mark: &Mark) -> f64 {
        self.place.left + self.x.share(mark.x) * self.place.width
    }

    fn up(&self, number: f64) -> f64 {
        let share = self.y.share(number).clamp(0.0, 1.0);
        self.place.bottom() - share * self.place.height
    }

    /// The shares of kernels that merged, along an axis of their own.
    pub fn bars(&self, canvas: &Canvas, axis: &Axis) {
        let width = (BAR * self.each).min(WIDEST_BAR);
        for mark in self.marks {
            let height = axis.share(mark.share) * self.place.height;
            let bar = Rect {
                left: self.across(mark) - width / 2.0,
                top: self.place.bottom() - height,
                width,
                height,
            };
            chart::bar(canvas, bar, SECOND, BAR_OPACITY);
        }
    }

    pub fn spreads(&self, canvas: &Canvas) {
        let cap = CAP.min(self.each * 0.25);
        for mark in self.marks {
            let (Some(mean), Some(deviation)) = (mark.mean, mark.deviation) else {
                continue;
            };
            let x = self.across(mark);
            let [low, high] = [mean - deviation, mean + deviation].map(|end| self.up(end));
            let style = line(ACCENT, 1.2);
            canvas.line(&[(x, low), (x, high)], style);
            for end in [low, high] {
                canvas.line(&[(x - cap, end), (x + cap, end)], style);
            }
        }
    }

    /// Single values, beside the mean that would cover them, unless the next setting is too close.
    pub fn repeats(&self, canvas: &Canvas) {
        let beside = self.radius + SINGLE + 1.0;
        let beside = if self.each > 3.0 * beside {
            beside
        } else {
            0.0
        };
        for mark in self.marks {
            for &(value, hollow) in &mark.repeats {
                let middle = (self.across(mark) + beside, self.up(value));
                let style = if hollow {
                    line(ACCENT.mix(FAINT), 0.8)
                } else {
                    ACCENT.mix(FAINT).filled()
                };
                canvas.circle(middle, SINGLE, style);
            }
        }
    }

    /// Means, hollow where nothing merged.
    pub fn means(&self, canvas: &Canvas) {
        for mark in self.marks {
            let Some(mean) = mark.mean else { continue };
            let middle = (self.across(mark), self.up(mean));
            if mark.hollow {
                ring(canvas, middle, self.radius, ACCENT)
            } else {
                canvas.circle(middle, self.radius, ACCENT.filled())
            }
        }
    }

    /// Crosses at the lower edge where a repetition failed.
    pub fn failures(&self, canvas: &Canvas) {
        let half = CROSS.min(self.each * 0.4).max(1.5);
        for mark in self.marks.iter().filter(|mark| mark.failed) {
            let middle = (self.across(mark), self.place.bottom() - half - 2.0);
            cross(canvas, middle, half, ALARM);
        }
    }
}
