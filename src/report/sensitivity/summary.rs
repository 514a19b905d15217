//! What `sensitivity` prints.

use std::path::Path;

use crate::report::table::{Align, count, counted, elided, optional, table};
use crate::sensitivity::{Measure, Results, Setting};

use super::labels::{self, NumberFormat};
use super::{RECOMMENDED, sentences};

/// A sweep in a terminal: a line for each setting, what is not to be overlooked, and where the rest is.
#[derive(Debug)]
pub struct SensitivitySummary<'a> {
    results: &'a Results,
    folder: &'a Path,
}

impl<'a> SensitivitySummary<'a> {
    /// Of a sweep whose report is in this folder.
    pub fn new(results: &'a Results, folder: &'a Path) -> Self {
        Self { results, folder }
    }

    pub fn to_text(&self, width: usize) -> String {
        let results = self.results;
        // The first is the one to be read; without an evaluator the others fit beside it.
        let measures: Vec<Measure> = match results.measures() {
            [Measure::Score] => vec![Measure::Score],
            all => all
                .iter()
                .copied()
                .filter(|measure| *measure != Measure::MergedShare)
                .collect(),
        };
        let shown: Vec<MeasureColumn> = measures
            .into_iter()
            .map(|measure| MeasureColumn::new(results, measure))
            .collect();
        let mut columns = vec![("setting", Align::Name)];
        for shown in &shown {
            columns.push((shown.name.as_str(), Align::Right));
            if shown.spread {
                columns.push(("\u{b1} sd", Align::Right));
            }
        }
        columns.extend([
            ("runs", Align::Right),
            ("merged", Align::Right),
            ("of", Align::Right),
            ("", Align::Left),
        ]);
        let mut text = table(
            &columns,
            results.all_settings().map(|setting| row(&setting, &shown)),
            width,
        );
        text.push('\n');
        text.push_str(&self.notes());
        text
    }

    fn notes(&self) -> String {
        let results = self.results;
        let mut text = String::new();
        let mut settings = 0;
        let mut hollow = Vec::new();
        for setting in labels::settings(results) {
            settings += 1;
            if setting.merged_nothing() {
                hollow.push(setting.variation.to_string());
            }
        }
        if settings > 0 && hollow.len() == settings {
            text += "NOTHING MERGED at any setting: this sweep says nothing about merging. Lower --tau, or give it as a share such \
                     as 20%.\n";
        } else if !hollow.is_empty() {
            text += &format!(
                "Nothing merged at {}: {}. What comes of them says nothing about merging.\n",
                counted(hollow.len() as u64, "setting"),
                labels::listed(&hollow, 8),
            );
        }
        let mut failures = labels::failures(results);
        if let Some((finished, why, _)) = failures.next() {
            text += &format!(
                "{} failed; the first, {}: {why}\n",
                counted(1 + failures.count() as u64, "point"),
                finished.point.variation,
            );
        }
        if results.missing > 0 {
            text += &format!(
                "{} still to be done: the same command goes on with them.\n",
                counted(results.missing as u64, "point"),
            );
        }
        for sentence in sentences(results).unwrap_or_default() {
            text += &format!("{sentence}\n");
        }
        if results.recommendation().is_some() {
            let file = self.folder.join(RECOMMENDED);
            text += &format!(
                "Merge so with: inmerge-ckpt merge IN OUT --config {}\n",
                shell_words::quote(&file.to_string_lossy())
            );
        }
        text += &format!("Wrote {}: open index.html there.\n", self.folder.display());
        crate::report::printable(&text).into_owned()
    }
}

/// Most characters of an evaluator's measure above its column.
const LONGEST_MEASURE: usize = 16;

/// A measure in the table.
struct MeasureColumn {
    measure: Measure,
    name: String,
    written: NumberFormat,
    /// Whether any setting has a standard deviation.
    spread: bool,
}

impl MeasureColumn {
    fn new(results: &Results, measure: Measure) -> Self {
        let mut settings = results.all_settings();
        let deviation = |setting: Setting<'_>| setting.average(measure)?.deviation;
        Self {
            measure,
            name: match measure {
                Measure::RelativeChange => "change".to_owned(),
                Measure::EffectiveRank => "eff. rank".to_owned(),
                Measure::MeanNearest => "nearest".to_owned(),
                Measure::Score | Measure::MergedShare => {
                    elided(&labels::measure(results, measure), LONGEST_MEASURE)
                }
            },
            written: NumberFormat::in_table(results, measure),
            spread: settings.any(|setting| deviation(setting).is_some()),
        }
    }
}

fn row(setting: &Setting<'_>, measures: &[MeasureColumn]) -> Vec<String> {
    let mut row = vec![setting.variation.to_string()];
    for shown in measures {
        let (average, written) = (setting.average(shown.measure), shown.written);
        row.push(optional(average, |average| written.write(average.mean)));
        if shown.spread {
            let deviation = average.and_then(|average| average.deviation);
            row.push(optional(deviation, |deviation| {
                written.write_deviation(deviation)
            }));
        }
    }
    let failed = setting.failed().count();
    let share = setting.average(Measure::MergedShare);
    row.push((setting.points.len() - failed).to_string());
    row.push(optional(share, |share| {
        format!("{:.1} %", 100.0 * share.mean)
    }));
    row.push(count(setting.points[0].merging.kernels as u64));
    row.push(match failed {
        0 => String::new(),
        failed => format!("{failed} failed"),
    });
    row
}

#[cfg(test)]
mod tests {
    use super::super::sample::Sample;
    use super::*;
    use crate::sensitivity::PointOutcome;

    fn text(results: &Results) -> String {
        SensitivitySummary::new(results, Path::new("out dir")).to_text(80)
    }

    fn line<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
        let line = text
            .lines()
            .find(|line| line.trim_start().starts_with(start));
        let line = line.unwrap_or_else(|| panic!("{start} in {text}"));
        line.split_whitespace().collect()
    }

    #[test]
    fn every_setting_has_a_line() {
        let mut results = Sample::scored().taus(&["0.1", "0.9"]).repeats(2).results();
        for (point, score) in results.points.iter_mut().zip([0.9, 0.9, 0.7, 0.8]) {
            point.outcome = PointOutcome::Scored {
                score,
                stderr: None,
            };
        }
        results.points[5].outcome = PointOutcome::Failed {
            why: "it ended with exit status 3\u{1b}[31m".to_owned(),
            output: String::new(),
        };
        results.missing = 4;
        let text = text(&results);
        assert_eq!(
            line(&text, "unmerged")[..4],
            ["unmerged", "0.90000", "0", "2"]
        );
        let row = line(&text, "tau 0.1");
        assert_eq!(row[2..5], ["0.75000", "0.071", "2"]);
        assert_eq!(line(&text, "tau 0.9").last_chunk(), Some(&["1", "failed"]));
        assert!(text.contains("Nothing merged at 1 setting: tau 0.9."));
        assert!(text.contains(
            "1 point failed; the first, tau 0.9: it ended with exit status 3\\u{1b}[31m\n"
        ));
        assert!(text.contains("4 points still to be done"));
        assert!(text.ends_with("Wrote out dir: open index.html there.\n"));
    }

    #[test]
    fn a_sweep_that_merged_nothing_says_so() {
        let results = Sample::measured().taus(&["0.8", "0.9"]).results();
        let text = text(&results);
        assert!(text.contains("NOTHING MERGED at any setting"), "{text}");
        assert!(text.contains("  change  eff. rank  nearest"));
        let empty = Sample::scored().results();
        assert!(!self::text(&empty).contains("merged at"));
    }
}
