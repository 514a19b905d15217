//! Deciding the merges of every layer.

use std::num::NonZeroU32;

use rayon::prelude::*;

use crate::checkpoint::Checkpoint;
use crate::similarity::{Error, Kernels, Nearest, NonFinite, Screen};
use crate::weight::{Blend, ConvWeight};

use super::partners::Partners;
use super::{Draws, LayerParameters, Merge, Partner, PartnerDraw, Threshold};

/// One layer to decide on.
#[derive(Clone, Debug)]
pub struct Task<'a> {
    /// The layer's weight.
    pub weight: ConvWeight<'a>,
    /// Its own parameters.
    pub parameters: LayerParameters,
}

/// What holds for all layers alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How a kernel finds its partner.
    pub partner: Partner,
    /// How often the whole step is repeated.
    pub rounds: NonZeroU32,
    /// The seed of all draws.
    pub seed: u64,
    /// What to do with kernels that hold a NaN or an infinity.
    pub non_finite: NonFinite,
}

/// What was decided on one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The layer's threshold as a number.
    pub tau: f64,
    /// The greatest similarity of two of its kernels in the source; `None` where it was not computed or there is no pair.
    pub max_similarity: Option<f64>,
    /// Unordered pairs above the threshold in the source; `None` where they were not counted.
    pub pairs_above: Option<u64>,
    /// The merges, by round and kernel.
    pub merges: Vec<Merge>,
}

impl Task<'_> {
    /// How long a decision takes, in multiply-adds or nearly so.
    pub fn work(&self, rules: &Rules) -> u64 {
        let layout = self.weight.layout();
        let (n, d) = (layout.kernels() as u64, layout.kernel_len() as u64);
        let one_round = match rules.partner {
            Partner::Random => n.saturating_mul(d),
            Partner::Eligible | Partner::Nearest => {
                n.saturating_mul(n).saturating_mul(d) / 2 / self.weight.groups() as u64
            }
        };
        one_round.saturating_mul(rules.rounds.get().into())
    }
}

/// Decides on all layers, several at once. `done` is told the [`Task::work`] of each layer as it is finished.
///
/// The result depends on the source, the tasks and the rules only: not on threads, BLAS or machine, nor, for any layer,
/// on which others there are.
///
/// # Errors
///
/// That of the first task whose kernels cannot be compared.
pub fn decide(
    source: &Checkpoint,
    tasks: &[Task<'_>],
    rules: &Rules,
    done: &(dyn Fn(u64) + Sync),
) -> Result<Vec<Decision>, Error> {
    for_each_task(tasks, |task| {
        let decision = task.decide(source, rules);
        done(task.work(rules));
        decision
    })
}

/// Every layer's nearest neighbours in the source, whatever the policy: what the choice of a threshold rests on. `done`
/// is called as each layer is finished.
///
/// # Errors
///
/// As [`decide`].
pub fn nearest(
    source: &Checkpoint,
    tasks: &[Task<'_>],
    non_finite: NonFinite,
    done: &(dyn Fn() + Sync),
) -> Result<Vec<Nearest>, Error> {
    for_each_task(tasks, |task| {
        let kernels = Kernels::new(&task.weight, task.weight.rows(source), non_finite)?;
        let nearest = Nearest::of(&kernels);
        done();
        Ok(nearest)
    })
}

/// Runs large layers one after the other, each on all threads, and small ones side by side, each on one.
fn for_each_task<'t, 'a, R: Send>(
    tasks: &'t [Task<'a>],
    run: impl Fn(&'t Task<'a>) -> Result<R, Error> + Sync,
) -> Result<Vec<R>, Error> {
    let is_large = |task: &Task<'_>| task.weight.layout().kernels() > Screen::TILE;
    let mut results: Vec<Option<Result<R, Error>>> = tasks
        .iter()
        .map(|task| is_large(task).then(|| run(task)))
        .collect();
    results
        .par_iter_mut()
        .zip(tasks)
        .for_each(|(result, task)| {
            result.get_or_insert_with(|| run(task));
        });
    results.into_iter().flatten().collect()
}

impl Task<'_> {
    fn decide(&self, source: &Checkpoint, rules: &Rules) -> Result<Decision, Error> {
        let mut kernels = Kernels::new(&self.weight, self.weight.rows(source), rules.non_finite)?;
        let tau = match self.parameters.tau {
            Threshold::Similarity(tau) => tau.get(),
            Threshold::Share(percent) => {
                Nearest::of(&kernels).threshold_for(percent.of(kernels.len()))
            }
        };
        let first = self.partners(&kernels, tau, rules, 0);
        let mut merges = merges(&kernels, &first, 0);
        let mut merged_last = merges.clone();
        for round in 1..rules.rounds.get() {
            let pairs: Vec<(usize, usize)> = merged_last
                .iter()
                .map(|merge| (merge.kernel, merge.partner))
                .collect();
            let mut rows = kernels.into_rows();
            rows.merge_round(&pairs, Blend::new(self.parameters.alpha.get()));
            kernels = Kernels::new(&self.weight, rows, rules.non_finite)?;
            let partners = self.partners(&kernels, tau, rules, round);
            merged_last = self::merges(&kernels, &partners, round);
            merges.extend_from_slice(&merged_last);
        }
        Ok(Decision {
            tau,
            max_similarity: first.greatest,
            pairs_above: first.pairs_above,
            merges,
        })
    }

    fn partners(&self, kernels: &Kernels<'_>, tau: f64, rules: &Rules, round: u32) -> Partners {
        let draws = Draws::new(rules.seed, round, &self.weight.tensor().name);
        let prob = self.parameters.prob.get();
        let turns: Vec<Option<PartnerDraw>> = (0..kernels.len())
            .map(|kernel| {
                let turn = draws.takes_turn(kernel, prob) && kernels.is_live(kernel);
                turn.then(|| draws.partner(kernel))
            })
            .collect();
        match rules.partner {
            Partner::Eligible => Partners::eligible(kernels, tau, &turns),
            Partner::Nearest => Partners::nearest(kernels, tau, &turns),
            Partner::Random => Partners::random(kernels, tau, &turns),
        }
    }
}

fn merges(kernels: &Kernels<'_>, partners: &Partners, round: u32) -> Vec<Merge> {
    let pairs = partners.partners.iter().enumerate();
    pairs
        .filter_map(|(kernel, &partner)| partner.map(|partner| (kernel, partner)))
        .map(|(kernel, partner)| Merge {
            round,
            kernel,
            partner,
            similarity: Some(kernels.similarity(kernel, partner)),
        })
        .collect()
}
