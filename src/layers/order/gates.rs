//! Channel gates and attention: each runs after the layer whose channels it scales.

use super::arrangement::{Arrangement, FlowPath, Placed};
use super::flow::Ends;
use super::items::{Item, MAX_WORK};
use super::modules::Modules;
use crate::layers::roles::{self, Role};

/// Separates gates from the modules of the main path. If all are gates, they are the main path.
pub(super) fn separate(modules: &Modules<'_>, items: Vec<Item>) -> (Vec<Item>, Vec<Item>) {
    let is_gate =
        |item: &Item| item.role == Role::Body && roles::is_gate(modules.segment(item.node));
    let (gates, others): (Vec<Item>, Vec<Item>) = items.into_iter().partition(is_gate);
    if others.is_empty() {
        (others, gates)
    } else {
        (gates, others)
    }
}

/// Places gates among the modules of the main path.
pub(super) fn place(modules: &Modules<'_>, mut gates: Vec<Item>, result: &mut Arrangement) {
    // `_se_reduce` runs before `_se_expand`: the one that narrows comes first.
    let narrows = |ends: &Ends| ends.exits[0] < ends.entry[0];
    gates.sort_by(|a, b| {
        narrows(modules.ends(b.node))
            .cmp(&narrows(modules.ends(a.node)))
            .then_with(|| modules.segment(a.node).natural(modules.segment(b.node)))
    });
    let is_small = gates.len().saturating_mul(result.placed.len()) <= MAX_WORK;
    for gate in gates {
        let at = if is_small {
            position(modules, gate.node, &result.placed)
        } else {
            result.placed.len()
        };
        let gate = Placed::beside(gate.node, FlowPath::Gate);
        result.placed.insert(at, gate);
    }
}

/// The index of a gate: after the last spatial convolution that outputs the channels it reads, else after the last module
/// that does, else after the body. In a block of equal widths (RegNet) that is after the 3×3 convolution, in a bottleneck
/// (SE-ResNet) after the last one.
fn position(modules: &Modules<'_>, gate: usize, placed: &[Placed]) -> usize {
    let entry = modules.ends(gate).entry[0];
    let last = |fits: &dyn Fn(&Placed) -> bool| placed.iter().rposition(fits);
    let body = |placed: &Placed| {
        placed.role <= Role::Body
            || (placed.role == Role::Final && roles::is_merge(modules.segment(placed.node)))
    };
    let main = |placed: &Placed| placed.path == FlowPath::Main && body(placed);
    let exits = |placed: &Placed| &modules.ends(placed.node).exits;
    let gives = |placed: &Placed| main(placed) && exits(placed)[0] == entry;
    // The second gate of a pair reads the output of the first and follows it.
    last(&|placed| placed.path == FlowPath::Gate && exits(placed) == &[entry])
        .or_else(|| last(&|placed| gives(placed) && modules.sketches[placed.node].spatial))
        .or_else(|| last(&gives))
        .or_else(|| last(&|placed| main(placed) && exits(placed).contains(&entry)))
        .or_else(|| last(&body))
        .map_or(0, |at| at + 1)
}
