//! Parsing `--vary`.

use std::collections::BTreeSet;
use std::str::FromStr;

use crate::plan::{CHANCE, Fraction, InvalidParameter, Threshold};

use super::Series;

/// The maximum number of values of one parameter.
const MAX_VALUES: i128 = 10_000;

/// The maximum number of digits of a number in a range.
const MAX_DIGITS: usize = 18;

/// A parameter and its values in ascending order, or the ways in which layers are chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum Vary {
    /// `Series::Layer`, `Series::Stage` or `Series::Past`.
    Layers(BTreeSet<Series>),
    /// Values of τ, either all similarities or all shares.
    Tau(Vec<Threshold>),
    /// Values of α.
    Alpha(Vec<Fraction>),
    /// Values of p.
    Prob(Vec<Fraction>),
    /// Values of L_s.
    SkipShallow(Vec<usize>),
}

/// A value of `--vary` that is not valid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InvalidVary {
    #[error(
        "`{0}` cannot vary; use layers, or tau, alpha, prob or skip-shallow with values, as in tau=0.1:0.9:0.1"
    )]
    UnknownParameter(String),
    #[error("{0} needs values: a list such as 0.1,0.3 or a range start:stop:step")]
    NoValues(String),
    #[error(
        "`{0}` is no way to choose layers; use each, stages, past, or `layers` alone for all three"
    )]
    UnknownWay(String),
    #[error(
        "`{0}` is no range; write start:stop:step with decimal numbers, start no greater than stop and step above 0"
    )]
    NotARange(String),
    #[error("`{0}` makes more than {MAX_VALUES} values; take a greater step, or fewer ranges")]
    TooMany(String),
    #[error("`{0}` is not a whole number")]
    NotWhole(String),
    #[error("similarities, percentages and chances cannot be on one axis; vary tau over one kind")]
    MixedThresholds,
    #[error(transparent)]
    Value(#[from] InvalidParameter),
}

impl Vary {
    /// The series whose points it adds.
    pub fn series(&self) -> BTreeSet<Series> {
        match self {
            Self::Layers(ways) => ways.clone(),
            Self::Tau(_) => [Series::Tau].into(),
            Self::Alpha(_) => [Series::Alpha].into(),
            Self::Prob(_) => [Series::Prob].into(),
            Self::SkipShallow(_) => [Series::SkipShallow].into(),
        }
    }

    /// The number of values; 0 for ways to choose layers.
    pub fn count(&self) -> usize {
        match self {
            Self::Layers(_) => 0,
            Self::Tau(values) => values.len(),
            Self::Alpha(values) | Self::Prob(values) => values.len(),
            Self::SkipShallow(values) => values.len(),
        }
    }
}

impl FromStr for Vary {
    type Err = InvalidVary;

    fn from_str(text: &str) -> Result<Self, InvalidVary> {
        let (name, values) = match text.split_once('=') {
            Some((name, values)) => (name.trim(), Some(values)),
            None => (text.trim(), None),
        };
        if name == "layers" {
            return Ok(Self::Layers(ways(values)?));
        }
        if !["tau", "alpha", "prob", "skip-shallow"].contains(&name) {
            return Err(InvalidVary::UnknownParameter(name.to_owned()));
        }
        let values = values.filter(|values| !values.trim().is_empty());
        let values = values.ok_or_else(|| InvalidVary::NoValues(name.to_owned()))?;
        let values = listed(values)?;
        Ok(match name {
            "tau" => Self::Tau(thresholds(&values)?),
            "alpha" => Self::Alpha(fractions(&values)?),
            "prob" => Self::Prob(fractions(&values)?),
            _ => {
                let whole = |value: &String| {
                    let whole = value.parse();
                    whole.map_err(|_| InvalidVary::NotWhole(value.clone()))
                };
                let counts: BTreeSet<usize> = values.iter().map(whole).collect::<Result<_, _>>()?;
                Self::SkipShallow(counts.into_iter().collect())
            }
        })
    }
}

fn ways(text: Option<&str>) -> Result<BTreeSet<Series>, InvalidVary> {
    let Some(text) = text else {
        return Ok([Series::Layer, Series::Stage, Series::Past].into());
    };
    let way = |way: &str| match way.trim() {
        "each" => Ok(Series::Layer),
        "stages" => Ok(Series::Stage),
        "past" => Ok(Series::Past),
        other => Err(InvalidVary::UnknownWay(other.to_owned())),
    };
    text.split(',').map(way).collect()
}

fn thresholds(values: &[String]) -> Result<Vec<Threshold>, InvalidVary> {
    let mut thresholds: Vec<Threshold> = values
        .iter()
        .map(|value| value.parse())
        .collect::<Result<_, _>>()?;
    thresholds.sort_by(|a, b| a.number().total_cmp(&b.number()));
    thresholds.dedup();
    if thresholds
        .windows(2)
        .any(|pair| pair[0].scale() != pair[1].scale())
    {
        return Err(InvalidVary::MixedThresholds);
    }
    Ok(thresholds)
}

fn fractions(values: &[String]) -> Result<Vec<Fraction>, InvalidVary> {
    let mut fractions: Vec<Fraction> = values
        .iter()
        .map(|value| value.parse())
        .collect::<Result<_, _>>()?;
    fractions.sort_by(|a, b| a.get().total_cmp(&b.get()));
    fractions.dedup();
    Ok(fractions)
}

/// The values of a list, with ranges expanded; at most [`MAX_VALUES`].
fn listed(text: &str) -> Result<Vec<String>, InvalidVary> {
    let mut values = Vec::new();
    for item in text.split(',').map(str::trim) {
        if item.contains(':') {
            values.extend(range(item)?);
        } else {
            values.push(item.to_owned());
        }
        // Counts duplicates too, because they take memory until they are removed.
        if values.len() as i128 > MAX_VALUES {
            return Err(InvalidVary::TooMany(item.to_owned()));
        }
    }
    Ok(values)
}

/// The values `start, start + step, …` up to and including `stop`, in decimal arithmetic, so that they are exactly those that a
/// person would write.
fn range(text: &str) -> Result<Vec<String>, InvalidVary> {
    let not_a_range = || InvalidVary::NotARange(text.to_owned());
    let (prefix, range) = match text.strip_prefix(CHANCE) {
        Some(range) => (CHANCE, range),
        None => ("", text),
    };
    let parts: Vec<&str> = range.split(':').map(str::trim).collect();
    let percent = parts.iter().all(|part| part.ends_with('%'));
    let numbers: Option<Vec<Decimal>> = parts
        .iter()
        .map(|part| {
            Decimal::parse(if percent {
                &part[..part.len() - 1]
            } else {
                part
            })
        })
        .collect();
    let numbers = numbers.filter(|numbers| numbers.len() == 3);
    let numbers = numbers.ok_or_else(not_a_range)?;
    let decimals = numbers.iter().map(|n| n.decimals).max().unwrap_or(0);
    let scaled: Option<Vec<i128>> = numbers.iter().map(|n| n.scaled(decimals)).collect();
    let scaled = scaled.ok_or_else(not_a_range)?;
    let (start, stop, step) = (scaled[0], scaled[1], scaled[2]);
    if step <= 0 || start > stop {
        return Err(not_a_range());
    }
    let count = (stop - start) / step + 1;
    if count > MAX_VALUES {
        return Err(InvalidVary::TooMany(text.to_owned()));
    }
    let unit = if percent { "%" } else { "" };
    let value = |index: i128| {
        let digits = start + index * step;
        format!("{prefix}{}{unit}", Decimal { digits, decimals })
    };
    Ok((0..count).map(value).collect())
}

/// A decimal number: `digits · 10^−decimals`.
#[derive(Clone, Copy, Debug)]
struct Decimal {
    digits: i128,
    decimals: usize,
}

impl Decimal {
    fn parse(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (whole, decimals) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits = format!("{whole}{decimals}");
        let is_decimal = digits.bytes().all(|digit| digit.is_ascii_digit());
        let is_short = (1..=MAX_DIGITS).contains(&digits.len());
        let digits: i128 = (is_decimal && is_short).then(|| digits.parse().ok())??;
        Some(Self {
            digits: if unsigned == text { digits } else { -digits },
            decimals: decimals.len(),
        })
    }

    fn scaled(self, decimals: usize) -> Option<i128> {
        let more = u32::try_from(decimals - self.decimals).ok()?;
        self.digits.checked_mul(10i128.pow(more))
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.digits < 0 { "-" } else { "" };
        let scale = 10i128.pow(self.decimals as u32);
        let (whole, rest) = (self.digits.abs() / scale, self.digits.abs() % scale);
        match self.decimals {
            0 => write!(f, "{sign}{whole}"),
            decimals => write!(f, "{sign}{whole}.{rest:0decimals$}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(text: &str) -> Vec<String> {
        match text.parse::<Vary>().unwrap() {
            Vary::Layers(ways) => ways.iter().map(ToString::to_string).collect(),
            Vary::Tau(values) => values.iter().map(ToString::to_string).collect(),
            Vary::Alpha(values) | Vary::Prob(values) => {
                values.iter().map(ToString::to_string).collect()
            }
            Vary::SkipShallow(values) => values.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn ranges_are_of_decimal_numbers_and_hold_their_ends() {
        for (text, expected) in [
            ("tau=0.1:0.9:0.1", "0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9"),
            ("tau=-0.5:0.5:0.25", "-0.5 -0.25 0 0.25 0.5"),
            ("tau=5%:20%:7.5%", "5% 12.5% 20%"),
            ("tau=0:1:0.4", "0 0.4 0.8"),
            (
                "tau=chance=1%:3%:1%,chance=0.5%",
                "chance=0.5% chance=1% chance=2% chance=3%",
            ),
            ("alpha=0.9, 0.1,0.5,0.1", "0.1 0.5 0.9"),
            ("prob=0.3,0.5:1:0.25", "0.3 0.5 0.75 1"),
            ("skip-shallow=0:20:10,3", "0 3 10 20"),
            ("layers", "layer stage past"),
            ("layers=past,each", "layer past"),
        ] {
            assert_eq!(values(text).join(" "), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for text in [
            "taw=0.1",
            "tau",
            "tau=",
            "tau=0.1:0.9",
            "tau=0.1:0.9:0",
            "tau=0.9:0.1:0.1",
            "tau=0.1:0.9:-0.1",
            "tau=0:1:1e-1",
            "tau=0:1:0.00001",
            "tau=0:0.6:0.0001,0:0.6:0.0001",
            "tau=0:0.9999:0.0001,0.0001",
            "tau=2",
            "tau=0.1,5%",
            "tau=1%,chance=1%",
            "tau=chance=1:3:1",
            "alpha=chance=1%",
            "tau=5%:20%:5",
            "alpha=1.5",
            "alpha=x",
            "alpha=nan",
            "prob=0.1,,0.2",
            "skip-shallow=1.5",
            "skip-shallow=-1",
            "layers=some",
            "layers=",
            "seed=1",
            "tau=::",
            "tau=0.1:0.2:0.1:0.1",
            "tau=0:1:0.00000000000000000000000000000000000000001",
        ] {
            assert!(text.parse::<Vary>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "(tau|prob|skip-shallow|layers)=[0-9:.,%e -]{0,30}") {
            let _ = text.parse::<Vary>();
        }

        #[test]
        fn a_range_is_what_multiplication_says(start in 0i64..500, step in 1i64..100, count in 1i64..40) {
            let at = |index: i64| (start + index * step) as f64 / 10_000.0;
            let text = format!("prob={}:{}:{}", at(0), at(count - 1), step as f64 / 10_000.0);
            let Vary::Prob(values) = text.parse::<Vary>().unwrap() else { unreachable!() };
            let values: Vec<f64> = values.into_iter().map(Fraction::get).collect();
            prop_assert_eq!(values, (0..count).map(at).collect::<Vec<_>>());
        }
    }
}
