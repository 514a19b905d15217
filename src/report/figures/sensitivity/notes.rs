//! What is written around the figures of a sweep.

use crate::report::figures::text::{name, things};
use crate::report::sensitivity::words;
use crate::sensitivity::{Measure, Results, Series, Setting};

/// Names in a note at most.
const NAMES: usize = 8;

/// A measure's name at the beginning of a title.
pub fn title(results: &Results, measure: Measure, varying: &str) -> String {
    let measured = name(&words::measure(results, measure));
    // A metric is called as its evaluator calls it.
    let given = |metric: &String| measure == Measure::Score && *metric == measured;
    let metric = results
        .sweep
        .evaluator
        .as_ref()
        .and_then(|e| e.metric.as_ref());
    let measured = match metric.is_some_and(given) {
        true => measured,
        false => capitalised(&measured),
    };
    format!("{measured} {varying}")
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).collect()
}

/// The checkpoint, what does not vary, and what is drawn of the repetitions.
pub fn subtitle(
    results: &Results,
    varied: &[Series],
    settings: &[Setting<'_>],
    shown: &str,
) -> String {
    let mut parts = vec![name(&results.sweep.source.file)];
    parts.extend(words::base(results, varied));
    let counts = || settings.iter().map(|setting| setting.points.len());
    let (least, most) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
    parts.push(match (least, most) {
        (_, 0 | 1) => "one run each".to_owned(),
        (least, most) if least == most => format!("{shown} of {most} runs"),
        (least, most) => format!("{shown} of {least} to {most} runs"),
    });
    // Each is held together where the line is broken.
    let parts: Vec<String> = parts
        .iter()
        .map(|part| part.replace(' ', "\u{a0}"))
        .collect();
    parts.join(" \u{b7} ")
}

/// Settings of a figure at which nothing merged.
pub struct Hollow {
    names: Vec<String>,
    all: bool,
}

impl Hollow {
    /// Of settings; `call` names them.
    pub fn of(settings: &[Setting<'_>], call: impl Fn(&Setting<'_>) -> String) -> Self {
        let hollow = settings.iter().filter(|setting| setting.merged_nothing());
        let names: Vec<String> = hollow.map(call).collect();
        Self {
            all: !names.is_empty() && names.len() == settings.len(),
            names,
        }
    }

    /// Whether there are any.
    pub fn any(&self) -> bool {
        !self.names.is_empty()
    }

    /// What must not be overlooked.
    pub fn alarm(&self) -> Option<String> {
        self.all.then(|| {
            "NOTHING MERGED at any point of this figure: it does not show that the net is robust to merging."
                .to_owned()
        })
    }

    /// What is said below the figure, with something before the names.
    pub fn note(&self, prefix: &str) -> Option<String> {
        self.any().then(|| {
            format!(
                "Hollow: nothing merged at {prefix}{}. What is drawn there says nothing about merging.",
                words::listed(&self.names, NAMES)
            )
        })
    }
}

/// What failed, and what is not known yet.
pub fn others(
    results: &Results,
    settings: &[Setting<'_>],
    prefix: &str,
    call: impl Fn(&Setting<'_>) -> String,
) -> Vec<String> {
    let mut notes = Vec::new();
    let failing = settings
        .iter()
        .filter(|setting| setting.failed().next().is_some());
    let names: Vec<String> = failing.map(call).collect();
    if !names.is_empty() {
        let points = settings
            .iter()
            .map(|setting| setting.points.len())
            .sum::<usize>();
        let failed = settings
            .iter()
            .map(|setting| setting.failed().count())
            .sum::<usize>();
        notes.push(format!(
            "\u{d7}: {failed} of {} failed, at {prefix}{}.",
            things(points as u64, "run"),
            words::listed(&names, NAMES)
        ));
    }
    if results.missing > 0 {
        notes.push(format!(
            "The sweep is not finished: {} still to come.",
            things(results.missing as u64, "point")
        ));
    }
    notes
}
