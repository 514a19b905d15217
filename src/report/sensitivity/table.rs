//! `results.csv`.

use csv::Writer;

use crate::report::tables::IN_MEMORY;
use crate::sensitivity::{FinishedPoint, Measure, Outcome, Results, Series};

use super::words;

/// What the columns are called.
const HEADER: [&str; 21] = [
    "series",
    "setting",
    "layers",
    "first_depth",
    "last_depth",
    "tau",
    "alpha",
    "prob",
    "skip_shallow",
    "repeat",
    "seed",
    "status",
    "score",
    "kernels",
    "merged",
    "merged_share",
    "relative_change",
    "effective_rank",
    "mean_nearest",
    "seconds",
    "error",
];

/// A row for each finished point, with the settings that were in force there: those that vary, and of the base what does not.
/// Numbers read back exactly.
pub fn results_csv(results: &Results) -> Vec<u8> {
    let mut writer = Writer::from_writer(Vec::new());
    writer.write_record(HEADER).expect(IN_MEMORY);
    for point in &results.points {
        writer.write_record(row(results, point)).expect(IN_MEMORY);
    }
    writer.into_inner().expect(IN_MEMORY)
}

fn row(results: &Results, finished: &FinishedPoint) -> [String; 21] {
    let FinishedPoint {
        point,
        merging,
        outcome,
        seconds,
    } = finished;
    let base = &results.sweep.parameters;
    let varied = &point.variation;
    // Nothing merges in the baseline, and where layers are named, L_s leaves none alone.
    let merges = point.series != Series::Baseline;
    let counts = merges && varied.layers.is_none();
    let tau = merges.then(|| varied.tau.unwrap_or(base.tau));
    let alpha = merges.then(|| varied.alpha.unwrap_or(base.alpha));
    let prob = merges.then(|| varied.prob.unwrap_or(base.prob));
    let skip_shallow = counts.then(|| varied.skip_shallow.unwrap_or(base.skip_shallow));
    let scope = varied.layers.as_ref();
    let (status, error) = match outcome {
        Outcome::Scored { .. } => ("scored", ""),
        Outcome::Measured { .. } => ("measured", ""),
        Outcome::Failed { why, .. } => ("failed", why.as_str()),
    };
    let number = |measure: Measure| cell(measure.of(finished).map(exact));
    [
        point.series.to_string(),
        words::setting(varied),
        cell(scope.map(|scope| &scope.label)),
        cell(scope.map(|scope| scope.first)),
        cell(scope.map(|scope| scope.last)),
        cell(tau),
        cell(alpha),
        cell(prob),
        cell(skip_shallow),
        point.repeat.to_string(),
        point.seed.to_string(),
        status.to_owned(),
        number(Measure::Score),
        merging.kernels.to_string(),
        merging.merged.to_string(),
        number(Measure::MergedShare),
        number(Measure::RelativeChange),
        number(Measure::EffectiveRank),
        number(Measure::MeanNearest),
        exact(*seconds),
        error.to_owned(),
    ]
}

/// Empty where there is nothing.
fn cell(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// A number as it reads back, without hundreds of digits.
fn exact(number: f64) -> String {
    match number == 0.0 || (1e-5..1e16).contains(&number.abs()) {
        true => number.to_string(),
        false => format!("{number:e}"),
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
        let columns: BTreeSet<String> = HEADER.map(str::to_owned).into();
        assert_eq!(columns, documented("results.csv"));
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
            point.outcome = Outcome::Scored { score };
        }
        results.points.last_mut().unwrap().outcome = Outcome::Failed {
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
