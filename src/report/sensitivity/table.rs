//! `results.csv`.

use crate::plan::Parameters;
use crate::report::tables::{Column, cell, csv};
use crate::sensitivity::{FinishedPoint, Measure, PointOutcome, Results, Scope, Series, Variation};

use super::labels;

/// A finished point, and the settings that it varies.
struct Row<'a> {
    finished: &'a FinishedPoint,
    base: &'a Parameters,
}

fn columns<'a>() -> [Column<Row<'a>>; 23] {
    [
        ("series", |row| row.finished.point.series.to_string()),
        ("setting", |row| labels::setting(row.varied())),
        ("layers", |row| cell(row.scope().map(|scope| &scope.label))),
        ("first_depth", |row| {
            cell(row.scope().map(|scope| scope.first))
        }),
        ("last_depth", |row| {
            cell(row.scope().map(|scope| scope.last))
        }),
        ("tau", |row| row.merging(row.varied().tau, row.base.tau)),
        ("alpha", |row| {
            row.merging(row.varied().alpha, row.base.alpha)
        }),
        ("prob", |row| row.merging(row.varied().prob, row.base.prob)),
        ("skip_shallow", |row| {
            // Where layers are named, L_s leaves none alone.
            if row.scope().is_some() {
                return String::new();
            }
            row.merging(row.varied().skip_shallow, row.base.skip_shallow)
        }),
        ("control", |row| cell(row.varied().control)),
        ("repeat", |row| row.finished.point.repeat.to_string()),
        ("seed", |row| row.finished.point.seed.to_string()),
        ("status", |row| {
            let status = match row.finished.outcome {
                PointOutcome::Scored { .. } => "scored",
                PointOutcome::Measured { .. } => "measured",
                PointOutcome::Failed { .. } => "failed",
            };
            status.to_owned()
        }),
        ("score", |row| row.measured(Measure::Score)),
        ("score_stderr", |row| match row.finished.outcome {
            PointOutcome::Scored { stderr, .. } => cell(stderr.map(exact)),
            _ => String::new(),
        }),
        ("kernels", |row| row.finished.merging.kernels.to_string()),
        ("merged", |row| row.finished.merging.merged.to_string()),
        ("merged_share", |row| row.measured(Measure::MergedShare)),
        ("relative_change", |row| {
            row.measured(Measure::RelativeChange)
        }),
        ("effective_rank", |row| row.measured(Measure::EffectiveRank)),
        ("mean_nearest", |row| row.measured(Measure::MeanNearest)),
        ("seconds", |row| exact(row.finished.seconds)),
        ("error", |row| match &row.finished.outcome {
            PointOutcome::Failed { why, .. } => why.clone(),
            _ => String::new(),
        }),
    ]
}

impl Row<'_> {
    fn varied(&self) -> &Variation {
        &self.finished.point.variation
    }

    fn scope(&self) -> Option<&Scope> {
        self.varied().layers.as_ref()
    }

    /// The value in force of a parameter: the one that varies or else that of the base. Nothing merges in the baseline.
    fn merging<T: ToString>(&self, varied: Option<T>, base: T) -> String {
        let merges = self.finished.point.series != Series::Baseline;
        cell(merges.then(|| varied.unwrap_or(base)))
    }

    fn measured(&self, measure: Measure) -> String {
        cell(measure.of(self.finished).map(exact))
    }
}

/// A row for each finished point, with the settings that were in force there: those that vary, and of the base what does not.
/// Numbers read back exactly.
pub fn results_csv(results: &Results) -> Vec<u8> {
    let base = &results.sweep.parameters;
    let rows = results.points.iter();
    let rows: Vec<Row<'_>> = rows.map(|finished| Row { finished, base }).collect();
    csv(&columns(), &rows)
}

/// A number as it reads back, without hundreds of digits.
fn exact(number: f64) -> String {
    if number == 0.0 || (1e-5..1e16).contains(&number.abs()) {
        number.to_string()
    } else {
        format!("{number:e}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::sample::Sample;
    use super::*;
    use crate::report::sample::documented;

    fn rows(results: &Results) -> Vec<BTreeMap<String, String>> {
        csv::Reader::from_reader(&results_csv(results)[..])
            .into_deserialize()
            .collect::<Result<_, _>>()
            .unwrap()
    }

    #[test]
    fn every_column_is_documented_and_no_other() {
        let names = columns().map(|(name, _)| name.to_owned());
        assert_eq!(BTreeSet::from(names), documented("results.csv"));
    }

    #[test]
    fn points_read_back() {
        let mut results = Sample::scored()
            .layers(&["conv1.weight", "=cmd,\"x\"\n.weight"])
            .taus(&["0.1", "20%"])
            .grid(&[0.0, 1.0], &[0.3])
            .repeats(2)
            .results();
        let scores = [1.0 / 3.0, -1e300, 5e-324, f64::MAX, 1e21, -0.0];
        for (point, score) in results.points.iter_mut().zip(scores) {
            point.outcome = PointOutcome::Scored {
                score,
                stderr: None,
            };
        }
        results.points.last_mut().unwrap().outcome = PointOutcome::Failed {
            why: "exit status 1, \"no\"\nsuch file".to_owned(),
            output: "Traceback".to_owned(),
        };
        let rows = rows(&results);
        assert_eq!(rows.len(), results.points.len());
        for (row, finished) in rows.iter().zip(&results.points) {
            let point = &finished.point;
            assert_eq!(row["series"], point.series.name());
            assert_eq!(row["seed"].parse(), Ok(point.seed));
            assert_eq!(row["repeat"].parse(), Ok(point.repeat));
            let bits = |number: f64| number.to_bits();
            for measure in Measure::ALL {
                let column = measure.name().replace('-', "_");
                let read = row[&column].parse::<f64>().ok();
                assert_eq!(read.map(bits), measure.of(finished).map(bits), "{column}");
            }
            assert_eq!(row["seconds"].parse(), Ok(finished.seconds));
        }
        let (first, layer, grid) = (&rows[0], &rows[4], rows.last().unwrap());
        let settings = ["tau", "alpha", "prob", "skip_shallow"];
        assert_eq!(settings.map(|key| &first[key]), ["", "", "", ""]);
        assert_eq!(first["score"].parse(), Ok(1.0 / 3.0));
        assert_eq!(layer["layers"], "=cmd,\"x\"\n.weight");
        assert_eq!([&layer["first_depth"], &layer["last_depth"]], ["2", "2"]);
        assert_eq!(settings.map(|key| &layer[key]), ["0.3", "0.8", "0.3", ""]);
        assert_eq!(rows[6]["tau"], "0.1");
        assert_eq!(rows[8]["tau"], "20%");
        assert_eq!(settings.map(|key| &grid[key]), ["0.3", "1", "0.3", "2"]);
        assert_eq!(grid["setting"], "\u{3b1} 1, p 0.3");
        assert_eq!(grid["status"], "failed");
        assert_eq!(grid["score"], "");
        assert_eq!(grid["error"], "exit status 1, \"no\"\nsuch file");
    }

    #[test]
    fn measures_of_the_weights_read_back() {
        let results = Sample::measured().taus(&["0.1", "0.9"]).results();
        let rows = rows(&results);
        assert_eq!(rows.len(), 3);
        for (row, point) in rows.iter().zip(&results.points) {
            assert_eq!(row["status"], "measured");
            let rank = Measure::EffectiveRank.of(point);
            assert_eq!(row["effective_rank"].parse().ok(), rank);
            assert_eq!(row["merged"].parse(), Ok(point.merging.merged));
        }
    }
}
