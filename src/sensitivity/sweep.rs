//! A sweep: the checkpoint, the base settings, how variants are scored, and the points.

use std::fmt::Display;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::layers::Kind;
use crate::plan::{Fraction, LayerParameters, Parameters, SourceId, Threshold};

use super::{Point, Variation};

/// A sweep, fully resolved, so that only the scores of its variants are unknown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// The absolute path of the checkpoint.
    pub checkpoint: PathBuf,
    /// Of a PyTorch file, the keys of the state dict that is the checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_dict: Option<String>,
    /// Identifies the checkpoint.
    pub source: SourceId,
    /// SHA-256 of all the checkpoint's files, in order.
    pub content_sha256: String,
    /// The base settings, for what a point does not vary. The seed is that of the first repetition.
    pub parameters: Parameters,
    /// Whether kernels that hold a NaN or an infinity are left alone, instead of being an error.
    pub allow_nonfinite: bool,
    /// The layers that can take part, in depth order: those that the base settings select, and those that they leave alone only
    /// because they are shallow.
    pub layers: Vec<SweptLayer>,
    /// The program that scores variants; none if their weights are measured instead.
    pub evaluator: Option<Evaluator>,
    /// The points to make, the baseline first.
    pub points: Vec<Point>,
}

/// A layer that can take part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SweptLayer {
    /// The name of its weight.
    pub name: String,
    /// Other names of the weight, as in a plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<String>,
    /// Position among the convolutions, from 1.
    pub depth: usize,
    /// Its kind, which says along which axis the kernels lie.
    pub kind: Kind,
    /// Number of groups of its convolution.
    pub groups: usize,
    /// Number of kernels.
    pub kernels: usize,
    /// Its τ in the base settings.
    pub tau: Threshold,
    /// Its α in the base settings.
    pub alpha: Fraction,
    /// Its p in the base settings.
    pub prob: Fraction,
}

/// A program that scores a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Evaluator {
    /// Its command line, with `{checkpoint}` in place of the variant's path.
    pub command: String,
    /// The key of the score in the JSON object that it prints; none if it prints a bare number.
    pub metric: Option<String>,
    /// Seconds after which it is stopped.
    pub seconds: u64,
    /// Whether a variant is the better the less the program prints.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lower_is_better: bool,
}

/// What is in `sweep.json`, and what `sensitivity plan --json` prints.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SweepFile {
    /// `"inmerge-sweep"`.
    #[cfg_attr(test, schemars(extend("const" = FORMAT)))]
    format: String,
    /// The version of the format.
    #[cfg_attr(test, schemars(extend("const" = VERSION)))]
    version: u64,
    /// The program that planned it, and its version.
    tool: String,
    /// The sweep.
    sweep: Sweep,
}

/// The values of `"format"` and `"version"`.
const FORMAT: &str = "inmerge-sweep";
const VERSION: u64 = 1;

/// The part of a sweep on which scores depend.
#[derive(Serialize)]
struct Base<'s> {
    content_sha256: &'s str,
    parameters: &'s Parameters,
    allow_nonfinite: bool,
    layers: &'s [SweptLayer],
    command: Option<&'s str>,
    metric: Option<&'s str>,
}

impl Sweep {
    /// The JSON of `sweep.json`.
    pub fn to_json(&self) -> Vec<u8> {
        let document = SweepFile {
            format: FORMAT.to_owned(),
            version: VERSION,
            tool: crate::TOOL.to_owned(),
            sweep: self.clone(),
        };
        let mut json = serde_json::to_vec_pretty(&document).expect("plain data");
        json.push(b'\n');
        json
    }

    /// Parses the JSON of `sweep.json`.
    ///
    /// # Errors
    ///
    /// If it is not a sweep of this version, or its evaluator's command is not valid.
    pub fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        use serde::de::Error;
        let document: SweepFile = serde_json::from_slice(json)?;
        if document.format != FORMAT || document.version != VERSION {
            let found = format!("{} of version {}", document.format, document.version);
            return Err(Error::custom(format!(
                "it is `{found}`, not {FORMAT} of version {VERSION}"
            )));
        }
        let evaluator = document.sweep.evaluator.as_ref();
        let command = evaluator.map(Evaluator::check).transpose();
        command.map_err(Error::custom)?;
        Ok(document.sweep)
    }

    /// A digest of all that scores depend on except the points: the checkpoint's content, the base settings, the layers, and
    /// the evaluator's command and metric.
    pub fn base(&self) -> String {
        let evaluator = self.evaluator.as_ref();
        let base = Base {
            content_sha256: &self.content_sha256,
            parameters: &self.parameters,
            allow_nonfinite: self.allow_nonfinite,
            layers: &self.layers,
            command: evaluator.map(|evaluator| &evaluator.command[..]),
            metric: evaluator.and_then(|evaluator| evaluator.metric.as_deref()),
        };
        let json = serde_json::to_vec(&base).expect("plain data");
        let digest = Sha256::digest(json);
        digest[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// The difference to a sweep with another base, in words; `None` if the bases are the same.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let changed = |what: &str, before: &dyn Display, now: &dyn Display| {
            Some(format!("{what} was `{before}` and is now `{now}`"))
        };
        let command = |sweep: &Self| match &sweep.evaluator {
            Some(evaluator) => evaluator.command.clone(),
            None => "none".to_owned(),
        };
        let metric = |sweep: &Self| {
            let metric = sweep.evaluator.as_ref().and_then(|e| e.metric.clone());
            metric.unwrap_or_else(|| "none".to_owned())
        };
        if self.base() == other.base() {
            None
        } else if self.content_sha256 != other.content_sha256 {
            let (before, now) = (&self.source.file, &other.source.file);
            Some(format!(
                "the checkpoint was {before} and is now {now}, with different content"
            ))
        } else if self.parameters != other.parameters {
            changed("the base setting", &self.parameters, &other.parameters)
        } else if command(self) != command(other) {
            changed("--eval", &command(self), &command(other))
        } else if metric(self) != metric(other) {
            changed("--metric", &metric(self), &metric(other))
        } else if self.allow_nonfinite != other.allow_nonfinite {
            changed(
                "--allow-nonfinite",
                &self.allow_nonfinite,
                &other.allow_nonfinite,
            )
        } else {
            Some("the layers that can take part, or their own settings, differ".to_owned())
        }
    }

    /// The indices and parameters of the layers that take part at a point.
    pub fn taking_part(
        &self,
        variation: &Variation,
    ) -> impl Iterator<Item = (usize, LayerParameters)> {
        let depths = match &variation.layers {
            Some(scope) => scope.depths(),
            None => {
                let base = self.parameters.skip_shallow;
                variation.skip_shallow.unwrap_or(base).saturating_add(1)..=usize::MAX
            }
        };
        let layers = self.layers.iter().enumerate();
        let there = layers.filter(move |(_, layer)| depths.contains(&layer.depth));
        there.map(|(index, layer)| {
            let parameters = LayerParameters {
                tau: variation.tau.unwrap_or(layer.tau),
                alpha: variation.alpha.unwrap_or(layer.alpha),
                prob: variation.prob.unwrap_or(layer.prob),
            };
            (index, parameters)
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A layer, for tests.
    pub fn layer(name: &str, depth: usize, kernels: usize) -> SweptLayer {
        let parameters = Parameters::default();
        SweptLayer {
            name: name.to_owned(),
            copies: Vec::new(),
            depth,
            kind: Kind::Conv,
            groups: 1,
            kernels,
            tau: parameters.tau,
            alpha: parameters.alpha,
            prob: parameters.prob,
        }
    }

    fn sweep() -> Sweep {
        Sweep {
            checkpoint: "net.safetensors".into(),
            state_dict: None,
            source: SourceId {
                file: "net.safetensors".to_owned(),
                bytes: 1,
                header_sha256: "00".to_owned(),
            },
            content_sha256: "11".to_owned(),
            parameters: Parameters {
                skip_shallow: 1,
                ..Parameters::default()
            },
            allow_nonfinite: false,
            layers: vec![layer("a", 1, 4), layer("b", 2, 4), layer("c", 3, 4)],
            evaluator: Some(Evaluator {
                command: "score {checkpoint}".to_owned(),
                metric: None,
                seconds: 60,
                lower_is_better: false,
            }),
            points: Vec::new(),
        }
    }

    #[test]
    fn a_sweep_survives_its_file() {
        let sweep = sweep();
        assert_eq!(Sweep::from_json(&sweep.to_json()).unwrap(), sweep);
        let json = String::from_utf8(sweep.to_json()).unwrap();
        for (from, to) in [("inmerge-sweep", "x"), ("\"version\": 1", "\"version\": 2")] {
            assert!(Sweep::from_json(json.replace(from, to).as_bytes()).is_err());
        }
        // A command without words or without the placeholder could not be run.
        for command in ["", "score", "score '{checkpoint}"] {
            let edited = json.replace("score {checkpoint}", command);
            let refused = Sweep::from_json(edited.as_bytes()).unwrap_err().to_string();
            assert!(refused.contains("--eval"), "{refused}");
        }
    }

    #[test]
    fn all_that_scores_depend_on_makes_another_base_and_the_rest_does_not() {
        type Change = fn(&mut Sweep);
        let same: [Change; 4] = [
            |sweep| sweep.checkpoint = "elsewhere".into(),
            |sweep| sweep.source.file = "other".to_owned(),
            |sweep| sweep.evaluator.as_mut().unwrap().seconds = 1,
            |sweep| {
                sweep.points.push(crate::sensitivity::Point {
                    series: crate::sensitivity::Series::Baseline,
                    variation: Variation::default(),
                    repeat: 0,
                    seed: 0,
                })
            },
        ];
        for change in same {
            let mut other = sweep();
            change(&mut other);
            assert_eq!(sweep().difference(&other), None);
        }
        let others: [(Change, &str); 7] = [
            (|sweep| sweep.content_sha256 = "22".to_owned(), "checkpoint"),
            (|sweep| sweep.parameters.seed = 9, "seed 9"),
            (|sweep| sweep.evaluator = None, "--eval"),
            (
                |sweep| sweep.evaluator.as_mut().unwrap().command.push('x'),
                "--eval",
            ),
            (
                |sweep| sweep.evaluator.as_mut().unwrap().metric = Some("auc".to_owned()),
                "--metric",
            ),
            (|sweep| sweep.allow_nonfinite = true, "--allow-nonfinite"),
            (|sweep| sweep.layers[2].prob = Fraction::ZERO, "layers"),
        ];
        for (change, word) in others {
            let mut other = sweep();
            change(&mut other);
            let difference = sweep().difference(&other).unwrap();
            assert!(difference.contains(word), "{difference}");
        }
    }

    #[test]
    fn those_take_part_that_the_point_or_the_base_says() {
        let sweep = sweep();
        let names = |variation: &Variation| {
            let layers = sweep.taking_part(variation);
            layers
                .map(|(index, _)| &sweep.layers[index].name[..])
                .collect::<String>()
        };
        assert_eq!(names(&Variation::default()), "bc");
        let skipping = |count| Variation {
            skip_shallow: Some(count),
            ..Variation::default()
        };
        assert_eq!(names(&skipping(0)), "abc");
        assert_eq!(names(&skipping(usize::MAX)), "");
        let alone = Variation {
            layers: Some(crate::sensitivity::Scope {
                label: "a".to_owned(),
                first: 1,
                last: 1,
            }),
            tau: Some("5%".parse().unwrap()),
            ..Variation::default()
        };
        assert_eq!(names(&alone), "a");
        let (_, parameters) = sweep.taking_part(&alone).next().unwrap();
        assert_eq!(parameters.tau.to_string(), "5%");
        assert_eq!(parameters.alpha, Parameters::default().alpha);
    }
}
