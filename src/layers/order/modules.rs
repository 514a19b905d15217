//! The modules of one network, as the rules of order see them.

use super::arrangement::Placed;
use super::flow::{Ends, Supply};
use super::sketch::Sketch;
use crate::layers::candidates::{Candidate, Companions};
use crate::layers::name::Segment;
use crate::layers::roles::Role;
use crate::layers::tree::Tree;

/// The modules of a network, by index in its tree.
pub(super) struct Modules<'a> {
    pub tree: &'a Tree,
    pub candidates: &'a [Candidate<'a>],
    pub companions: &'a Companions<'a>,
    /// Whether each is within a decoder: `up` and `bridge` name parts of a step there, not phases of the network.
    pub in_decoder: Vec<bool>,
    /// The summary of each.
    pub sketches: Vec<Sketch>,
}

impl<'a> Modules<'a> {
    /// The modules of a tree, not yet sketched.
    pub fn new(
        tree: &'a Tree,
        candidates: &'a [Candidate<'a>],
        companions: &'a Companions<'a>,
    ) -> Self {
        let mut in_decoder = vec![false; tree.nodes.len()];
        for node in 0..tree.nodes.len() {
            for &child in &tree.nodes[node].children {
                in_decoder[child] =
                    in_decoder[node] || Role::of(&tree.nodes[child].segment) == Role::Decoder;
            }
        }
        Self {
            tree,
            candidates,
            companions,
            in_decoder,
            sketches: vec![Sketch::empty(); tree.nodes.len()],
        }
    }

    /// Sketches a module whose inner modules have been sketched already and run in the order `arranged`.
    pub fn sketch(&mut self, node: usize, arranged: &[Placed]) {
        let own = self.tree.nodes[node].weights.iter();
        let own = own.map(|&index| (Sketch::of_layer(index, &self.candidates[index]), None));
        let inner = arranged
            .iter()
            .map(|placed| (self.sketches[placed.node].clone(), Some(*placed)));
        let parts: Vec<(Sketch, Option<Placed>)> = own.chain(inner).collect();
        if !parts.is_empty() {
            self.sketches[node] = Sketch::of_parts(&parts);
        }
    }

    pub fn segment(&self, node: usize) -> &Segment {
        &self.tree.nodes[node].segment
    }

    pub fn children(&self, node: usize) -> &[usize] {
        &self.tree.nodes[node].children
    }

    /// The children of a module, in natural order.
    pub fn members(&self, node: usize) -> Vec<usize> {
        let mut members = self.children(node).to_vec();
        members.sort_by(|&a, &b| self.segment(a).natural(self.segment(b)));
        members
    }

    pub fn ends(&self, node: usize) -> &Ends {
        &self.sketches[node].ends
    }

    /// Whether a module is a list: holds numbered members only.
    pub fn is_list(&self, node: usize) -> bool {
        self.segment(node).ordinal.is_empty()
            && self.tree.nodes[node].weights.is_empty()
            && self
                .children(node)
                .iter()
                .all(|&child| self.segment(child).is_number())
    }

    /// How well modules fit each other in this order.
    pub fn score(&self, nodes: &[usize], supply: &Supply<'_>) -> usize {
        let mut supply = supply.clone();
        let mut score = 0;
        for &node in nodes {
            score += supply.fit(self.ends(node)) as usize;
            supply.advance(self.ends(node));
        }
        score
    }
}
