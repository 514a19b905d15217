//! Which way round a chain of modules runs: by its numbers as a rule, against them in decoders and where only its last member
//! reads the input; and, where modules have two numbers, by which of them.

use super::arrange::Arranger;
use super::flow::{Flow, Seen};
use super::items::{Chain, Item};
use super::sketch::Sketch;
use crate::layers::roles::Role;

impl Arranger<'_> {
    /// Turns a chain round by its first numbers: `dec_2_a`, `dec_2_b`, `dec_1_a`, `dec_1_b`.
    pub fn reverse(&self, chain: &mut [Item]) {
        let number = |item: &Item| match self.segment(item.node).ordinal[..] {
            [letter @ (0, 'a'..)] => Some(letter),
            [(number, _), ..] => Some((number, '\0')),
            [] => None,
        };
        chain.sort_by_key(|item| std::cmp::Reverse(number(item)));
    }

    /// Whether chains may run from their last number to their first: a decoder's, and one at the network's input of which
    /// only the last member can read that.
    pub fn may_run_backward(&self, chains: &[Chain], flow: &Flow, sketches: &[Sketch]) -> bool {
        let reads_input = |item: &Item| {
            let entry = &sketches[item.node].ends.entry;
            entry.iter().any(|channels| flow.latest.contains(channels))
        };
        // All layers of the last number are its first.
        let number = |item: &Item| self.segment(item.node).ordinal.first().copied();
        let runs_backward = |chain: &[Item]| {
            let last = chain.last().and_then(number);
            let (ends, others): (Vec<&Item>, Vec<&Item>) =
                chain.iter().partition(|item| number(item) == last);
            flow.at_input
                && ends.into_iter().any(reads_input)
                && !others.into_iter().any(reads_input)
        };
        // The plain numbers of an `nn.Sequential` are its order.
        let is_decoder = |item: &Item| {
            item.role == Role::Decoder
                || (self.in_decoder[item.list] && !self.segment(item.node).is_number())
        };
        chains.iter().any(|(_, chain)| {
            chain.len() > 1 && (chain.iter().any(is_decoder) || runs_backward(chain))
        })
    }

    /// Modules with two numbers (`conv0_0`, `conv1_0`, `conv0_1`, … of a nested U-Net) are sorted by the first, by the
    /// second, or along the diagonals, as their channels fit.
    pub fn sort_grid(&self, chain: &mut [Item], flow: &Flow, seen: &Seen, sketches: &[Sketch]) {
        let numbers = |item: &Item| match self.segment(item.node).ordinal[..] {
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
            self.score(&nodes, flow, seen, sketches)
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
}
