//! The points of a sweep: variants of the checkpoint, each with its settings.

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::plan::{Control, Fraction, Threshold};

/// The points of one curve, or of the map, named for what they vary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Series {
    /// The unmerged checkpoint.
    Baseline,
    /// Which single layer merges (the paper's Figure 3a).
    Layer,
    /// Which stage of the network merges.
    Stage,
    /// The depth past which all layers merge.
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
    /// All series, in the order in which they are drawn.
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

    /// The name that files use for it.
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

/// A range of layers to merge, by depth; all others are left alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// A layer's or a stage's name, or `past 12`.
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

/// The settings in which a variant differs from the sweep's base settings; those that do not differ are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Variation {
    /// The layers that merge, instead of all past the first L_s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Scope>,
    /// τ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tau: Option<Threshold>,
    /// α.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<Fraction>,
    /// p.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prob: Option<Fraction>,
    /// L_s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_shallow: Option<usize>,
    /// What is done to the same kernels in the place of merges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
}

impl Variation {
    /// Whether it determines which layers merge, instead of the base settings.
    pub fn selects_layers(&self) -> bool {
        self.layers.is_some() || self.skip_shallow.is_some()
    }

    /// The parameters it sets, as `(parameter, number)`, in the order τ, α, p, L_s. τ is in percent where its scale is.
    pub fn numbers(&self) -> Vec<(Series, f64)> {
        let numbers = [
            (Series::Tau, self.tau.map(Threshold::number)),
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
            self.control.map(|control| control.words().to_owned()),
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// The curve or map it belongs to.
    pub series: Series,
    /// How it differs from the base settings; empty for the baseline.
    #[serde(default, rename = "set")]
    pub variation: Variation,
    /// The number of the repetition, from 0.
    pub repeat: u32,
    /// The seed of its draws, which differs between repetitions.
    pub seed: u64,
}
