//! Chains: modules of one stem (`conv1`, `conv2`, …), whose inner order is given by their numbers.

use std::collections::BTreeMap;

use super::direction;
use super::flow::Supply;
use super::items::{Chain, Item};
use super::modules::Modules;
use crate::layers::name::Segment;
use crate::layers::roles::{self, Role};

/// What the modules of a chain share: their role, the list they are in, their stem.
type Key<'a> = (Role, usize, &'a str);

/// The chains of each role.
pub(super) fn chains(
    modules: &Modules<'_>,
    items: &[Item],
    supply: &Supply<'_>,
) -> BTreeMap<Role, Vec<Chain>> {
    let mut chains: BTreeMap<Key<'_>, Vec<Item>> = BTreeMap::new();
    for &item in items {
        let key = (item.role, item.list, &modules.segment(item.node).stem[..]);
        chains.entry(key).or_default().push(item);
    }
    for chain in chains.values_mut() {
        sort_by_numbers(modules, chain);
    }
    fill_gap(modules, &mut chains);
    for chain in chains.values_mut() {
        direction::sort_grid(modules, chain, supply);
    }
    let mut by_role: BTreeMap<Role, Vec<Chain>> = BTreeMap::new();
    for (number, ((role, ..), items)) in chains.into_iter().enumerate() {
        by_role
            .entry(role)
            .or_default()
            .push(Chain { number, items });
    }
    by_role
}

fn sort_by_numbers(modules: &Modules<'_>, chain: &mut [Item]) {
    chain.sort_by(|a, b| {
        let (first, second) = (modules.segment(a.node), modules.segment(b.node));
        // CSPNet's `conv_transition_b` ends a branch, `conv_transition` joins all.
        let joins_all = |segment| roles::is_merge(segment) && segment.ordinal.is_empty();
        // `conv_h` and `conv_w` come after a sibling `conv1`.
        let is_lettered =
            |segment: &Segment| matches!(segment.ordinal[..], [(0, letter)] if letter != '\0');
        joins_all(first)
            .cmp(&joins_all(second))
            .then_with(|| is_lettered(first).cmp(&is_lettered(second)))
            .then_with(|| first.ordinal.cmp(&second.ordinal))
            .then_with(|| roles::is_offset(second).cmp(&roles::is_offset(first)))
            .then_with(|| first.natural(second))
    });
}

/// An unnumbered module beside `conv1` and `conv3` takes the position of `conv2` (Res2Net, bottleneck attention).
fn fill_gap(modules: &Modules<'_>, chains: &mut BTreeMap<Key<'_>, Vec<Item>>) {
    let is_body = |(role, ..): &Key<'_>| *role == Role::Body;
    let body: Vec<Key<'_>> = chains.keys().copied().filter(is_body).collect();
    let &[first, second] = body.as_slice() else {
        return;
    };
    let segments = |key| {
        let items = chains[&key].iter();
        items
            .map(|item| modules.segment(item.node))
            .collect::<Vec<_>>()
    };
    let is_lone = |key| matches!(segments(key)[..], [only] if only.ordinal.is_empty());
    let has_gap =
        |key| matches!(segments(key)[..], [a, b] if a.text == "conv1" && b.text == "conv3");
    let (numbered, filler) = if has_gap(first) && is_lone(second) {
        (first, second)
    } else if has_gap(second) && is_lone(first) {
        (second, first)
    } else {
        return;
    };
    let filler = chains.remove(&filler).unwrap_or_default();
    if let Some(chain) = chains.get_mut(&numbered) {
        chain.splice(1..1, filler);
    }
}
