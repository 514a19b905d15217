//! The direction of a chain of modules: usually that of its numbers, possibly the reverse in decoders and where only the
//! last member reads the input; and, for modules with two numbers, which of them counts first.

use super::flow::{Flow, Supply};
use super::items::{Chain, Item};
use super::modules::Modules;
use crate::layers::roles::Role;

/// Reverses a chain by its first numbers: `dec_2_a`, `dec_2_b`, `dec_1_a`, `dec_1_b`.
pub(super) fn reverse(modules: &Modules<'_>, chain: &mut Chain) {
    let number = |item: &Item| match modules.segment(item.node).ordinal[..] {
        [letter @ (0, 'a'..)] => Some(letter),
        [(number, _), ..] => Some((number, '\0')),
        [] => None,
    };
    chain
        .items
        .sort_by_key(|item| std::cmp::Reverse(number(item)));
}

/// Whether chains may run from their last number to their first: a decoder's, and one at the network's input if only its
/// last member can read that.
pub(super) fn may_run_backward(modules: &Modules<'_>, chains: &[Chain], flow: &Flow) -> bool {
    let reads_input = |item: &Item| {
        let mut entry = modules.ends(item.node).entry.iter();
        entry.any(|channels| flow.latest.contains(channels))
    };
    // In reverse, all modules of the last number come first.
    let number = |item: &Item| modules.segment(item.node).ordinal.first().copied();
    let only_last_reads_input = |items: &[Item]| {
        let last = items.last().and_then(number);
        let (ends, others): (Vec<&Item>, Vec<&Item>) =
            items.iter().partition(|item| number(item) == last);
        flow.at_input && ends.into_iter().any(reads_input) && !others.into_iter().any(reads_input)
    };
    // Plain numbers are the order of an `nn.Sequential`.
    let is_decoder = |item: &Item| {
        item.role == Role::Decoder
            || (modules.in_decoder[item.list] && !modules.segment(item.node).is_number())
    };
    chains.iter().any(|Chain { items, .. }| {
        items.len() > 1 && (items.iter().any(is_decoder) || only_last_reads_input(items))
    })
}

/// Sorts modules with two numbers (`conv0_0`, `conv1_0`, `conv0_1`, … of a nested U-Net) by the first, by the second, or
/// along the diagonals, whichever fits their channels best.
pub(super) fn sort_grid(modules: &Modules<'_>, chain: &mut [Item], supply: &Supply<'_>) {
    let numbers = |item: &Item| match modules.segment(item.node).ordinal[..] {
        [(row, '\0'), (column, '\0')] => Some((row, column)),
        _ => None,
    };
    if chain.len() < 3 || !chain.iter().all(|item| numbers(item).is_some()) {
        return;
    }
    let sorted = |key: fn((u64, u64)) -> (u64, u64)| {
        let mut items = chain.to_vec();
        items.sort_by_key(|item| numbers(item).map(key));
        items
    };
    let score = |items: &[Item]| {
        let nodes: Vec<usize> = items.iter().map(|item| item.node).collect();
        modules.score(&nodes, supply)
    };
    let mut best = chain.to_vec();
    for other in [
        sorted(|(row, column)| (row.saturating_add(column), column)),
        sorted(|(row, column)| (column, row)),
    ] {
        if score(&other) > score(&best) {
            best = other;
        }
    }
    chain.copy_from_slice(&best);
}
