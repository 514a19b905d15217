//! Deciding the merges of a layer.

use std::num::NonZeroU32;

use rayon::prelude::*;

use crate::meter::Meter;
use crate::schedule::{Load, per_task};
use crate::similarity::{Chance, Engine, Error, Kernels, Nearest, NonFinite, Precision, exact};
use crate::weight::{Blend, ConvWeight};

use super::partners::{Chosen, Partners};
use super::{Control, Draws, LayerParameters, LayerRecipe, Merge, Partner, PartnerDraw, Threshold};

/// A layer whose merges are to be decided.
#[derive(Clone, Debug)]
pub struct Task<'a> {
    /// The weight that holds its kernels.
    pub weight: ConvWeight<'a>,
    /// τ, α and p for this layer.
    pub parameters: LayerParameters,
}

/// The settings that all layers share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How a kernel finds its partner.
    pub partner: Partner,
    /// How often the whole step is repeated.
    pub rounds: NonZeroU32,
    /// The `--seed`, from which each layer and round derives its draws.
    pub seed: u64,
    /// What to do with kernels that hold a NaN or an infinity.
    pub non_finite: NonFinite,
    /// What is done to the same kernels in the place of the merges; `None` to merge.
    pub control: Option<Control>,
}

/// The merges of one layer, and what they were decided from.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The layer's threshold as a number.
    pub tau: f64,
    /// The greatest similarity of two of its kernels in the source; `None` if it was not computed or there is no pair.
    pub max_similarity: Option<f64>,
    /// Unordered pairs above the threshold in the source; `None` if they were not counted.
    pub pairs_above: Option<u64>,
    /// The merges, by round and kernel.
    pub merges: Vec<Merge>,
    /// The dot product of every kernel of the source with itself.
    pub squares: Vec<f64>,
    /// Every kernel's nearest neighbour in the source, where nothing merges and they were found on the way.
    pub nearest: Option<Nearest>,
}

impl<'a> Task<'a> {
    /// The multiply-adds of a decision, except those of the few pairs that are computed again exactly.
    pub fn products(&self, rules: &Rules) -> u64 {
        let layout = self.weight.layout();
        let (n, d) = (layout.kernels() as u64, layout.kernel_len() as u64);
        let all = self.weight.pairs_products();
        let one_round = match rules.partner {
            Partner::Random => n.saturating_mul(d),
            Partner::Eligible | Partner::Nearest => all,
        };
        let threshold = match self.parameters.tau {
            Threshold::Similarity(_) | Threshold::Chance(_) => 0,
            Threshold::Share(_) => all,
        };
        let rounds = one_round.saturating_mul(rules.rounds.get().into());
        rounds.saturating_add(threshold)
    }

    /// Whether similarities are screened first. If few are needed, each is computed exactly instead.
    pub fn is_screened(&self, rules: &Rules) -> bool {
        rules.partner != Partner::Random || matches!(self.parameters.tau, Threshold::Share(_))
    }

    /// The time and memory that the decision takes on the CPU, screening in this precision.
    pub fn load(&self, rules: &Rules, precision: Precision) -> Load<'_> {
        let layout = self.weight.layout();
        let (n, d) = (layout.kernels(), layout.kernel_len());
        let groups = self.weight.groups();
        let units = if self.is_screened(rules) {
            groups * precision.memory(n / groups, d)
        } else {
            0
        };
        let is_copied = rules.rounds.get() > 1 || !layout.is_contiguous();
        let copy = if is_copied { self.weight.bytes() } else { 0 };
        Load {
            tensor: self.weight.tensor(),
            copies: self.weight.copies(),
            work: self.products(rules),
            memory: units + copy,
            allowance: copy + units.max(n * d * size_of::<f32>()),
        }
    }

    /// Decides which kernels of the layer merge, given the bytes of its weight. The meter counts multiply-adds.
    ///
    /// The result depends only on the values, the task and the rules, not on the engine, the threads, the BLAS, the machine or
    /// the other layers.
    ///
    /// # Errors
    ///
    /// If its kernels cannot be compared.
    pub fn decide(
        &self,
        values: &[u8],
        rules: &Rules,
        engine: Engine<'_>,
        meter: &dyn Meter,
    ) -> Result<Decision, Error> {
        let screen = self.is_screened(rules).then_some(engine);
        let kernels_of = |rows| Kernels::new(&self.weight, rows, rules.non_finite, screen);
        let mut kernels = kernels_of(self.weight.rows(values))?;
        let squares = kernels.squares();
        let tau = match self.parameters.tau {
            Threshold::Similarity(tau) => tau.get(),
            Threshold::Share(percent) => {
                Nearest::threshold_for(&kernels, percent.of(kernels.len()), meter)?
            }
            Threshold::Chance(percent) => {
                Chance::of(&self.weight).threshold_for(percent.get() / 100.0)
            }
        };
        let first = self.partners(&kernels, tau, rules, 0, meter)?;
        let mut merges = merges(&kernels, &first, 0);
        let mut merged_last = merges.clone();
        for round in 1..rules.rounds.get() {
            let mut rows = kernels.into_rows();
            rows.merge_round(
                &pairs(&merged_last),
                Blend::new(self.parameters.alpha.get()),
            );
            kernels = kernels_of(rows)?;
            let partners = self.partners(&kernels, tau, rules, round, meter)?;
            merged_last = self::merges(&kernels, &partners, round);
            merges.extend_from_slice(&merged_last);
        }
        Ok(Decision {
            tau,
            max_similarity: first.greatest,
            pairs_above: first.pairs_above,
            nearest: first.nearest.filter(|_| merges.is_empty()),
            merges,
            squares,
        })
    }

    /// Every kernel's nearest neighbour, whatever the partner policy; thresholds are chosen from these.
    ///
    /// # Errors
    ///
    /// As [`Task::decide`].
    pub fn nearest(
        &self,
        values: &[u8],
        rules: &Rules,
        engine: Engine<'_>,
        meter: &dyn Meter,
    ) -> Result<Nearest, Error> {
        let rows = self.weight.rows(values);
        let kernels = Kernels::new(&self.weight, rows, rules.non_finite, Some(engine))?;
        Nearest::of(&kernels, meter)
    }

    /// The recipe that carries out a decision, or the control of the rules in its place.
    pub fn recipe(&self, decision: &Decision, rules: &Rules) -> LayerRecipe<'a> {
        let rounds = decision.merges.chunk_by(|a, b| a.round == b.round);
        LayerRecipe {
            weight: self.weight.clone(),
            blend: Blend::new(self.parameters.alpha.get()),
            rounds: match rules.control {
                Some(Control::Random) => rounds
                    .map(|merges| self.random_pairs(merges, &decision.squares, rules.seed))
                    .collect(),
                None | Some(Control::Shrink) => rounds.map(pairs).collect(),
            },
            norms_only: rules.control == Some(Control::Shrink),
        }
    }

    /// The kernels that merge in a round, each with a partner drawn among all others of its group that can merge.
    fn random_pairs(&self, merges: &[Merge], squares: &[f64], seed: u64) -> Vec<(usize, usize)> {
        let group = squares.len() / self.weight.groups();
        let pair = |merge: &Merge| {
            let start = merge.kernel / group * group;
            let others = (start..start + group)
                .filter(|&other| other != merge.kernel && exact::is_live(squares[other].sqrt()));
            let others: Vec<usize> = others.collect();
            let draws = Draws::new(seed, merge.round, &self.weight.tensor().name);
            let drawn = draws.partner(merge.kernel).below(others.len());
            (merge.kernel, others[drawn])
        };
        merges.iter().map(pair).collect()
    }

    fn partners(
        &self,
        kernels: &Kernels<'_>,
        tau: f64,
        rules: &Rules,
        round: u32,
        meter: &dyn Meter,
    ) -> Result<Partners, Error> {
        let draws = Draws::new(rules.seed, round, &self.weight.tensor().name);
        let prob = self.parameters.prob.get();
        let turns: Vec<Option<PartnerDraw>> = (0..kernels.len())
            .map(|kernel| {
                let turn = draws.takes_turn(kernel, prob) && kernels.is_live(kernel);
                turn.then(|| draws.partner(kernel))
            })
            .collect();
        match rules.partner {
            Partner::Eligible => Partners::eligible(kernels, tau, &turns, meter),
            Partner::Nearest => Partners::nearest(kernels, tau, &turns, meter),
            Partner::Random => Ok(Partners::random(kernels, tau, &turns, meter)),
        }
    }
}

fn pairs(merges: &[Merge]) -> Vec<(usize, usize)> {
    let pair = |merge: &Merge| (merge.kernel, merge.partner);
    merges.iter().map(pair).collect()
}

/// The merges of a round, with the similarities that the policy did not compute.
fn merges(kernels: &Kernels<'_>, partners: &Partners, round: u32) -> Vec<Merge> {
    let merge = |(kernel, chosen): (usize, &Option<Chosen>)| {
        let chosen = (*chosen)?;
        let similarity = || kernels.similarity(kernel, chosen.kernel);
        Some(Merge {
            round,
            kernel,
            partner: chosen.kernel,
            similarity: Some(chosen.similarity.unwrap_or_else(similarity)),
        })
    };
    partners
        .partners
        .par_iter()
        .with_min_len(per_task(2 * kernels.rows().row_bytes()))
        .enumerate()
        .filter_map(merge)
        .collect()
}
