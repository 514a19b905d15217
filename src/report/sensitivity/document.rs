//! `results.json`: all numbers of a sweep, with documented keys (`reports/README.md`).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::plan::{Parameters, SourceId};
use crate::report::TOOL;
use crate::report::document::Compact;
use crate::sensitivity::{
    Average, Evaluator, FinishedPoint, Measure, Results, Series, Setting, Variation,
};

use super::labels;
use super::recommended::RecommendationJson;

/// What `"format"` says.
const FORMAT: &str = "inmerge-sensitivity";

/// The version of the format.
const VERSION: u64 = 1;

/// What is in `results.json`, and what `sensitivity --json` prints: all numbers of a sweep.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ResultsJson<'a> {
    /// `"inmerge-sensitivity"`.
    #[cfg_attr(test, schemars(extend("const" = FORMAT)))]
    format: &'static str,
    /// The version of the format.
    #[cfg_attr(test, schemars(extend("const" = VERSION)))]
    version: u64,
    /// The program and its version.
    tool: &'static str,
    /// The absolute path of the checkpoint.
    checkpoint: String,
    /// Identifies the checkpoint.
    source: &'a SourceId,
    /// The base settings: what a point does not vary.
    parameters: &'a Parameters,
    /// The program that scores a variant; none where its weights are measured instead.
    evaluator: Option<&'a Evaluator>,
    /// Number of points that are not finished.
    missing: usize,
    /// The merge that is recommended; none without an evaluator or a score of the unmerged checkpoint, and where every merge costs more.
    recommendation: Option<RecommendationJson<'a>>,
    /// The curves and maps of which points are known.
    series: Vec<SeriesOfSettings<'a>>,
    /// Every finished point.
    points: Vec<Compact<&'a FinishedPoint>>,
}

/// A curve or map.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct SeriesOfSettings<'a> {
    /// Which curve or map it is.
    series: Series,
    /// Its settings, in the order of depth or of the number that varies.
    settings: Vec<Compact<AveragedSetting<'a>>>,
}

/// A setting, over all its repetitions.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct AveragedSetting<'a> {
    /// How it differs from the base settings.
    set: &'a Variation,
    /// The setting in words.
    label: String,
    /// Whether no repetition merged anything, though it was to.
    merged_nothing: bool,
    /// Repetitions whose evaluation failed.
    failed: usize,
    /// Repetitions that are known, failed ones included.
    repeats: usize,
    /// What is measured, over the repetitions that have it.
    #[cfg_attr(test, schemars(extend("propertyNames" = serde_json::json!({ "enum": Measure::ALL.map(key) }))))]
    measures: BTreeMap<String, Average>,
    /// Kernels of the layers that take part.
    kernels: usize,
    /// How many of these merged, as the mean of the repetitions.
    merged: f64,
}

/// The sweep as far as it has come, as JSON: what its settings come to over their repetitions, and every finished point.
pub fn results_json(results: &Results) -> Vec<u8> {
    let sweep = &results.sweep;
    let series = Series::ALL.into_iter().map(|series| SeriesOfSettings {
        series,
        settings: results.settings(series).map(averaged).collect(),
    });
    let document = ResultsJson {
        format: FORMAT,
        version: VERSION,
        tool: TOOL,
        checkpoint: sweep.checkpoint.to_string_lossy().into_owned(),
        source: &sweep.source,
        parameters: &sweep.parameters,
        evaluator: sweep.evaluator.as_ref(),
        missing: results.missing,
        recommendation: results.recommendation().map(RecommendationJson::of),
        series: series
            .filter(|series| !series.settings.is_empty())
            .collect(),
        points: results.points.iter().map(Compact).collect(),
    };
    let mut json = serde_json::to_vec_pretty(&document).expect("results have string keys only");
    json.push(b'\n');
    json
}

/// A measure's key.
fn key(measure: Measure) -> String {
    measure.name().replace('-', "_")
}

fn averaged<'a>(setting: Setting<'a>) -> Compact<AveragedSetting<'a>> {
    let measures = Measure::ALL
        .into_iter()
        .filter_map(|measure| Some((key(measure), setting.average(measure)?)));
    Compact(AveragedSetting {
        set: setting.variation,
        label: labels::setting(setting.variation),
        merged_nothing: setting.merged_nothing(),
        failed: setting.failed().count(),
        repeats: setting.points.len(),
        measures: measures.collect(),
        kernels: setting.points[0].merging.kernels,
        merged: setting.mean_merged(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::super::sample::Sample;
    use super::*;
    use crate::report::sample::documented;
    use crate::sensitivity::PointOutcome;

    /// Every path to a value, lists as `[]`.
    fn keys(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    let path = match path {
                        "" => key.clone(),
                        path => format!("{path}.{key}"),
                    };
                    found.insert(path.clone());
                    // What is within a point is that of `points.jsonl`, and what differs is that of its setting.
                    if path != "points" && path != "recommendation.set" {
                        keys(value, &path, found);
                    }
                }
            }
            Value::Array(items) => {
                for item in items {
                    keys(item, &format!("{path}[]"), found);
                }
            }
            _ => {}
        }
    }

    fn parsed(results: &Results) -> Value {
        serde_json::from_slice(&results_json(results)).unwrap()
    }

    #[test]
    fn every_key_is_documented_and_no_other() {
        let mut found = BTreeSet::new();
        for sample in [Sample::scored(), Sample::measured()] {
            let sample = sample.layers(&["a.weight"]).taus(&["0.1"]).past(1);
            let sample = sample.grid(&[0.1], &[0.2]).skips(&[1]).controls();
            let mut results = sample.repeats(2).results();
            if let Some(evaluator) = &mut results.sweep.evaluator {
                // So that a merge is recommended.
                evaluator.lower_is_better = true;
            }
            keys(&parsed(&results), "", &mut found);
        }
        assert_eq!(found, documented("results.json"));
    }

    #[test]
    fn numbers_are_exact() {
        let mut results = Sample::scored().taus(&["0.1", "20%"]).repeats(3).results();
        for (point, score) in results
            .points
            .iter_mut()
            .zip([0.1, 0.2, 0.6, 0.7, 0.7, 0.7])
        {
            point.outcome = PointOutcome::Scored {
                score,
                stderr: None,
            };
        }
        results.points[1].outcome = PointOutcome::Failed {
            why: "time is up".to_owned(),
            output: String::new(),
        };
        results.missing = 5;
        let json = parsed(&results);
        assert_eq!(json["missing"], 5);
        let series: Vec<&Value> = json["series"].as_array().unwrap().iter().collect();
        assert_eq!(series.len(), 2);
        let baseline = &series[0]["settings"][0];
        assert_eq!(baseline["label"], "unmerged");
        assert_eq!(baseline["failed"], 1);
        assert_eq!(baseline["repeats"], 3);
        assert_eq!(baseline["merged_nothing"], false);
        let score = Average::of([0.1, 0.6].into_iter()).unwrap();
        assert_eq!(
            baseline["measures"]["score"],
            json!({"mean": score.mean, "deviation": score.deviation, "count": 2})
        );
        let tau = &series[1]["settings"][1];
        assert_eq!(tau["set"], json!({"tau": "20%"}));
        let points: Vec<FinishedPoint> = serde_json::from_value(json["points"].clone()).unwrap();
        assert_eq!(points, results.points);
    }
}
