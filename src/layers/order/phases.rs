//! Orders the main path role by role, and merges the chains of each role.

use super::arrangement::{Arrangement, Placed, Tie};
use super::chains::chains;
use super::direction;
use super::flow::{Fit, Supply};
use super::items::Item;
use super::merge::merge;
use super::modules::Modules;
use crate::layers::roles::Role;

/// The order of modules on the main path.
pub(super) fn in_order(modules: &Modules<'_>, items: &[Item], start: &Supply<'_>) -> Arrangement {
    let mut supply = start.clone();
    let mut result = Arrangement::default();
    for mut chains in chains(modules, items, start).into_values() {
        let mut merged = merge(modules, &chains, false, &supply);
        // Decoders count up or down: the direction that fits the channels better is taken.
        if direction::may_run_backward(modules, &chains, &supply.flow) {
            for chain in &mut chains {
                direction::reverse(modules, chain);
            }
            let backward = merge(modules, &chains, true, &supply);
            let mut items = chains.iter().flat_map(|chain| &chain.items);
            if items.any(|item| item.is_mirrored) || backward.score > merged.score {
                merged = backward;
            }
        }
        for placed in &merged.arrangement.placed {
            supply.advance(modules.ends(placed.node));
        }
        result.ties.extend(merged.arrangement.ties);
        result.placed.extend(merged.arrangement.placed);
    }
    let rivals = rivals_of_roles(modules, &result.placed, start);
    result.ties.extend(rivals);
    result
}

/// A role is only a name: the first module of a later role may run earlier, if its channels fit there.
fn rivals_of_roles(modules: &Modules<'_>, placed: &[Placed], start: &Supply<'_>) -> Vec<Tie> {
    let opens_role =
        |pair: &&[Placed]| pair[0].role != pair[1].role && pair[1].role <= Role::Decoder;
    let opening: Vec<&Placed> = placed
        .windows(2)
        .filter(opens_role)
        .map(|pair| &pair[1])
        .collect();
    let mut ties = Vec::new();
    let mut flow = start.flow.clone();
    for earlier in placed {
        let could_run = |later: &&&Placed| {
            later.role > earlier.role
                && start.fit_at(&flow, modules.ends(later.node)) == Fit::Latest
        };
        ties.extend(opening.iter().filter(could_run).map(|later| Tie {
            first: earlier.node,
            second: later.node,
        }));
        flow = flow.after(modules.ends(earlier.node));
    }
    ties
}
