//! The warning that nothing merged, which suggests thresholds at which kernels would.

use std::fmt;

use super::all_of;
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
    /// Unordered pairs above τ; `None` if they were not counted.
    pairs_above: Option<u64>,
    /// The most similar pair's layer and similarity; `None` if there is no pair, or it is not known.
    greatest: Option<(String, f64)>,
    hints: Option<Hints>,
    /// Layers that were found, and how many of them are left alone only because they are shallow.
    found: usize,
    shallow: usize,
}

/// Thresholds at which kernels would merge.
#[derive(Clone, Debug, PartialEq)]
struct Hints {
    thresholds: Vec<ThresholdHint>,
    /// Of all layers that take part.
    kernels: usize,
}

impl Hints {
    /// From the nearest neighbours of each layer.
    fn of(layers: &[Nearest]) -> Self {
        let similarities = layers.iter().flat_map(Nearest::similarities);
        let mut greatest: Vec<f64> = similarities.collect();
        greatest.sort_unstable_by(|a, b| b.total_cmp(a));
        let kernels = layers.iter().map(|nearest| nearest.by_kernel().len()).sum();
        let shares = SHARES.iter();
        Self {
            thresholds: shares
                .filter_map(|&percent| ThresholdHint::new(percent, kernels, &greatest))
                .collect(),
            kernels,
        }
    }
}

impl fmt::Display for Hints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for hint in &self.thresholds {
            write!(
                f,
                "\n  --tau {:<7} gives {} of {} kernels (at most {} %) an eligible partner",
                hint.tau, hint.kernels, self.kernels, hint.percent
            )?;
        }
        let is_reached = |share: f64| self.thresholds.iter().any(|hint| hint.percent == share);
        let unreached = SHARES.iter().filter(|&&share| !is_reached(share));
        let unreached: Vec<String> = unreached.map(|share| format!("{share} %")).collect();
        if !unreached.is_empty() {
            write!(
                f,
                "\n  No tau gives a partner to at most {} of {} kernels: rounded down that is none, or fewer than are most similar together",
                unreached.join(" or "),
                self.kernels
            )?;
        }
        Ok(())
    }
}

impl NothingMerged {
    /// `greatest` holds the name and the greatest similarity, where it is known, of each layer that takes part, `nearest` the nearest
    /// neighbours of each, if they were looked for, and `found` all layers.
    pub fn new<'n>(
        parameters: Parameters,
        pairs_above: Option<u64>,
        greatest: impl ExactSizeIterator<Item = (&'n str, Option<f64>)>,
        nearest: Option<&[Nearest]>,
        found: &Layers,
    ) -> Self {
        Self {
            parameters,
            layers: greatest.len(),
            pairs_above,
            greatest: greatest
                .filter_map(|(name, similarity)| Some((name.to_owned(), similarity?)))
                .reduce(|best, other| if other.1 > best.1 { other } else { best }),
            hints: nearest.map(Hints::of),
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
        let tau = self.parameters.tau;
        match &self.greatest {
            Some((layer, greatest)) => write!(
                f,
                "the most similar kernels of {} are at {greatest:.4} (in {layer}), and tau is {tau}. {}",
                all_of(self.layers),
                self.reason(Some(*greatest)),
            )?,
            // Of randomly drawn partners nothing else is known.
            None if self.parameters.partner == Partner::Random && self.hints.is_none() => {
                write!(f, "tau is {tau}. {}", self.reason(None))?;
            }
            None => {
                return write!(
                    f,
                    "no layer that takes part has two kernels to compare (kernels of norm below {:e} never merge).",
                    exact::EPSILON
                );
            }
        }
        match &self.hints {
            Some(hints) => hints.fmt(f)?,
            None => write!(
                f,
                "\n  {} of each layer's kernels a partner at most, however similar they are. Thresholds as numbers are not looked for in a \
                checkpoint as large as this, which may take as long as the merge; `inmerge-ckpt analyze` shows them.",
                match tau {
                    Threshold::Share(_) => "A larger percentage as --tau gives that share",
                    Threshold::Similarity(_) | Threshold::Chance(_) => "--tau 5% gives 5 %",
                }
            )?,
        }
        write!(
            f,
            "\n  Of these, a share of p = {} takes its turn (--prob).",
            self.parameters.prob
        )
    }
}

impl NothingMerged {
    /// Given the greatest similarity, if it is known.
    fn reason(&self, greatest: Option<f64>) -> String {
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
            (Threshold::Share(_) | Threshold::Chance(_), Partner::Random) => {
                "No kernel that took its turn drew a partner above its layer's threshold: --partner eligible draws among those that are, \
                if there are any."
                    .to_owned()
            }
            (Threshold::Share(percent), _) => format!(
                "Rounded down, {percent}% of a layer's kernels is often none in small layers; and as the most similar \
                kernels come in pairs, a layer that may merge one merges none: give a larger percentage."
            ),
            (Threshold::Similarity(_), Partner::Random) if greatest.is_none() => {
                "No kernel that took its turn drew a partner above it: --partner eligible draws among those that are, if there are any."
                    .to_owned()
            }
            (Threshold::Similarity(tau), Partner::Random) if greatest > Some(tau.get()) => {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a large checkpoint, whose thresholds were not looked for.
    fn unexplained(
        tau: &str,
        partner: Partner,
        greatest: Option<f64>,
        pairs_above: Option<u64>,
    ) -> String {
        let parameters = Parameters {
            tau: tau.parse().unwrap(),
            partner,
            ..Parameters::default()
        };
        let layers = [
            ("a.weight", None),
            ("b.weight", greatest),
            ("c.weight", greatest),
        ];
        let greatest = layers
            .iter()
            .find_map(|&(name, s)| Some((name.to_owned(), s?)));
        NothingMerged {
            parameters,
            layers: 3,
            pairs_above,
            greatest,
            hints: None,
            found: 3,
            shallow: 0,
        }
        .to_string()
    }

    #[test]
    fn a_large_checkpoint_is_told_of_shares_instead_of_thresholds() {
        for (tau, partner, greatest, above, start) in [
            (
                "0.3",
                Partner::Eligible,
                Some(0.25),
                Some(0),
                "the most similar kernels of the 3 layers that take part are at 0.2500 (in b.weight), and tau is 0.3. No pair is above it.",
            ),
            (
                "0.3",
                Partner::Nearest,
                Some(0.5),
                Some(2),
                "the most similar kernels of the 3 layers that take part are at 0.5000 (in b.weight), and tau is 0.3. There are pairs above it, \
                but none of their kernels took its turn: raise --prob, or try another --seed.",
            ),
            (
                "0.3",
                Partner::Random,
                None,
                None,
                "tau is 0.3. No kernel that took its turn drew a partner above it: --partner eligible draws among those that are, if there are \
                any.",
            ),
            (
                "5%",
                Partner::Random,
                Some(0.5),
                None,
                "the most similar kernels of the 3 layers that take part are at 0.5000 (in b.weight), and tau is 5%. No kernel that took its \
                turn drew a partner above its layer's threshold: --partner eligible draws among those that are, if there are any.",
            ),
            (
                "chance=1%",
                Partner::Random,
                None,
                None,
                "tau is chance=1%. No kernel that took its turn drew a partner above its layer's threshold: --partner eligible draws among \
                those that are, if there are any.",
            ),
        ] {
            let text = unexplained(tau, partner, greatest, above);
            let text = text.strip_prefix("NOTHING MERGED: ").unwrap();
            let (found, remedy) = text.split_once('\n').unwrap();
            assert_eq!(found, start);
            assert!(
                remedy.starts_with(match tau {
                    "5%" => "  A larger percentage as --tau gives that share of each layer's kernels a partner",
                    _ => "  --tau 5% gives 5 % of each layer's kernels a partner",
                }),
                "{remedy}"
            );
            assert!(
                remedy
                    .contains("`inmerge-ckpt analyze` shows them.\n  Of these, a share of p = 0.3"),
                "{remedy}"
            );
        }
        let nothing = unexplained("0.3", Partner::Eligible, None, Some(0));
        assert!(
            nothing.contains("no layer that takes part has two kernels to compare"),
            "{nothing}"
        );
    }
}
