//! The finished points of a sweep, and averages over their repetitions.

use std::cmp::Ordering;

use serde::Serialize;

use crate::plan::Threshold;

use super::{Error, FinishedPoint, Point, PointOutcome, Series, Sweep, Variation};

/// A sweep and its finished points.
#[derive(Clone, Debug, PartialEq)]
pub struct Results {
    /// The sweep that was planned.
    pub sweep: Sweep,
    /// The finished points, including those of earlier sweeps with the same base: by series, then by depth or by the number
    /// that varies, then by repetition.
    pub points: Vec<FinishedPoint>,
    /// Number of points of the sweep that are not finished.
    pub missing: usize,
}

/// A number that can be drawn for a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    /// The evaluator's score.
    Score,
    /// The share of the kernels in layers that took part that merged.
    MergedShare,
    /// ‖ΔW‖ / ‖W‖ over all layers of the sweep.
    RelativeChange,
    /// Sum of the layers' effective ranks, divided by the number of their kernels.
    EffectiveRank,
    /// Mean similarity of a kernel to its nearest neighbour.
    MeanNearest,
}

/// Orders points by series, then by what varies, then by repetition.
fn in_order(a: &Point, b: &Point) -> Ordering {
    let scope = |point: &Point| {
        let scope = point.variation.layers.as_ref();
        scope.map(|scope| (scope.first, scope.last))
    };
    let scale = |point: &Point| point.variation.tau.map(Threshold::scale);
    let by_numbers = || {
        let (a, b) = (a.variation.numbers(), b.variation.numbers());
        let pairs = a.iter().zip(&b);
        let by_parameter = pairs.map(|(a, b)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        by_parameter.fold(Ordering::Equal, Ordering::then)
    };
    a.series
        .cmp(&b.series)
        .then_with(|| scope(a).cmp(&scope(b)))
        .then_with(|| scale(a).cmp(&scale(b)))
        .then_with(by_numbers)
        .then(a.variation.control.cmp(&b.variation.control))
        .then(a.repeat.cmp(&b.repeat))
}

impl Measure {
    pub const ALL: [Self; 5] = [
        Self::Score,
        Self::MergedShare,
        Self::RelativeChange,
        Self::EffectiveRank,
        Self::MeanNearest,
    ];

    /// The name that files use for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::MergedShare => "merged-share",
            Self::RelativeChange => "relative-change",
            Self::EffectiveRank => "effective-rank",
            Self::MeanNearest => "mean-nearest",
        }
    }

    /// Its value at a point; `None` if the point does not have it.
    pub fn of(self, point: &FinishedPoint) -> Option<f64> {
        match (self, &point.outcome) {
            (Self::Score, PointOutcome::Scored { score, .. }) => Some(*score),
            (Self::MergedShare, _) => Some(point.merging.share()),
            (Self::RelativeChange, _) => Some(point.merging.relative_change),
            (Self::EffectiveRank, PointOutcome::Measured { effective_rank, .. }) => {
                Some(*effective_rank)
            }
            (Self::MeanNearest, PointOutcome::Measured { mean_nearest, .. }) => *mean_nearest,
            _ => None,
        }
    }
}

/// The repetitions of one setting.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting<'a> {
    /// The curve or map it belongs to.
    pub series: Series,
    /// How it differs from the base settings.
    pub variation: &'a Variation,
    /// Its repetitions, at least one.
    pub points: &'a [FinishedPoint],
}

/// The mean and spread of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Average {
    /// Arithmetic mean.
    pub mean: f64,
    /// Sample standard deviation; none for a single number.
    pub deviation: Option<f64>,
    /// How many numbers there are.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub count: usize,
}

impl Average {
    /// The average of numbers; `None` if there are none.
    pub fn of(numbers: impl Iterator<Item = f64>) -> Option<Self> {
        let numbers: Vec<f64> = numbers.collect();
        let count = numbers.len();
        let mean = numbers.iter().sum::<f64>() / count as f64;
        let squares = numbers.iter().map(|number| (number - mean).powi(2));
        let deviation = || (squares.sum::<f64>() / (count - 1) as f64).sqrt();
        (count > 0).then(|| Self {
            mean,
            deviation: (count > 1).then(deviation),
            count,
        })
    }
}

impl Setting<'_> {
    /// The average of a measure over the repetitions that have it.
    pub fn average(&self, measure: Measure) -> Option<Average> {
        let values = self.points.iter().filter_map(|point| measure.of(point));
        Average::of(values)
    }

    pub fn failed(&self) -> impl Iterator<Item = &FinishedPoint> {
        let points = self.points.iter();
        points.filter(|point| point.has_failed())
    }

    /// The mean number of kernels that merged in a repetition.
    pub fn mean_merged(&self) -> f64 {
        let merged = self.points.iter().map(|point| point.merging.merged);
        merged.sum::<usize>() as f64 / self.points.len() as f64
    }

    /// Whether no repetition merged anything although it should have, so that its score tells nothing about merging.
    pub fn merged_nothing(&self) -> bool {
        self.series != Series::Baseline && self.points.iter().all(|p| p.merging.merged == 0)
    }
}

impl Results {
    /// Sorts the finished points of a sweep, and counts the missing ones.
    pub fn new(sweep: Sweep, mut points: Vec<FinishedPoint>) -> Self {
        points.sort_by(|a, b| in_order(&a.point, &b.point));
        let known = |point: &Point| points.iter().any(|finished| finished.point == *point);
        let missing = sweep.points.iter().filter(|point| !known(point)).count();
        Self {
            sweep,
            points,
            missing,
        }
    }

    /// Checks that something can be said of merging.
    ///
    /// # Errors
    ///
    /// If all variants that are known failed, and there are some: why the last one did.
    pub fn check(&self) -> Result<(), Error> {
        let variants = self.points.iter().filter(|point| !point.is_baseline());
        let failures = variants.map(|point| match &point.outcome {
            PointOutcome::Failed { why, output } => Some((why.clone(), output.clone())),
            _ => None,
        });
        let failures: Option<Vec<(String, String)>> = failures.collect();
        match failures.and_then(|mut failures| failures.pop()) {
            Some((why, output)) => Err(Error::AllFailed { why, output }),
            None => Ok(()),
        }
    }

    /// The settings of a series, in order.
    pub fn settings(&self, series: Series) -> impl Iterator<Item = Setting<'_>> {
        let of_series = self.points.iter().position(|p| p.point.series == series);
        let from = &self.points[of_series.unwrap_or(self.points.len())..];
        let many = from.iter().take_while(|p| p.point.series == series).count();
        let settings = from[..many].chunk_by(|a, b| a.point.variation == b.point.variation);
        settings.map(move |points| Setting {
            series,
            variation: &points[0].point.variation,
            points,
        })
    }

    /// The settings of all series, the baseline first.
    pub fn all_settings(&self) -> impl Iterator<Item = Setting<'_>> {
        let series = Series::ALL.into_iter();
        series.flat_map(|series| self.settings(series))
    }

    /// The measures to draw: the score, or without an evaluator the measures of the weights.
    pub fn measures(&self) -> &'static [Measure] {
        match self.sweep.evaluator {
            Some(_) => &[Measure::Score],
            None => &[
                Measure::RelativeChange,
                Measure::EffectiveRank,
                Measure::MeanNearest,
                Measure::MergedShare,
            ],
        }
    }

    /// A measure of the unmerged checkpoint, if its point is finished and has it.
    pub fn baseline(&self, measure: Measure) -> Option<f64> {
        let baseline = self.settings(Series::Baseline).next()?;
        Some(baseline.average(measure)?.mean)
    }
}
