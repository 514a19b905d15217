//! Lists of modules side by side: whether they run one after the other, or their members take turns.

use std::collections::BTreeMap;

use super::arrange::Arranger;
use super::flow::{Flow, Seen};
use super::items::Item;
use super::sketch::Sketch;
use crate::layers::roles::{self, Role};

/// Lists with more members than this in all are not taken apart: comparing them all would take too long.
const MOST_MEMBERS: usize = 512;

impl Arranger<'_> {
    /// Lists of one role whose members take turns (`convs1.0`, `convs2.0`, `downs.0`, `convs1.1`, …) are taken apart into
    /// their members, if those then fit each other better than list after list.
    pub fn zip_lists(
        &self,
        items: Vec<Item>,
        flow: &Flow,
        seen: &Seen,
        sketches: &[Sketch],
    ) -> Vec<Item> {
        let is_list =
            |item: &&Item| self.is_list(item.node) && self.tree.nodes[item.node].children.len() > 1;
        let mut lists: BTreeMap<Role, usize> = BTreeMap::new();
        for item in items.iter().filter(is_list) {
            *lists.entry(item.role).or_default() += 1;
        }
        let takes_turns =
            |item: &Item| is_list(&item) && lists.get(&item.role).is_some_and(|&lists| lists > 1);
        let apart: Vec<Item> = items
            .iter()
            .flat_map(|item| match takes_turns(item) {
                true => self
                    .members(item)
                    .into_iter()
                    .map(|node| Item {
                        node,
                        list: item.node,
                        role: item.role,
                        is_mirrored: false,
                    })
                    .collect(),
                false => vec![*item],
            })
            .collect();
        if apart.len() == items.len() || apart.len() > MOST_MEMBERS {
            return items;
        }
        let order = |items: &[Item]| {
            let merged = self.merge_roles(items, flow, seen, sketches);
            let nodes = merged.placed.into_iter().map(|placed| placed.node);
            nodes.collect::<Vec<usize>>()
        };
        if let Some(paired) = self.pair_shortcuts(&items, sketches) {
            return paired;
        }
        let in_lists = order(&items).into_iter().flat_map(|node| {
            let item = items.iter().find(|item| item.node == node);
            match item.filter(|item| takes_turns(item)) {
                Some(item) => self.members(item),
                None => vec![node],
            }
        });
        let score = |nodes: Vec<usize>| self.score(&nodes, flow, seen, sketches);
        if score(order(&apart)) > score(in_lists.collect()) {
            apart
        } else {
            items
        }
    }

    /// A list of shortcuts as long as a list of blocks, each reading and giving what its block does, is paired with it.
    fn pair_shortcuts(&self, items: &[Item], sketches: &[Sketch]) -> Option<Vec<Item>> {
        let is_shortcut = |item: &&Item| roles::shortcut(self.segment(item.node)).is_some();
        let [shortcuts] = items.iter().filter(is_shortcut).collect::<Vec<_>>()[..] else {
            return None;
        };
        let short = self.members(shortcuts);
        // Each shortcut goes around as many blocks (InceptionTime's around three).
        let goes_around = |item: &&Item| {
            let blocks = self.members(item);
            let step = blocks.len() / short.len();
            item.node != shortcuts.node
                && self.is_list(item.node)
                && step > 0
                && blocks.len().is_multiple_of(short.len())
                && blocks.chunks(step).zip(&short).all(|(blocks, &shortcut)| {
                    let (first, last) = (blocks[0], blocks[blocks.len() - 1]);
                    let own = &sketches[shortcut].ends;
                    sketches[first].ends.entry.contains(&own.entry[1])
                        && sketches[last].ends.exits.contains(&own.exits[0])
                })
        };
        let blocks = items.iter().find(goes_around)?;
        let is_first = roles::shortcut(self.segment(shortcuts.node)) == Some(true);
        let around = self.members(blocks);
        let pairs = around.chunks(around.len() / short.len()).zip(short);
        let pairs = pairs.flat_map(|(blocks, shortcut)| {
            let (before, after) = if is_first {
                (Some(shortcut), None)
            } else {
                (None, Some(shortcut))
            };
            before.into_iter().chain(blocks.to_vec()).chain(after)
        });
        // One chain, in the order of the pairs.
        let pairs = pairs.map(|node| Item {
            node,
            list: blocks.node,
            role: blocks.role,
            is_mirrored: false,
        });
        let others = items
            .iter()
            .filter(|item| item.node != blocks.node && item.node != shortcuts.node);
        Some(others.copied().chain(pairs).collect())
    }

    /// The members of a list, in order.
    fn members(&self, list: &Item) -> Vec<usize> {
        let mut members = self.tree.nodes[list.node].children.clone();
        members.sort_by(|&a, &b| self.segment(a).natural(self.segment(b)));
        members
    }
}
