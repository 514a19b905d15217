//! What measures and settings are called in figures, on the page and in the terminal, and how their numbers are written.

use crate::plan::Parameters;
use crate::report::table::{counted, significant};
use crate::sensitivity::{
    FinishedPoint, Measure, PointOutcome, Results, Series, Setting, Variation,
};

/// What a measure is called; an evaluator's number by the metric that was asked for, if it has a name.
pub fn measure(results: &Results, measure: Measure) -> String {
    let metric = || results.sweep.evaluator.as_ref()?.metric.clone();
    match measure {
        Measure::Score => metric().unwrap_or_else(|| "score".to_owned()),
        Measure::MergedShare => "share of kernels merged".to_owned(),
        Measure::RelativeChange => "relative weight change".to_owned(),
        Measure::EffectiveRank => "effective rank".to_owned(),
        Measure::MeanNearest => "mean nearest similarity".to_owned(),
    }
}

/// The same at the beginning of a sentence. A metric is called as its evaluator calls it.
pub fn title(results: &Results, measure: Measure) -> String {
    let name = self::measure(results, measure);
    let evaluator = results.sweep.evaluator.as_ref();
    if measure == Measure::Score && evaluator.is_some_and(|e| e.metric.is_some()) {
        return name;
    }
    let mut letters = name.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).collect()
}

/// The symbol of a parameter that varies as a number; nothing for others.
pub fn symbol(series: Series) -> &'static str {
    match series {
        Series::Tau => "\u{3c4}",
        Series::Alpha => "\u{3b1}",
        Series::Prob => "p",
        Series::SkipShallow => "L_s",
        _ => "",
    }
}

/// The value that a setting gives a parameter, as it was given: `0.3`, `20%`.
pub fn value(variation: &Variation, series: Series) -> Option<String> {
    match series {
        Series::Tau => variation.tau.map(|tau| tau.to_string()),
        Series::Alpha => variation.alpha.map(|alpha| alpha.to_string()),
        Series::Prob => variation.prob.map(|prob| prob.to_string()),
        Series::SkipShallow => variation.skip_shallow.map(|count| count.to_string()),
        _ => None,
    }
}

/// What a setting differs in from the base: `layer1.0.conv1.weight`, `τ 0.3, α 0.5`.
pub fn setting(variation: &Variation) -> String {
    let signed = |(series, _)| Some(format!("{} {}", symbol(series), value(variation, series)?));
    let scope = variation.layers.as_ref().map(|scope| scope.label.clone());
    let numbers = variation.numbers().into_iter().filter_map(signed);
    let control = variation.control.map(|control| control.words().to_owned());
    let parts: Vec<String> = scope.into_iter().chain(numbers).chain(control).collect();
    if parts.is_empty() {
        "unmerged".to_owned()
    } else {
        parts.join(", ")
    }
}

/// The base settings but for those that vary, in parts.
pub fn base(results: &Results, varied: &[Series]) -> Vec<String> {
    let Parameters {
        tau,
        alpha,
        prob,
        skip_shallow,
        partner,
        rounds,
        seed: _,
    } = results.sweep.parameters;
    let scoped = |series: &Series| matches!(series, Series::Layer | Series::Stage | Series::Past);
    let kept = |series: Series| {
        let replaced = series == Series::SkipShallow && varied.iter().any(scoped);
        !varied.contains(&series) && !replaced
    };
    let numbers = [
        (Series::Tau, tau.to_string()),
        (Series::Alpha, alpha.to_string()),
        (Series::Prob, prob.to_string()),
        (Series::SkipShallow, skip_shallow.to_string()),
    ];
    let mut parts: Vec<String> = numbers
        .into_iter()
        .filter(|(series, _)| kept(*series))
        .map(|(series, number)| format!("{}\u{a0}{number}", symbol(series)))
        .collect();
    parts.push(format!("{partner} partners"));
    parts.push(counted(rounds.get().into(), "round"));
    let own = results.sweep.layers.iter().any(|layer| {
        (kept(Series::Tau) && layer.tau != tau)
            || (kept(Series::Alpha) && layer.alpha != alpha)
            || (kept(Series::Prob) && layer.prob != prob)
    });
    if own {
        parts.push("some layers with settings of their own".to_owned());
    }
    parts
}

/// A list of names, cut after about `most`.
pub fn listed(names: &[String], most: usize) -> String {
    // One more takes no more room than to say that there is one.
    let gap = if names.iter().any(|name| name.contains(", ")) {
        "; "
    } else {
        ", "
    };
    if names.len() <= most + 1 {
        return names.join(gap);
    }
    let first = names[..most].join(gap);
    format!("{first}{gap}\u{2026} and {} more", names.len() - most)
}

/// The merges: the settings of all series but the baseline, without controls, in their order.
pub fn settings(results: &Results) -> impl Iterator<Item = Setting<'_>> {
    let settings = results.all_settings();
    settings
        .filter(|setting| setting.series != Series::Baseline && setting.variation.control.is_none())
}

/// Points that failed, with the reason and the end of what their evaluators printed.
pub fn failures(results: &Results) -> impl Iterator<Item = (&FinishedPoint, &str, &str)> {
    let points = results.points.iter();
    points.filter_map(|finished| match &finished.outcome {
        PointOutcome::Failed { why, output } => Some((finished, &why[..], &output[..])),
        _ => None,
    })
}

/// How the numbers of a measure are written: with as many digits as tell them apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NumberFormat {
    percent: bool,
    digits: usize,
}

impl NumberFormat {
    /// For these numbers, as the measure has them.
    pub fn of(measure: Measure, numbers: impl IntoIterator<Item = f64>) -> Self {
        let finite = numbers.into_iter().filter(|number| number.is_finite());
        let ends = finite.fold(None, |ends: Option<(f64, f64)>, number| {
            let (least, greatest) = ends.unwrap_or((number, number));
            Some((least.min(number), greatest.max(number)))
        });
        let (least, greatest) = ends.unwrap_or((0.0, 1.0));
        let size = least.abs().max(greatest.abs());
        // Halved, for their difference may be beyond all numbers.
        let spread = 2.0 * (greatest / 2.0 - least / 2.0) / size;
        let more = if spread > 0.0 {
            (-spread.log10()).floor().clamp(0.0, 4.0) as usize
        } else {
            1
        };
        Self {
            percent: is_share(measure),
            digits: 3 + more,
        }
    }

    /// For a table of all settings, whose numbers may be close in one part of it and far apart in another.
    pub fn in_table(results: &Results, measure: Measure) -> Self {
        let means = results
            .all_settings()
            .filter_map(|setting| Some(setting.average(measure)?.mean));
        let written = Self::of(measure, means);
        Self {
            digits: written.digits.max(5),
            ..written
        }
    }

    /// One of the numbers.
    pub fn write(self, number: f64) -> String {
        if self.percent {
            format!("{}\u{a0}%", significant(100.0 * number, self.digits))
        } else {
            significant(number, self.digits)
        }
    }

    pub fn write_deviation(self, deviation: f64) -> String {
        Self { digits: 2, ..self }.write(deviation)
    }
}

/// Whether a measure is a share, which is written in percent.
pub fn is_share(measure: Measure) -> bool {
    match measure {
        Measure::MergedShare | Measure::RelativeChange | Measure::EffectiveRank => true,
        Measure::Score | Measure::MeanNearest => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_shortened() {
        let names = |count: usize| -> Vec<String> { (0..count).map(|n| n.to_string()).collect() };
        assert_eq!(listed(&names(3), 2), "0, 1, 2");
        assert_eq!(listed(&names(4), 2), "0, 1, \u{2026} and 2 more");
        assert_eq!(listed(&[], 2), "");
        let two = ["\u{3b1} 0, p 1", "\u{3b1} 0, p 0"].map(str::to_owned);
        assert_eq!(listed(&two, 8), "\u{3b1} 0, p 1; \u{3b1} 0, p 0");
    }

    #[test]
    fn digits_tell_numbers_apart() {
        let written = |numbers: &[f64]| {
            let written = NumberFormat::of(Measure::Score, numbers.iter().copied());
            numbers
                .iter()
                .map(|n| written.write(*n))
                .collect::<Vec<_>>()
        };
        assert_eq!(written(&[0.5, 0.9]), ["0.500", "0.900"]);
        assert_eq!(written(&[0.9123, 0.9137]), ["0.91230", "0.91370"]);
        assert_eq!(written(&[-1e12]), ["-1.000e12"]);
        assert_eq!(written(&[f64::MAX, f64::MIN]), ["1.80e308", "-1.80e308"]);
        let share = NumberFormat::of(Measure::MergedShare, [0.125, 0.5]);
        assert_eq!(share.write(0.125), "12.5\u{a0}%");
        assert_eq!(share.write(0.0), "0\u{a0}%");
        assert_eq!(share.write_deviation(0.0123), "1.2\u{a0}%");
    }
}
