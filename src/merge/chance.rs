//! The warning that tau is a number at which chance alone gives a partner to most kernels of some layers.

use crate::plan::{Partner, Task, Threshold};
use crate::similarity::Chance;

use super::some_of;

/// The share of a layer's kernels to which chance may give a partner without a warning. Above it, having a partner says little.
const MOST: f64 = 0.5;

/// What the user should know of layers in which more have one.
pub(super) fn warning(tasks: &[Task<'_>], partner: Partner) -> Option<String> {
    let by_chance: Vec<(&Task<'_>, f64, f64)> = tasks
        .iter()
        .filter_map(|task| match task.parameters.tau {
            Threshold::Similarity(tau) => {
                let tau = tau.get();
                Some((task, tau, expected(task, tau, partner)))
            }
            // These differ from layer to layer.
            Threshold::Share(_) | Threshold::Chance(_) => None,
        })
        .filter(|&(_, _, share)| share > MOST)
        .collect();
    let &(Task { weight, .. }, tau, share) = by_chance.iter().max_by(|a, b| a.2.total_cmp(&b.2))?;
    Some(format!(
        "In {}, most kernels would find a partner above tau even if their numbers were random: in `{}` \
         {:.0} % of {} kernels of {} numbers{}, at tau {tau}. What merges there need not be alike. A tau of 5% gives each layer a threshold of its \
         own, chance=1% one that random kernels seldom pass",
        some_of(by_chance.len(), tasks.len()),
        weight.tensor().name,
        100.0 * share,
        weight.layout().kernels() / weight.groups(),
        weight.layout().kernel_len(),
        if weight.groups() > 1 {
            ", which are a group"
        } else {
            ""
        },
    ))
}

/// The share of a layer's kernels that find a partner above tau, if their directions are random.
fn expected(task: &Task<'_>, tau: f64, partner: Partner) -> f64 {
    let chance = Chance::of(&task.weight);
    match partner {
        Partner::Eligible | Partner::Nearest => chance.partner_above(tau),
        // The one that is drawn.
        Partner::Random => chance.pair_above(tau),
    }
}
