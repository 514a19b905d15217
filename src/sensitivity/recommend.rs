//! Which merge of a sweep to recommend.

use serde::Serialize;

use super::{Average, Measure, PointOutcome, Results, Series, Setting};

/// The strongest merge that costs no more than one standard error of the unmerged checkpoint's score.
///
/// The strength of a merge is the mean of ‖ΔW‖ / ‖W‖. It is within one standard error where its mean score is no more than that
/// worse than the unmerged score, as in the rule for choosing the simplest model (Breiman et al., Classification and Regression
/// Trees, 1984). Settings of which a repetition failed, and those that merged nothing, are left out, and so are controls.
#[derive(Clone, Debug, PartialEq)]
pub struct Recommendation<'a> {
    /// The setting.
    pub setting: Setting<'a>,
    /// Its score.
    pub score: Average,
    /// The score of the unmerged checkpoint.
    pub unmerged: f64,
    /// One standard error.
    pub standard_error: StandardError,
    /// The mean score of the same kernels merged with random partners, where that was made.
    pub random: Option<f64>,
}

/// A standard error, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "of", content = "value", rename_all = "kebab-case")]
pub enum StandardError {
    /// Of the unmerged score, as the evaluator prints it beside the score.
    Score(f64),
    /// Of the setting's mean over its repetitions.
    Repetitions(f64),
    /// Of nothing: the score was printed without, and there is one repetition.
    Unknown,
}

impl StandardError {
    /// The number; 0 if it is not known.
    pub fn value(self) -> f64 {
        match self {
            Self::Score(value) | Self::Repetitions(value) => value,
            Self::Unknown => 0.0,
        }
    }
}

impl Recommendation<'_> {
    /// Whether random partners are as good, to one standard error: then it is not similarity that matters.
    pub fn is_random_as_good(&self, results: &Results) -> bool {
        let least = results.gain(self.score.mean) - self.standard_error.value();
        self.random
            .is_some_and(|random| results.gain(random) >= least)
    }
}

impl Results {
    /// The merge to recommend; `None` without an evaluator, until the unmerged checkpoint is scored, and if every merge costs
    /// more.
    pub fn recommendation(&self) -> Option<Recommendation<'_>> {
        let unmerged = self.baseline(Measure::Score)?;
        let strength = |setting: &Setting<'_>| {
            let change = setting.average(Measure::RelativeChange);
            change.map_or(0.0, |change| change.mean)
        };
        let candidates = self.all_settings().filter_map(|setting| {
            let is_merge =
                setting.series != Series::Baseline && setting.variation.control.is_none();
            let is_usable =
                is_merge && !setting.merged_nothing() && setting.failed().next().is_none();
            let score = setting.average(Measure::Score).filter(|_| is_usable)?;
            let standard_error = self.standard_error(score);
            let least = self.gain(unmerged) - standard_error.value();
            (self.gain(score.mean) >= least).then_some((setting, score, standard_error))
        });
        // The first of equals: the one of the earliest series.
        let (setting, score, standard_error) = candidates.reduce(|best, other| {
            if strength(&other.0) > strength(&best.0) {
                other
            } else {
                best
            }
        })?;
        Some(Recommendation {
            random: self.control_of(&setting),
            setting,
            score,
            unmerged,
            standard_error,
        })
    }

    /// Whether less is better.
    pub fn lower_is_better(&self) -> bool {
        let evaluator = self.sweep.evaluator.as_ref();
        evaluator.is_some_and(|evaluator| evaluator.lower_is_better)
    }

    /// A score, turned round where less is better.
    fn gain(&self, score: f64) -> f64 {
        if self.lower_is_better() {
            -score
        } else {
            score
        }
    }

    fn standard_error(&self, score: Average) -> StandardError {
        let baseline = self.settings(Series::Baseline).next();
        let printed = baseline.and_then(|baseline| match baseline.points[0].outcome {
            PointOutcome::Scored { stderr, .. } => stderr,
            _ => None,
        });
        match (printed, score.deviation) {
            (Some(printed), _) => StandardError::Score(printed),
            (None, Some(deviation)) => {
                StandardError::Repetitions(deviation / (score.count as f64).sqrt())
            }
            (None, None) => StandardError::Unknown,
        }
    }

    /// The mean score of a setting's random partners.
    fn control_of(&self, setting: &Setting<'_>) -> Option<f64> {
        let control = super::Variation {
            control: Some(crate::plan::Control::Random),
            ..setting.variation.clone()
        };
        let mut settings = self.settings(setting.series);
        let random = settings.find(|other| *other.variation == control)?;
        Some(random.average(Measure::Score)?.mean)
    }
}
