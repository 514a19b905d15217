//! The warning that nothing merged, which suggests thresholds at which kernels would.

use std::fmt;

use crate::analysis::ThresholdHint;
use crate::layers::{Layers, Reason};
use crate::plan::{Fraction, Parameters, Partner, Threshold};
use crate::similarity::{Nearest, exact};

/// Shares of the kernels for which the warning suggests a threshold, in percent.
const SHARES: [f64; 3] = [1.0, 5.0, 20.0];

/// Why a run merged nothing, and thresholds at which kernels would merge.
#[derive(Clone, Debug, PartialEq)]
pub struct NothingMerged {
    parameters: Parameters,
    layers: usize,
    kernels: usize,
    /// Unordered pairs above τ; `None` if they were not counted.
    pairs_above: Option<u64>,
    /// The most similar pair's layer and similarity.
    greatest: Option<(String, f64)>,
    hints: Vec<ThresholdHint>,
    /// Layers that were found, and how many of them are left alone only because they are shallow.
    found: usize,
    shallow: usize,
}

impl NothingMerged {
    /// `layers` holds the name and nearest neighbours of each layer that takes part, `found` all layers.
    pub fn new(
        parameters: Parameters,
        pairs_above: Option<u64>,
        layers: &[(&str, Nearest)],
        found: &Layers,
    ) -> Self {
        let mut greatest: Vec<f64> = Vec::new();
        let mut best: Option<(String, f64)> = None;
        for (name, nearest) in layers {
            greatest.extend(nearest.similarities());
            if let Some(similarity) = nearest.greatest()
                && best.as_ref().is_none_or(|(_, known)| similarity > *known)
            {
                best = Some((name.to_string(), similarity));
            }
        }
        greatest.sort_unstable_by(|a, b| b.total_cmp(a));
        let kernels: usize = layers
            .iter()
            .map(|(_, nearest)| nearest.by_kernel().len())
            .sum();
        Self {
            parameters,
            layers: layers.len(),
            kernels,
            pairs_above,
            greatest: best,
            hints: SHARES
                .iter()
                .filter_map(|&percent| ThresholdHint::new(percent, kernels, &greatest))
                .collect(),
            found: found.layers.len(),
            shallow: found
                .layers
                .iter()
                .filter(|layer| layer.reason == Some(Reason::Shallow))
                .count(),
        }
    }
}

impl fmt::Display for NothingMerged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NOTHING MERGED: ")?;
        if self.found == 0 {
            return f.write_str(
                "the checkpoint holds no layer: no float tensor of rank 2 to 5 named `*.weight`.",
            );
        }
        if self.layers == 0 {
            f.write_str("no layer takes part. `inmerge-ckpt inspect` gives each one's reason")?;
            if self.shallow > 0 {
                write!(
                    f,
                    "; those left alone as shallow take part with a --skip-shallow below {}",
                    self.parameters.skip_shallow
                )?;
            }
            return f.write_str(".");
        }
        let Some((layer, greatest)) = &self.greatest else {
            return write!(
                f,
                "no layer that takes part has two kernels to compare (kernels of norm below {:e} never merge).",
                exact::EPSILON
            );
        };
        write!(
            f,
            "the most similar kernels of {} are at {greatest:.4} (in {layer}), and tau is {}. {}",
            match self.layers {
                1 => "the one layer that takes part".to_owned(),
                layers => format!("the {layers} layers that take part"),
            },
            self.parameters.tau,
            self.reason(*greatest),
        )?;
        for hint in &self.hints {
            write!(
                f,
                "\n  --tau {:<7} gives {} of {} kernels (at most {} %) an eligible partner",
                hint.tau, hint.kernels, self.kernels, hint.percent
            )?;
        }
        let unreached: Vec<String> = SHARES
            .iter()
            .filter(|&&share| self.hints.iter().all(|hint| hint.percent != share))
            .map(|share| format!("{share} %"))
            .collect();
        if !unreached.is_empty() {
            write!(
                f,
                "\n  No tau gives a partner to at most {} of {} kernels: rounded down that is none, or fewer than are most similar together",
                unreached.join(" or "),
                self.kernels
            )?;
        }
        write!(
            f,
            "\n  Of these, a share of p = {} takes its turn (--prob).",
            self.parameters.prob
        )
    }
}

impl NothingMerged {
    fn reason(&self, greatest: f64) -> String {
        let Parameters {
            tau, prob, partner, ..
        } = self.parameters;
        if prob == Fraction::ZERO {
            return "With --prob 0 no kernel takes its turn.".to_owned();
        }
        if self.pairs_above.is_some_and(|pairs| pairs > 0) {
            return "There are pairs above it, but none of their kernels took its turn: raise --prob, or try another \
                --seed."
                .to_owned();
        }
        match (tau, partner) {
            (Threshold::Share(percent), _) => format!(
                "Rounded down, {percent}% of a layer's kernels is often none in small layers; and as the most similar \
                kernels come in pairs, a layer that may merge one merges none: give a larger percentage."
            ),
            (Threshold::Similarity(tau), Partner::Random) if greatest > tau.get() => {
                "There are pairs above it, but no kernel that took its turn drew such a partner: --partner eligible \
                draws among those."
                    .to_owned()
            }
            (Threshold::Similarity(_), _) => "No pair is above it.".to_owned(),
            (Threshold::Chance(percent), _) => format!(
                "No kernel that took its turn has a partner above its layer's threshold, at which chance gives one to {percent} %: \
                these kernels are no more similar than those of random directions."
            ),
        }
    }
}
