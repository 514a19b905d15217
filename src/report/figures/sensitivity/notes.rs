//! What is written around the figures of a sweep.

use crate::report::figures::chart::{Caption, LegendKey};
use crate::report::figures::colours::ALARM;
use crate::report::figures::text::{name, things};
use crate::report::sensitivity::labels;
use crate::sensitivity::{Measure, Results, Series, Setting};

/// Names in a note at most.
const NAMES: usize = 8;

/// What is measured, and over what.
pub fn title(results: &Results, measure: Measure, varying: &str) -> String {
    format!("{} {varying}", name(&labels::title(results, measure)))
}

/// The checkpoint, what does not vary, and what is drawn of the repetitions.
pub fn subtitle(
    results: &Results,
    varied: &[Series],
    settings: &[Setting<'_>],
    shown: &str,
) -> String {
    let mut parts = vec![name(&results.sweep.source.file)];
    parts.extend(labels::base(results, varied));
    let counts = || settings.iter().map(|setting| setting.points.len());
    let (least, most) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
    parts.push(match (least, most) {
        (_, 0 | 1) => "one run each".to_owned(),
        (least, most) if least == most => format!("{shown} of {most} runs"),
        (least, most) => format!("{shown} of {least} to {most} runs"),
    });
    // Parts are not broken across lines.
    let parts: Vec<String> = parts
        .iter()
        .map(|part| part.replace(' ', "\u{a0}"))
        .collect();
    parts.join(" \u{b7} ")
}

/// What a figure's notes, legend and alarm say of settings that merged nothing and of runs that failed.
pub struct Remarks {
    /// The settings at which nothing merged, by name.
    hollow: Vec<String>,
    /// Whether they are all.
    all_hollow: bool,
    /// The settings with a failed run, by name.
    failing: Vec<String>,
    failed: usize,
    runs: usize,
    missing: usize,
    is_baseline_known: bool,
}

impl Remarks {
    /// On settings; `call` names them.
    pub fn on(
        results: &Results,
        settings: &[Setting<'_>],
        measure: Measure,
        call: impl Fn(&Setting<'_>) -> String,
    ) -> Self {
        let hollow = settings.iter().filter(|setting| setting.merged_nothing());
        let hollow: Vec<String> = hollow.map(&call).collect();
        let failed = |setting: &Setting<'_>| setting.failed().count();
        let failing = settings.iter().filter(|setting| failed(setting) > 0);
        Self {
            all_hollow: !hollow.is_empty() && hollow.len() == settings.len(),
            hollow,
            failing: failing.map(&call).collect(),
            failed: settings.iter().map(failed).sum(),
            runs: settings.iter().map(|setting| setting.points.len()).sum(),
            missing: results.missing,
            is_baseline_known: results.baseline(measure).is_some(),
        }
    }

    /// Adds the legend's entries for hollow and crossed settings, where there are any.
    pub fn explain(&self, hollow: LegendKey, legend: &mut Vec<(LegendKey, String)>) {
        if !self.hollow.is_empty() {
            legend.push((hollow, "nothing merged".to_owned()));
        }
        if self.failed > 0 {
            legend.push((LegendKey::Cross(ALARM), "failed".to_owned()));
        }
    }

    /// Adds an alarm where nothing merged at all.
    pub fn alarm(&self, caption: Caption) -> Caption {
        if self.all_hollow {
            caption.alarmed(
                "NOTHING MERGED at any point of this figure: it does not show that the net is robust to merging.",
            )
        } else {
            caption
        }
    }

    /// The notes below the figure, with `prefix` before the names.
    pub fn notes(&self, prefix: &str) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.hollow.is_empty() {
            notes.push(format!(
                "Hollow: nothing merged at {prefix}{}. What is drawn there says nothing about merging.",
                labels::listed(&self.hollow, NAMES)
            ));
        }
        if self.failed > 0 {
            notes.push(format!(
                "\u{d7}: {} of {} failed, at {prefix}{}.",
                self.failed,
                things(self.runs as u64, "run"),
                labels::listed(&self.failing, NAMES)
            ));
        }
        if self.missing > 0 {
            notes.push(format!(
                "The sweep is not finished: {} still to come.",
                things(self.missing as u64, "point")
            ));
        }
        if !self.is_baseline_known {
            notes.push("What the unmerged checkpoint comes to is not known.".to_owned());
        }
        notes
    }
}
