//! An axis: what it spans, and where it is labelled.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use super::font::Weight;
use super::text::{self, room};

/// An axis of a chart.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    /// From left to right, or from below upwards; reversed if the start is greater.
    pub range: Range<f64>,
    /// Where there is a tick, and its label.
    pub ticks: Vec<(f64, String)>,
    pub title: String,
    /// Whether its labels stand upright, to be read from below.
    pub upright: bool,
}

/// Pitch of upright labels as a multiple of their size, and the greatest length of one in pixels.
const UPRIGHT_PITCH: f64 = 1.08;
const LONGEST_UPRIGHT: f64 = 140.0;
/// Pitch of stacked labels as a multiple of their size.
const STACKED_PITCH: f64 = 1.25;
/// Smallest range of an axis, relative to its greatest number: closer numbers are drawn as if they were that far apart.
const FINEST: f64 = 1e-6;
/// Margin on both sides of a single number, as a share of it.
const ALONE: f64 = 0.05;

/// The smallest of 1, 2 and 5 times a power of ten that is at least `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|step| *step >= least * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

/// About `about` multiples of a round step within a range, and the number of decimals that tells them apart.
fn multiples(range: &Range<f64>, about: usize, least_step: f64) -> (Vec<f64>, usize) {
    let step = round_step(((range.end - range.start) / about as f64).max(least_step));
    let decimals = (-step.log10() - 1e-9).ceil().max(0.0) as usize;
    let first = (range.start / step - 1e-6).ceil() as i64;
    let last = (range.end / step + 1e-6).floor() as i64;
    // Divided rather than multiplied by a step below 1, so that 3 tenths are 0.3.
    let at = |multiple: i64| {
        if step < 1.0 {
            multiple as f64 / (1.0 / step).round()
        } else {
            multiple as f64 * step
        }
    };
    ((first..=last).map(at).collect(), decimals)
}

/// The range of places with labels.
fn places(labels: &[String]) -> Range<f64> {
    -0.5..labels.len().max(1) as f64 - 0.5
}

/// Every n-th label with its place, so that labels are at least `pitch` pixels apart.
fn every(labels: &[String], length: f64, pitch: f64) -> impl Iterator<Item = (f64, &String)> {
    let step = (pitch * labels.len() as f64 / length).ceil().max(1.0);
    let labels = labels.iter().enumerate().step_by(step as usize);
    labels.map(|(place, label)| (place as f64, label))
}

impl Axis {
    /// Over a range, with about so many ticks at round numbers.
    pub fn linear(range: Range<f64>, about: usize, title: &str) -> Self {
        let (places, decimals) = multiples(&range, about, 0.0);
        let ticks = places
            .into_iter()
            .map(|place| (place, text::decimal(place, decimals)))
            .collect();
        Self::with(range, ticks, title)
    }

    fn with(range: Range<f64>, ticks: Vec<(f64, String)>, title: &str) -> Self {
        Self {
            range,
            ticks,
            title: title.to_owned(),
            upright: false,
        }
    }

    /// Of numbers between `least` and `greatest`, both within ±1e300. The range is widened to round numbers; a single number
    /// gets a margin.
    pub fn measured(least: f64, greatest: f64, about: usize, title: &str) -> Self {
        let size = least.abs().max(greatest.abs());
        let half = match (least == greatest, size) {
            (true, 0.0) => 1.0,
            (true, _) => ALONE * size,
            (false, _) => (greatest / 2.0 - least / 2.0).max(FINEST * size / 2.0),
        };
        // Steps below this one have no reciprocal.
        let half = half.max(1e-290);
        let middle = least / 2.0 + greatest / 2.0;
        let mut axis = Self::enclosing(middle - half..middle + half, about, title);
        let step = match &axis.ticks[..] {
            [first, second, ..] => second.0 - first.0,
            _ => half,
        };
        if !(1e-3..1e7).contains(&size) && size > 0.0 {
            for (place, label) in &mut axis.ticks {
                *label = text::with_exponent(*place, step);
            }
        }
        axis
    }

    /// With a percent sign after each number.
    pub fn in_percent(mut self) -> Self {
        for (_, label) in &mut self.ticks {
            label.push_str("\u{a0}%");
        }
        self
    }

    /// Over a range widened to round numbers.
    pub fn enclosing(range: Range<f64>, about: usize, title: &str) -> Self {
        let step = round_step((range.end - range.start) / about as f64);
        // Whole steps that enclose the range, so that the ticks keep the step.
        let start = (range.start / step + 1e-9).floor() * step;
        let end = (range.end / step - 1e-9).ceil() * step;
        let steps = ((end - start) / step).round() as usize;
        Self::linear(start..end, steps, title)
    }

    /// Of similarities between these ends, if there are any.
    pub fn similarities(ends: Option<(f64, f64)>, title: &str) -> Self {
        let (least, greatest) = ends.unwrap_or((0.0, 1.0));
        // At least a tenth, and no further than similarities go.
        let middle = ((least + greatest) / 2.0).clamp(-0.95, 0.95);
        Self::enclosing(
            least.min(middle - 0.05)..greatest.max(middle + 0.05),
            5,
            title,
        )
    }

    /// From 0 to a round number that is no less than the greatest, in percent.
    pub fn percent(greatest: f64, title: &str) -> Self {
        let step = round_step(greatest.max(1e-6) / 5.0);
        let end = (greatest.max(1e-6) / step - 1e-9).ceil() * step;
        Self::linear(0.0..end, 5, title).in_percent()
    }

    /// Of counts, from 0 to the greatest or a round number above it.
    pub fn counts(greatest: u64, title: &str) -> Self {
        let greatest = greatest.max(1) as f64;
        let step = round_step((greatest / 5.0).max(1.0));
        let range = 0.0..(greatest / step).ceil() * step;
        let (places, _) = multiples(&range, 5, 1.0);
        Self::with_counts(range, places, title)
    }

    /// With whole numbers at some places.
    fn with_counts(range: Range<f64>, places: Vec<f64>, title: &str) -> Self {
        let labels = places.into_iter();
        let ticks = labels.map(|place| (place, text::count(place as u64)));
        Self::with(range, ticks.collect(), title)
    }

    /// Of whole numbers `first..first + count`, each in the middle of its own stretch of length 1.
    pub fn whole(first: usize, count: usize, about: usize, title: &str) -> Self {
        let range = first as f64 - 0.5..(first + count) as f64 - 0.5;
        let (mut places, _) = multiples(&range, about, 1.0);
        // A step above 1 passes over an axis' first number where that is 1.
        if first == 1 && places.first() == Some(&0.0) {
            places.remove(0);
        }
        if first == 1 && places.first() != Some(&1.0) {
            places.insert(0, 1.0);
        }
        Self::with_counts(range, places, title)
    }

    /// Of some whole numbers, the greatest at its start.
    pub fn falling(greatest: usize, least: usize, at: &[usize]) -> Self {
        let ticks = at.iter().map(|&at| (at as f64, at.to_string()));
        Self::with(greatest as f64..least as f64, ticks.collect(), "")
    }

    /// Of the logarithms to base 10 of numbers from the least to the greatest, from power to power.
    pub fn powers(least: f64, greatest: f64, title: &str) -> Self {
        let first = (least.log10() + 1e-9).floor() as i32;
        let last = ((greatest.log10() - 1e-9).ceil() as i32).max(first + 1);
        let step = ((last - first) / 6 + 1) as usize;
        let powers = (first..=last).rev().step_by(step);
        let ticks = powers.map(|power| (f64::from(power), text::power_of_ten(power)));
        Self::with(f64::from(first)..f64::from(last), ticks.collect(), title)
    }

    /// Of places `0..labels.len()`, each with its label, as far as these fit side by side on an axis of `length` pixels.
    pub fn labelled(labels: &[String], length: f64, size: f64, title: &str) -> Self {
        let each = length / labels.len() as f64;
        let gap = size;
        let mut ticks: Vec<(f64, String)> = Vec::new();
        let mut taken = f64::NEG_INFINITY;
        for (place, label) in labels.iter().enumerate() {
            let half = room(label, Weight::Regular, size) / 2.0;
            let centre = (place as f64 + 0.5) * each;
            if !label.is_empty() && centre - half >= taken {
                ticks.push((place as f64, label.clone()));
                taken = centre + half + gap;
            }
        }
        Self::with(places(labels), ticks, title)
    }

    /// Of places `0..labels.len()`, each with its label: side by side if all fit so, else upright, and as many as fit.
    pub fn named(labels: &[String], length: f64, size: f64, title: &str) -> Self {
        let level = Self::labelled(labels, length, size, title);
        if level.ticks.len() == labels.len() {
            return level;
        }
        let labels = text::abbreviated(labels, Weight::Regular, size, LONGEST_UPRIGHT);
        let ticks = every(&labels, length, UPRIGHT_PITCH * size);
        let ticks = ticks.map(|(place, label)| (place, label.clone()));
        Self {
            upright: true,
            ..Self::with(places(&labels), ticks.collect(), title)
        }
    }

    /// Over a range with a tick at each of these places, rising, if all their labels fit side by side on an axis of `length`
    /// pixels.
    pub fn at(
        range: Range<f64>,
        ticks: Vec<(f64, String)>,
        length: f64,
        size: f64,
        title: &str,
    ) -> Option<Self> {
        let axis = Self::with(range, ticks, title);
        let mut taken = f64::NEG_INFINITY;
        let fits = |(place, label): &(f64, String)| {
            let half = room(label, Weight::Regular, size) / 2.0;
            let centre = axis.share(*place) * length;
            let fits = centre - half >= taken;
            taken = centre + half + size / 2.0;
            fits
        };
        axis.ticks.iter().all(fits).then_some(axis)
    }

    /// Of places `0..labels.len()` above each other, as many labelled as fit.
    pub fn stacked(labels: &[String], length: f64, size: f64, title: &str) -> Self {
        let ticks = every(labels, length, STACKED_PITCH * size);
        let ticks = ticks.map(|(place, label)| (place, label.clone()));
        Self::with(places(labels), ticks.collect(), title)
    }

    /// How far along the axis a number is: 0 at its start, 1 at its end.
    pub fn share(&self, number: f64) -> f64 {
        let Range { start, end } = self.range;
        (number - start) / (end - start)
    }

    /// Width of its widest label.
    pub fn widest_label(&self, size: f64) -> f64 {
        self.ticks
            .iter()
            .map(|(_, label)| room(label, Weight::Regular, size))
            .fold(0.0, f64::max)
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        from + (self.share(*value) * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() {
            Vec::new()
        } else {
            self.ticks.iter().map(|tick| tick.0).collect()
        }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        let tick = self.ticks.iter().find(|tick| tick.0 == *value);
        tick.map_or(String::new(), |tick| tick.1.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round() {
        let axis = Axis::linear(-1.0..1.0, 4, "");
        assert_eq!(
            labels(&axis),
            ["\u{2212}1.0", "\u{2212}0.5", "0.0", "0.5", "1.0"]
        );
        assert_eq!(axis.ticks[3].0, 0.5);
        let axis = Axis::linear(0.1..0.5, 4, "");
        assert_eq!(labels(&axis), ["0.1", "0.2", "0.3", "0.4", "0.5"]);
        assert_eq!(axis.ticks[2].0, 0.3);
    }

    #[test]
    fn counts_are_whole() {
        assert_eq!(labels(&Axis::counts(0, "")), ["0", "1"]);
        assert_eq!(labels(&Axis::counts(3, "")), ["0", "1", "2", "3"]);
        let axis = Axis::counts(47, "");
        assert_eq!(labels(&axis), ["0", "10", "20", "30", "40", "50"]);
        assert_eq!(axis.range, 0.0..50.0);
        assert_eq!(labels(&Axis::whole(0, 3, 8, "")), ["0", "1", "2"]);
        assert_eq!(labels(&Axis::whole(1, 1, 8, "")), ["1"]);
        assert_eq!(
            labels(&Axis::whole(1, 64, 8, "")),
            ["1", "10", "20", "30", "40", "50", "60"]
        );
    }

    #[test]
    fn powers_enclose_what_they_measure() {
        let axis = Axis::powers(0.02, 150.0, "");
        assert_eq!(axis.range, -2.0..3.0);
        assert_eq!(axis.ticks.len(), 6);
        assert_eq!(Axis::powers(1.0, 1.0, "").range, 0.0..1.0);
        assert!(Axis::powers(1e-300, 1e300, "").ticks.len() <= 8);
    }

    #[test]
    fn numbers_of_every_size_are_enclosed_and_told_apart() {
        let axis = Axis::measured(0.81, 0.93, 5, "");
        assert_eq!(labels(&axis), ["0.80", "0.85", "0.90", "0.95"]);
        assert_eq!(labels(&Axis::measured(0.0, 0.0, 4, ""))[2], "0.0");
        let axis = Axis::measured(-1e12, -1e12 + 3e9, 3, "");
        let found = labels(&axis);
        assert_eq!(&found[..2], ["\u{2212}1.000e12", "\u{2212}9.99e11"]);
        let far = [1e-300, 3.7e-5, 0.5, 1.0, 1e7, 3e12, 1e300];
        let ends = || far.iter().flat_map(|&n| [n, -n]).chain([0.0]);
        for least in ends() {
            for greatest in ends()
                .chain([least * (1.0 + 1e-12)])
                .filter(|n| *n >= least)
            {
                let axis = Axis::measured(least, greatest, 5, "");
                let what = format!("{least} to {greatest}: {axis:?}");
                let slack = 1e-6 * (axis.range.end - axis.range.start);
                assert!(axis.range.start <= least + slack, "{what}");
                assert!(axis.range.end >= greatest - slack, "{what}");
                assert!((2..=12).contains(&axis.ticks.len()), "{what}");
                let mut distinct = labels(&axis);
                distinct.dedup();
                assert_eq!(distinct.len(), axis.ticks.len(), "{what}");
                assert!(
                    distinct.iter().all(|label| label.chars().count() < 16),
                    "{what}"
                );
            }
        }
    }

    #[test]
    fn names_stand_upright_where_they_would_not_fit() {
        let names = |count: usize| -> Vec<String> {
            (0..count).map(|i| format!("denseblock{i}.conv")).collect()
        };
        let axis = Axis::named(&names(4), 600.0, 11.0, "");
        assert!(!axis.upright && axis.ticks.len() == 4, "{axis:?}");
        let axis = Axis::named(&names(40), 600.0, 11.0, "");
        assert!(axis.upright && axis.ticks.len() == 40, "{axis:?}");
        let axis = Axis::named(&names(120), 600.0, 11.0, "");
        assert!(axis.upright && axis.ticks.len() == 40, "{axis:?}");
        assert_eq!(axis.ticks[1].1, "denseblock3.conv");
    }

    #[test]
    fn labels_have_room() {
        let long: Vec<String> = (0..120).map(|i| format!("layer {i}")).collect();
        let axis = Axis::labelled(&long, 600.0, 11.0, "");
        assert!((3..15).contains(&axis.ticks.len()), "{axis:?}");
        assert_eq!(axis.ticks[0].1, "layer 0");
    }
}
