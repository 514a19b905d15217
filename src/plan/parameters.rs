//! The parameters of a merge, valid by construction.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::layers::Selection;

/// A parameter that is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidParameter {
    #[error("`{0}` is not a number")]
    NotANumber(String),
    #[error("`{0}` is not a percentage such as 1%")]
    NotAPercentage(String),
    /// A number out of range.
    #[error("{value} is not within {range}")]
    OutOfRange {
        /// The number as the user gave it.
        value: String,
        /// The range, as the message shows it.
        range: &'static str,
    },
    #[error("`{0}` is not a partner policy; use eligible, nearest or random")]
    UnknownPartner(String),
    #[error("`{0}` is no control; use random or shrink")]
    UnknownControl(String),
}

/// A number in [0, 1]: α or p.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(extend("minimum" = 0, "maximum" = 1)))]
#[serde(try_from = "f64", into = "f64")]
pub struct Fraction(f64);

/// A cosine similarity in [−1, 1].
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Cosine(f64);

/// A percentage in [0, 100].
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Percent(f64);

macro_rules! bounded {
    ($type:ident, $low:literal..=$high:literal, $range:literal) => {
        impl $type {
            /// The number as `f64`.
            pub fn get(self) -> f64 {
                self.0
            }
        }

        impl TryFrom<f64> for $type {
            type Error = InvalidParameter;

            fn try_from(value: f64) -> Result<Self, InvalidParameter> {
                if ($low..=$high).contains(&value) {
                    Ok(Self(value))
                } else {
                    Err(InvalidParameter::OutOfRange {
                        value: value.to_string(),
                        range: $range,
                    })
                }
            }
        }

        impl From<$type> for f64 {
            fn from(value: $type) -> f64 {
                value.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidParameter;

            fn from_str(text: &str) -> Result<Self, InvalidParameter> {
                let value: f64 = text
                    .trim()
                    .parse()
                    .map_err(|_| InvalidParameter::NotANumber(text.to_owned()))?;
                Self::try_from(value)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

bounded!(Fraction, 0.0..=1.0, "[0, 1]");
bounded!(
    Cosine,
    -1.0..=1.0,
    "[-1, 1] (or a percentage such as 5% or chance=1%)"
);
bounded!(Percent, 0.0..=100.0, "[0%, 100%]");

impl Percent {
    /// This percentage of a count, rounded down. It is computed from the decimal number, not from the float nearest to it:
    /// 2.3 % of 3000 is 69, but `2.3 * 3000.0 / 100.0` is a little less.
    pub fn of(self, count: usize) -> usize {
        // Numbers as small as 10⁻¹⁸ of a percent make no difference to any count.
        const DECIMALS: usize = 18;
        let text = self.0.to_string();
        let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
        let digits: String = decimals.chars().take(DECIMALS).collect();
        let scale = 10u128.pow(digits.len() as u32);
        // At most 100·10¹⁸ and 2⁶⁴: the product is below 2¹²⁸ / 2.
        let scaled = format!("{whole}{digits}").parse::<u128>().unwrap_or(0);
        let share = scaled * count as u128 / (100 * scale);
        usize::try_from(share).unwrap_or(count)
    }
}

/// τ: the similarity that a partner must exceed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(try_from = "RawThreshold", into = "RawThreshold")]
pub enum Threshold {
    /// The same similarity for every layer.
    Similarity(Cosine),
    /// For each layer, the smallest similarity at which at most this share of its kernels have an eligible partner.
    Share(Percent),
    /// For each layer, the smallest similarity of six decimals at which chance gives an eligible partner to at most this share
    /// of its kernels: [`Chance::threshold_for`](crate::similarity::Chance::threshold_for).
    Chance(Percent),
}

/// The scale on which a threshold is given: numbers of different scales are not on one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ThresholdScale {
    /// Of [`Threshold::Similarity`].
    Similarity,
    /// Of [`Threshold::Share`], in percent.
    Share,
    /// Of [`Threshold::Chance`], in percent.
    Chance,
}

/// What the text of a [`Threshold::Chance`] begins with.
pub(crate) const CHANCE: &str = "chance=";

/// A threshold as JSON and TOML write it: `0.9` or `"5%"`.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
enum RawThreshold {
    /// A similarity.
    Number(#[cfg_attr(test, schemars(range(min = -1, max = 1)))] f64),
    /// A percentage within [0%, 100%]: a share of the kernels, or, after `chance=`, the share to which chance gives a partner.
    Text(#[cfg_attr(test, schemars(regex(pattern = r"^(chance=)?[0-9]+(\.[0-9]+)?%$")))] String),
}

impl TryFrom<RawThreshold> for Threshold {
    type Error = InvalidParameter;

    fn try_from(raw: RawThreshold) -> Result<Self, InvalidParameter> {
        match raw {
            RawThreshold::Number(value) => Cosine::try_from(value).map(Self::Similarity),
            RawThreshold::Text(text) => text.parse(),
        }
    }
}

impl From<Threshold> for RawThreshold {
    fn from(threshold: Threshold) -> Self {
        match threshold {
            Threshold::Similarity(value) => Self::Number(value.get()),
            Threshold::Share(_) | Threshold::Chance(_) => Self::Text(threshold.to_string()),
        }
    }
}

impl FromStr for Threshold {
    type Err = InvalidParameter;

    fn from_str(text: &str) -> Result<Self, InvalidParameter> {
        let text = text.trim();
        let chance = text.strip_prefix(CHANCE);
        match (chance, chance.unwrap_or(text).strip_suffix('%')) {
            (Some(_), Some(percent)) => percent.parse().map(Self::Chance),
            (Some(number), None) => Err(InvalidParameter::NotAPercentage(number.to_owned())),
            (None, Some(percent)) => percent.parse().map(Self::Share),
            (None, None) => text.parse().map(Self::Similarity),
        }
    }
}

impl Threshold {
    /// Its scale.
    pub fn scale(self) -> ThresholdScale {
        match self {
            Self::Similarity(_) => ThresholdScale::Similarity,
            Self::Share(_) => ThresholdScale::Share,
            Self::Chance(_) => ThresholdScale::Chance,
        }
    }

    /// Where it is on its scale.
    pub fn number(self) -> f64 {
        match self {
            Self::Similarity(similarity) => similarity.get(),
            Self::Share(percent) | Self::Chance(percent) => percent.get(),
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Similarity(value) => value.fmt(f),
            Self::Share(percent) => write!(f, "{percent}%"),
            Self::Chance(percent) => write!(f, "{CHANCE}{percent}%"),
        }
    }
}

impl Fraction {
    /// 0.
    pub const ZERO: Self = Self(0.0);
}

/// How a kernel finds its partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Partner {
    /// Uniformly among all kernels more similar than τ.
    Eligible,
    /// The most similar one, the lowest number in a tie, if it is more similar than τ.
    Nearest,
    /// One drawn uniformly among all other kernels, if it is more similar than τ: exactly the authors' rule.
    Random,
}

impl Partner {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::Eligible, Self::Nearest, Self::Random];

    /// The name used on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eligible => "eligible",
            Self::Nearest => "nearest",
            Self::Random => "random",
        }
    }
}

impl FromStr for Partner {
    type Err = InvalidParameter;

    fn from_str(text: &str) -> Result<Self, InvalidParameter> {
        let policy = Self::ALL.into_iter().find(|policy| policy.name() == text);
        policy.ok_or_else(|| InvalidParameter::UnknownPartner(text.to_owned()))
    }
}

impl fmt::Display for Partner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// All parameters of a merge.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// τ: the similarity that a partner must exceed.
    pub tau: Threshold,
    /// α: the share of itself that a merged kernel keeps.
    pub alpha: Fraction,
    /// p: the probability that a kernel takes its turn.
    pub prob: Fraction,
    /// L_s: how many of the first convolutions, in depth order, are left alone.
    pub skip_shallow: usize,
    /// How a kernel finds its partner.
    pub partner: Partner,
    /// How many times the kernels are merged, each time from the result of the round before.
    pub rounds: NonZeroU32,
    /// The seed of all draws.
    pub seed: u64,
}

impl Default for Parameters {
    /// The defaults of the paper's published code, except the partner policy (see `--help`) and the seed.
    fn default() -> Self {
        Self {
            tau: Threshold::Similarity(Cosine(0.3)),
            alpha: Fraction(0.8),
            prob: Fraction(0.3),
            skip_shallow: Selection::SKIP_SHALLOW,
            partner: Partner::Eligible,
            rounds: NonZeroU32::MIN,
            seed: 0,
        }
    }
}

impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tau,
            alpha,
            prob,
            skip_shallow,
            partner,
            rounds,
            seed,
        } = self;
        write!(
            f,
            "tau {tau}, alpha {alpha}, p {prob}, L_s {skip_shallow}, {partner} partners, {rounds} round{}, seed {seed}",
            if rounds.get() == 1 { "" } else { "s" }
        )
    }
}

/// The parameters that can differ from layer to layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerParameters {
    /// As [`Parameters::tau`].
    pub tau: Threshold,
    /// As [`Parameters::alpha`].
    pub alpha: Fraction,
    /// As [`Parameters::prob`].
    pub prob: Fraction,
}

impl From<&Parameters> for LayerParameters {
    fn from(parameters: &Parameters) -> Self {
        Self {
            tau: parameters.tau,
            alpha: parameters.alpha,
            prob: parameters.prob,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_kept() {
        for (text, ok) in [
            ("0", true),
            ("1", true),
            ("0.5", true),
            ("1.0001", false),
            ("-0.1", false),
            ("nan", false),
            ("inf", false),
            ("x", false),
        ] {
            assert_eq!(text.parse::<Fraction>().is_ok(), ok, "{text}");
        }
        for (text, ok) in [
            ("-1", true),
            ("1", true),
            ("-1.1", false),
            ("NaN", false),
            ("5%", true),
            ("100%", true),
            ("101%", false),
            ("-1%", false),
            ("%", false),
            ("chance=1%", true),
            ("chance=0.05%", true),
            ("chance=101%", false),
            ("chance=1", false),
            ("chance=", false),
        ] {
            assert_eq!(text.parse::<Threshold>().is_ok(), ok, "{text}");
        }
    }

    #[test]
    fn percentages_are_of_the_decimal_number() {
        for (percent, count, expected) in [
            ("29", 100, 29),
            ("2.3", 3000, 69),
            ("32.3", 1000, 323),
            ("5", 19, 0),
            ("5", 20, 1),
            ("100", 7, 7),
            ("0", 7, 0),
            ("1e-300", usize::MAX, 0),
            ("99.99999999999999", usize::MAX, 18_446_744_073_709_549_770),
        ] {
            assert_eq!(
                percent.parse::<Percent>().unwrap().of(count),
                expected,
                "{percent}% of {count}"
            );
        }
    }

    #[test]
    fn thresholds_survive_json() {
        for text in [
            "0.9",
            "-0.25",
            "\"5%\"",
            "\"7.5%\"",
            "\"29%\"",
            "\"chance=1%\"",
        ] {
            let threshold: Threshold = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&threshold).unwrap(), text);
        }
        assert!(serde_json::from_str::<Threshold>("1.5").is_err());
        assert!(serde_json::from_str::<Threshold>("\"150%\"").is_err());
    }
}
