//! Sibling lists of modules: whether they run one after the other, or their members take turns.

use std::collections::BTreeMap;

use super::flow::Supply;
use super::items::Item;
use super::modules::Modules;
use super::phases;
use crate::layers::roles::{self, Role, ShortcutTurn};

/// Lists with more members than this in all are not taken apart: comparing them all would take too long.
const MAX_MEMBERS: usize = 512;

/// Splits lists of one role into their members if those fit better in turns (`convs1.0`, `convs2.0`, `downs.0`, `convs1.1`,
/// …) than list after list.
pub(super) fn zip(modules: &Modules<'_>, items: Vec<Item>, supply: &Supply<'_>) -> Vec<Item> {
    let is_list =
        |item: &&Item| modules.is_list(item.node) && modules.children(item.node).len() > 1;
    let mut lists: BTreeMap<Role, usize> = BTreeMap::new();
    for item in items.iter().filter(is_list) {
        *lists.entry(item.role).or_default() += 1;
    }
    let takes_turns =
        |item: &&Item| is_list(item) && lists.get(&item.role).is_some_and(|&lists| lists > 1);
    let mut apart: Vec<Item> = Vec::new();
    for item in &items {
        if takes_turns(&item) {
            let members = modules.members(item.node).into_iter();
            apart.extend(members.map(|node| member(node, item)));
        } else {
            apart.push(*item);
        }
    }
    if apart.len() == items.len() || apart.len() > MAX_MEMBERS {
        return items;
    }
    if let Some(paired) = pair_shortcuts(modules, &items) {
        return paired;
    }
    let order = |items: &[Item]| {
        let placed = phases::in_order(modules, items, supply).placed;
        let nodes = placed.into_iter().map(|placed| placed.node);
        nodes.collect::<Vec<usize>>()
    };
    let in_lists = order(&items).into_iter().flat_map(|node| {
        let item = items.iter().find(|item| item.node == node);
        match item.filter(takes_turns) {
            Some(item) => modules.members(item.node),
            None => vec![node],
        }
    });
    let in_lists: Vec<usize> = in_lists.collect();
    if modules.score(&order(&apart), supply) > modules.score(&in_lists, supply) {
        apart
    } else {
        items
    }
}

/// A member of a list, in place of the list.
fn member(node: usize, list: &Item) -> Item {
    Item {
        node,
        list: list.node,
        role: list.role,
        is_mirrored: false,
    }
}

/// Pairs a list of shortcuts with a list of blocks if each shortcut has the input and output of its blocks.
fn pair_shortcuts(modules: &Modules<'_>, items: &[Item]) -> Option<Vec<Item>> {
    let turn = |item: &Item| roles::shortcut(modules.segment(item.node));
    let is_shortcut = |item: &&Item| turn(item).is_some();
    let [shortcuts] = items.iter().filter(is_shortcut).collect::<Vec<_>>()[..] else {
        return None;
    };
    let short = modules.members(shortcuts.node);
    if short.is_empty() {
        return None;
    }
    // Each shortcut goes around the same number of blocks (three in InceptionTime).
    let goes_around = |item: &&Item| {
        let blocks = modules.members(item.node);
        let step = blocks.len() / short.len();
        item.node != shortcuts.node
            && modules.is_list(item.node)
            && step > 0
            && blocks.len().is_multiple_of(short.len())
            && blocks.chunks(step).zip(&short).all(|(blocks, &shortcut)| {
                let (first, last) = (blocks[0], blocks[blocks.len() - 1]);
                let own = modules.ends(shortcut);
                modules.ends(first).entry.contains(&own.entry[1])
                    && modules.ends(last).exits.contains(&own.exits[0])
            })
    };
    let blocks = items.iter().find(goes_around)?;
    let around = modules.members(blocks.node);
    let is_first = turn(shortcuts) == Some(ShortcutTurn::First);
    // One chain, in the order of the pairs.
    let mut pairs = Vec::new();
    for (blocks, shortcut) in around.chunks(around.len() / short.len()).zip(short) {
        let at = pairs.len();
        pairs.extend(blocks);
        pairs.insert(if is_first { at } else { pairs.len() }, shortcut);
    }
    let others = items
        .iter()
        .filter(|item| item.node != blocks.node && item.node != shortcuts.node);
    let pairs = pairs.into_iter().map(|node| member(node, blocks));
    Some(others.copied().chain(pairs).collect())
}
