//! The merge that a sweep recommends, in words and as a file for `--config`.

use serde::Serialize;

use crate::layers::Kind;
use crate::plan::{Fraction, Parameters, Partner, Threshold};
use crate::report::{TOOL, printable};
use crate::sensitivity::{
    Average, Measure, Recommendation, Results, Series, StandardError, Variation,
};

use super::RECOMMENDED;
use super::labels::{self, NumberFormat};

/// The rule, as files and pages state it.
pub const RULE: &str = "the strongest merge (by the relative change of the weights) whose mean score is at most one standard \
    error worse than that of the unmerged checkpoint";

/// A recommendation in `results.json`.
#[derive(Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "Recommendation")
)]
pub struct RecommendationJson<'a> {
    /// Its curve or map.
    series: Series,
    /// How it differs from the base settings.
    set: &'a Variation,
    /// The setting in words.
    label: String,
    /// Its score over the repetitions.
    score: Average,
    /// The score of the unmerged checkpoint.
    unmerged: f64,
    /// One standard error, and whose it is: of the unmerged score, as the evaluator prints it, or of the setting's mean.
    standard_error: StandardError,
    /// The mean score of the same kernels merged with random partners; none where that was not made.
    random: Option<f64>,
}

impl<'a> RecommendationJson<'a> {
    pub fn of(recommendation: Recommendation<'a>) -> Self {
        Self {
            series: recommendation.setting.series,
            set: recommendation.setting.variation,
            label: labels::setting(recommendation.setting.variation),
            score: recommendation.score,
            unmerged: recommendation.unmerged,
            standard_error: recommendation.standard_error,
            random: recommendation.random,
        }
    }
}

/// What to say of the recommendation, a sentence each; `None` where there is nothing to recommend by: no evaluator, or no score
/// of the unmerged checkpoint.
pub fn sentences(results: &Results) -> Option<Vec<String>> {
    let unmerged = results.baseline(Measure::Score)?;
    let written = NumberFormat::in_table(results, Measure::Score);
    let Some(recommended) = results.recommendation() else {
        return Some(vec![format!(
            "No merge of this sweep is recommended: each that changed anything scores worse than {} by more than one standard \
             error{}.",
            written.write(unmerged),
            if has_spread(results) {
                ""
            } else {
                ", which is not known here"
            },
        )]);
    };
    let standard_error = match recommended.standard_error {
        StandardError::Score(value) => format!(
            "{} is that of the unmerged score",
            written.write_deviation(value)
        ),
        StandardError::Repetitions(value) => {
            format!(
                "{} is that of its mean of {} runs",
                written.write_deviation(value),
                recommended.score.count
            )
        }
        StandardError::Unknown => {
            "it is not known, and taken for 0: use --repeats, or print it".to_owned()
        }
    };
    let mut sentences = vec![
        format!(
            "Recommended: {}, which scores {} where the unmerged checkpoint scores {} ({}).",
            labels::setting(recommended.setting.variation),
            written.write(recommended.score.mean),
            written.write(unmerged),
            if results.lower_is_better() {
                "less is better"
            } else {
                "more is better"
            },
        ),
        format!("It is {RULE}; {standard_error}."),
    ];
    if let Some(random) = recommended.random {
        sentences.push(if recommended.is_random_as_good(results) {
            format!(
                "Random partners score {}: as good, so it is not similarity that matters here.",
                written.write(random)
            )
        } else {
            format!("Random partners score {}: worse.", written.write(random))
        });
    }
    sentences.push(
        "It was chosen among many by these scores, which flatters it: score it once on data that the sweep has not seen.".to_owned(),
    );
    Some(sentences)
}

fn has_spread(results: &Results) -> bool {
    let mut settings = results.all_settings();
    settings.any(|setting| {
        let printed = |point: &crate::sensitivity::FinishedPoint| {
            matches!(
                point.outcome,
                crate::sensitivity::PointOutcome::Scored {
                    stderr: Some(_),
                    ..
                }
            )
        };
        let score = setting.average(Measure::Score);
        score.is_some_and(|score| score.deviation.is_some()) || setting.points.iter().any(printed)
    })
}

/// What `--config` takes.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Config {
    tau: Threshold,
    alpha: Fraction,
    prob: Fraction,
    skip_shallow: usize,
    partner: Partner,
    rounds: u32,
    seed: u64,
    kinds: Vec<Kind>,
    include: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    layer: Vec<Table>,
}

/// The parameters of a layer of its own.
#[derive(Serialize)]
struct Table {
    r#match: String,
    tau: Threshold,
    alpha: Fraction,
    prob: Fraction,
}

/// `recommended.toml`: the recommended merge for `--config`. It names the layers that take part, so that it merges the same
/// ones wherever it is used. `None` without recommendation.
pub fn recommended_toml(results: &Results) -> Option<String> {
    let recommendation = results.recommendation()?;
    let variation = recommendation.setting.variation;
    let sweep = &results.sweep;
    let Parameters {
        partner,
        rounds,
        seed,
        tau,
        alpha,
        prob,
        ..
    } = sweep.parameters;
    let mut config = Config {
        tau: variation.tau.unwrap_or(tau),
        alpha: variation.alpha.unwrap_or(alpha),
        prob: variation.prob.unwrap_or(prob),
        // Which layers take part, their names say.
        skip_shallow: 0,
        partner,
        rounds: rounds.get(),
        seed,
        kinds: Vec::new(),
        include: Vec::new(),
        layer: Vec::new(),
    };
    for (index, parameters) in sweep.taking_part(variation) {
        let layer = &sweep.layers[index];
        let name = globset::escape(&layer.name);
        let usual = (config.tau, config.alpha, config.prob);
        if (parameters.tau, parameters.alpha, parameters.prob) != usual {
            config.layer.push(Table {
                r#match: name.clone(),
                tau: parameters.tau,
                alpha: parameters.alpha,
                prob: parameters.prob,
            });
        }
        config.include.push(name);
        if !config.kinds.contains(&layer.kind) {
            config.kinds.push(layer.kind);
        }
    }
    let toml = toml::to_string_pretty(&config).expect("names and numbers");
    let comments: String = sentences(results)?
        .iter()
        .map(|sentence| format!("# {}\n", printable(sentence)))
        .collect();
    Some(format!(
        "# Made by {TOOL} from a sweep of {}: inmerge-ckpt merge IN OUT --config {RECOMMENDED}\n{comments}\n{toml}",
        printable(&sweep.source.file)
    ))
}
