//! The tree of modules that the candidates' names describe.

use std::collections::HashMap;

use super::candidates::Candidate;
use super::name::{Segment, segments};

/// A module: what it is called, what it holds.
#[derive(Debug)]
pub(super) struct Node {
    /// Its name within its parent.
    pub segment: Segment,
    /// The modules in it, in order of their names' bytes. Children have larger indices than their parent.
    pub children: Vec<usize>,
    /// The candidates whose weight it holds itself.
    pub weights: Vec<usize>,
    /// Length of the prefix of `module` that is this node's path.
    path: (usize, usize),
}

/// All modules, the root first.
#[derive(Debug)]
pub(super) struct Tree {
    pub nodes: Vec<Node>,
}

impl Tree {
    /// Build the tree over the candidates `chosen` picks.
    ///
    /// `candidates` must stand in order of their names: so the tree does not depend on the file's order.
    pub fn of(candidates: &[Candidate<'_>], chosen: impl Fn(usize) -> bool) -> Self {
        let mut nodes = vec![Node {
            segment: Segment::parse(""),
            children: Vec::new(),
            weights: Vec::new(),
            path: (0, 0),
        }];
        let mut known: HashMap<(usize, &str), usize> = HashMap::new();
        for (index, candidate) in candidates.iter().enumerate() {
            if !chosen(index) {
                continue;
            }
            let mut at = 0;
            let mut end = 0;
            if !candidate.module.is_empty() {
                for (step, text) in segments(candidate.module).into_iter().enumerate() {
                    end += text.len() + usize::from(step > 0);
                    at = *known.entry((at, text)).or_insert_with(|| {
                        nodes.push(Node {
                            segment: Segment::parse(text),
                            children: Vec::new(),
                            weights: Vec::new(),
                            path: (index, end),
                        });
                        let child = nodes.len() - 1;
                        nodes[at].children.push(child);
                        child
                    });
                }
            }
            nodes[at].weights.push(index);
        }
        Self { nodes }
    }

    /// A node's full path.
    pub fn path<'a>(&self, node: usize, candidates: &[Candidate<'a>]) -> &'a str {
        let (candidate, end) = self.nodes[node].path;
        candidates.get(candidate).map_or("", |candidate| {
            candidate.module.get(..end).unwrap_or(candidate.module)
        })
    }

    /// The first node on the way down from `node` that holds a choice: more than one child, or weights of its own.
    pub fn unwrap(&self, mut node: usize) -> usize {
        while let (&[child], true) = (
            self.nodes[node].children.as_slice(),
            self.nodes[node].weights.is_empty(),
        ) {
            node = child;
        }
        node
    }
}
