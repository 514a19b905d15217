//! A point of a sweep: what one variant of the checkpoint differs in.

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::plan::{Fraction, Threshold};

/// What the points of one curve, or of the map, vary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Series {
    /// Nothing: the checkpoint as it is.
    Baseline,
    /// Which single layer merges (the paper's Figure 3a).
    Layer,
    Stage,
    /// Past which depth layers merge.
    Past,
    /// τ (the paper's Figure 3b).
    Tau,
    /// α (the paper's Figure 2).
    Alpha,
    /// p (the paper's Figure 2).
    Prob,
    /// L_s.
    SkipShallow,
    /// Two of τ, α, p and L_s at once (the paper's Figure 2).
    Grid,
}

impl Series {
    /// All, in the order in which they are drawn.
    pub const ALL: [Self; 9] = [
        Self::Baseline,
        Self::Layer,
        Self::Stage,
        Self::Past,
        Self::Tau,
        Self::Alpha,
        Self::Prob,
        Self::SkipShallow,
        Self::Grid,
    ];

    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Layer => "layer",
            Self::Stage => "stage",
            Self::Past => "past",
            Self::Tau => "tau",
            Self::Alpha => "alpha",
            Self::Prob => "prob",
            Self::SkipShallow => "skip-shallow",
            Self::Grid => "grid",
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Layers that merge while all others are left alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// What to call them: a layer's or a stage's name, or `past 12`.
    pub label: String,
    /// The depth of the first, from 1.
    pub first: usize,
    /// The depth of the last.
    pub last: usize,
}

impl Scope {
    pub fn depths(&self) -> RangeInclusive<usize> {
        self.first..=self.last
    }
}

/// What a variant differs in from the sweep's base settings; what is `None` stays as there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variation {
    /// Which layers merge, in place of all past the first L_s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Scope>,
    /// τ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tau: Option<Threshold>,
    /// α.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<Fraction>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prob: Option<Fraction>,
    /// L_s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_shallow: Option<usize>,
}

impl Variation {
    /// Whether it does not leave it to the base settings which layers merge.
    pub fn says_which_layers(&self) -> bool {
        self.layers.is_some() || self.skip_shallow.is_some()
    }

    /// What it sets, as `(parameter, number)`, in the order τ, α, p, L_s; τ as a percentage where it is a share.
    pub fn numbers(&self) -> Vec<(Series, f64)> {
        let tau = self.tau.map(|tau| match tau {
            Threshold::Similarity(tau) => tau.get(),
            Threshold::Share(percent) => percent.get(),
        });
        let numbers = [
            (Series::Tau, tau),
            (Series::Alpha, self.alpha.map(Fraction::get)),
            (Series::Prob, self.prob.map(Fraction::get)),
            (Series::SkipShallow, self.skip_shallow.map(|n| n as f64)),
        ];
        let given = numbers.into_iter();
        given
            .filter_map(|(series, number)| Some((series, number?)))
            .collect()
    }
}

impl fmt::Display for Variation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.layers.as_ref().map(|scope| scope.label.clone()),
            self.tau.map(|tau| format!("tau {tau}")),
            self.alpha.map(|alpha| format!("alpha {alpha}")),
            self.prob.map(|prob| format!("p {prob}")),
            self.skip_shallow.map(|count| format!("L_s {count}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        match &parts[..] {
            [] => f.write_str("unmerged"),
            parts => f.write_str(&parts.join(", ")),
        }
    }
}

/// One variant to make and score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// The curve or map it belongs to.
    pub series: Series,
    /// What differs from the base settings; nothing for the baseline.
    #[serde(default, rename = "set")]
    pub variation: Variation,
    /// Which of the repetitions, from 0.
    pub repeat: u32,
    /// The seed of its draws.
    pub seed: u64,
}
