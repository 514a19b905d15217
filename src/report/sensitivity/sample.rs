//! Sweeps to test with: made up, with more lost where more merged.

use std::path::PathBuf;

use crate::layers::Kind;
use crate::plan::{Control, Fraction, Parameters, SourceId, Threshold};
use crate::sensitivity::{
    Evaluator, FinishedPoint, MergedAtPoint, Point, PointOutcome, Results, Scope, Series, Sweep,
    SweptLayer, Variation,
};

/// Kernels of a layer.
const KERNELS: usize = 64;

pub struct Sample {
    evaluator: bool,
    layers: Vec<String>,
    settings: Vec<(Series, Variation)>,
    repeats: u32,
}

fn fraction(number: f64) -> Fraction {
    Fraction::try_from(number).unwrap()
}

impl Sample {
    /// The baseline alone, with an evaluator.
    pub fn scored() -> Self {
        Self {
            evaluator: true,
            layers: (0..6).map(|n| format!("conv{n}.weight")).collect(),
            settings: vec![(Series::Baseline, Variation::default())],
            repeats: 1,
        }
    }

    /// The baseline alone, with measures of the weights.
    pub fn measured() -> Self {
        Self {
            evaluator: false,
            ..Self::scored()
        }
    }

    /// Each of these layers alone. They are the layers of the net.
    pub fn layers(mut self, names: &[impl ToString]) -> Self {
        self.layers = names.iter().map(ToString::to_string).collect();
        for (place, name) in names.iter().enumerate() {
            self.scope(Series::Layer, name.to_string(), place + 1, place + 1);
        }
        self
    }

    /// Stages of so many layers each.
    pub fn stages(mut self, names: &[&str], each: usize) -> Self {
        for (place, name) in names.iter().enumerate() {
            let first = place * each + 1;
            self.scope(Series::Stage, (*name).to_owned(), first, first + each - 1);
        }
        self
    }

    /// All layers past each depth below this one.
    pub fn past(mut self, depths: usize) -> Self {
        for depth in 0..depths {
            let (label, last) = (format!("past {depth}"), self.layers.len());
            self.scope(Series::Past, label, depth + 1, last.max(depth + 1));
        }
        self
    }

    fn scope(&mut self, series: Series, label: String, first: usize, last: usize) {
        let variation = Variation {
            layers: Some(Scope { label, first, last }),
            ..Variation::default()
        };
        self.settings.push((series, variation));
    }

    pub fn taus(mut self, taus: &[&str]) -> Self {
        for tau in taus {
            let variation = Variation {
                tau: Some(tau.parse().unwrap()),
                ..Variation::default()
            };
            self.settings.push((Series::Tau, variation));
        }
        self
    }

    /// These α, and these p.
    pub fn fractions(mut self, alphas: &[f64], probs: &[f64]) -> Self {
        for &alpha in alphas {
            let variation = Variation {
                alpha: Some(fraction(alpha)),
                ..Variation::default()
            };
            self.settings.push((Series::Alpha, variation));
        }
        for &prob in probs {
            let variation = Variation {
                prob: Some(fraction(prob)),
                ..Variation::default()
            };
            self.settings.push((Series::Prob, variation));
        }
        self
    }

    /// These L_s.
    pub fn skips(mut self, counts: &[usize]) -> Self {
        for &count in counts {
            let variation = Variation {
                skip_shallow: Some(count),
                ..Variation::default()
            };
            self.settings.push((Series::SkipShallow, variation));
        }
        self
    }

    /// These α by these p.
    pub fn grid(mut self, alphas: &[f64], probs: &[f64]) -> Self {
        for &alpha in alphas {
            for &prob in probs {
                let variation = Variation {
                    alpha: Some(fraction(alpha)),
                    prob: Some(fraction(prob)),
                    ..Variation::default()
                };
                self.settings.push((Series::Grid, variation));
            }
        }
        self
    }

    /// Each with both controls beside it.
    pub fn controls(mut self) -> Self {
        let settings = std::mem::take(&mut self.settings);
        for (series, variation) in settings {
            self.settings.push((series, variation.clone()));
            if series == Series::Baseline {
                continue;
            }
            for control in Control::ALL.map(Some) {
                let variation = variation.clone();
                let controlled = Variation {
                    control,
                    ..variation
                };
                self.settings.push((series, controlled));
            }
        }
        self
    }

    /// Each of these so often.
    pub fn repeats(mut self, count: u32) -> Self {
        self.repeats = count;
        self
    }

    /// What came of it. Above a τ of 0.7 nothing merges.
    pub fn results(self) -> Results {
        let parameters = Parameters {
            tau: "0.3".parse().unwrap(),
            skip_shallow: 2,
            ..Parameters::default()
        };
        let points: Vec<Point> = self
            .settings
            .iter()
            .flat_map(|(series, variation)| {
                (0..self.repeats).map(|repeat| Point {
                    series: *series,
                    variation: variation.clone(),
                    repeat,
                    seed: u64::from(repeat),
                })
            })
            .collect();
        let finished = points.iter().enumerate();
        let finished = finished
            .map(|(place, point)| self.finished(place, point, &parameters))
            .collect();
        let layers = self
            .layers
            .iter()
            .enumerate()
            .map(|(place, name)| SweptLayer {
                name: name.clone(),
                copies: Vec::new(),
                depth: place + 1,
                kind: Kind::Conv,
                groups: 1,
                kernels: KERNELS,
                tau: parameters.tau,
                alpha: parameters.alpha,
                prob: parameters.prob,
            });
        Results {
            sweep: Sweep {
                checkpoint: PathBuf::from("/runs/7/epoch-12.safetensors"),
                state_dict: None,
                source: SourceId {
                    file: "epoch-12.safetensors".to_owned(),
                    bytes: 46_807_480,
                    header_sha256: "0f3a".repeat(16),
                },
                content_sha256: "c51b".repeat(16),
                parameters,
                allow_nonfinite: false,
                layers: layers.collect(),
                evaluator: self.evaluator.then(|| Evaluator {
                    command: "python eval.py --weights {checkpoint}".to_owned(),
                    metric: Some("auroc".to_owned()),
                    seconds: 3600,
                    lower_is_better: false,
                }),
                points,
            },
            points: finished,
            missing: 0,
        }
    }

    fn finished(&self, place: usize, point: &Point, base: &Parameters) -> FinishedPoint {
        let varied = &point.variation;
        let tau = match varied.tau.unwrap_or(base.tau) {
            Threshold::Similarity(tau) => tau.get(),
            Threshold::Share(percent) | Threshold::Chance(percent) => 1.0 - percent.get() / 100.0,
        };
        let alpha = varied.alpha.unwrap_or(base.alpha).get();
        let prob = varied.prob.unwrap_or(base.prob).get();
        let skipped = varied.skip_shallow.unwrap_or(base.skip_shallow);
        let layers = match (&varied.layers, point.series) {
            (_, Series::Baseline) => 0,
            (Some(scope), _) => scope.depths().count(),
            (None, _) => self.layers.len().saturating_sub(skipped),
        };
        let kernels = layers * KERNELS;
        // Neither regular nor random.
        let noise = ((place * 7919) % 101) as f64 / 101.0;
        let merged = (kernels as f64 * prob * (0.7 - tau).max(0.0) * (0.8 + 0.4 * noise)) as usize;
        // Random partners do twice the harm, and norms none.
        let harm = match varied.control {
            None => 1.0,
            Some(Control::Random) => 2.0,
            Some(Control::Shrink) => 0.0,
        };
        let lost = merged as f64 / (self.layers.len() * KERNELS) as f64;
        let relative_change = lost.sqrt() * (1.0 - alpha);
        let outcome = if self.evaluator {
            PointOutcome::Scored {
                stderr: None,
                score: match merged {
                    0 => 0.9213,
                    _ => 0.9213 - 0.6 * harm * relative_change + 0.01 * (noise - 0.5),
                },
            }
        } else {
            PointOutcome::Measured {
                effective_rank: 0.83 - 0.4 * relative_change,
                mean_nearest: (kernels != KERNELS || merged > 0).then_some(0.41 + 0.3 * lost),
            }
        };
        FinishedPoint {
            point: point.clone(),
            merging: MergedAtPoint {
                layers,
                kernels,
                merged,
                relative_change,
            },
            outcome,
            seconds: 1.25 + noise,
        }
    }
}

/// Makes a point one that failed.
pub fn fail(point: &mut FinishedPoint) {
    point.outcome = PointOutcome::Failed {
        why: "it ended with exit status 1".to_owned(),
        output: "Traceback (most recent call last):\n  File \"eval.py\", line 3\nRuntimeError: <out of memory> & more\n"
            .to_owned(),
    };
}
