//! The order of the modules within one module.
//!
//! Roles come first (a stem runs before the stages, a head after them); modules of one role are merged by what they
//! read and give. What stands beside the main path is placed last: gates behind the layer whose channels they scale,
//! shortcuts before or behind the path they go around.

use super::flow::{Ends, Flow, Seen};
use super::items::{Item, MAX_WORK};
use super::sketch::Sketch;
use crate::layers::candidates::{Candidate, Companions, MOST_COLOURS};
use crate::layers::name::Segment;
use crate::layers::roles::{self, Role};
use crate::layers::tree::Tree;

/// How a module takes part in its parent's flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// On the main path.
    Main,
    /// Scales the channels of what it is given; the main path's counts pass by it.
    Gate,
    /// A shortcut around the main path: reads the parent's input.
    Side,
}

/// A module in its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub node: usize,
    pub part: Part,
    pub role: Role,
    /// Modules of one chain share this.
    pub chain: usize,
}

/// Two modules of which the first was placed before the second by nothing but a convention of names or the alphabet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::layers) struct Tie {
    pub first: usize,
    pub second: usize,
}

/// An arrangement, and what of it could as well be the other way round.
#[derive(Debug, Default)]
pub(super) struct Arrangement {
    pub placed: Vec<Placed>,
    pub ties: Vec<Tie>,
}

/// All that arranging reads.
pub(super) struct Arranger<'a> {
    pub tree: &'a Tree,
    pub candidates: &'a [Candidate<'a>],
    pub companions: &'a Companions<'a>,
    /// For each module, whether it is within a decoder: `up` and `bridge` name parts of a step there, not phases of
    /// the network.
    pub in_decoder: Vec<bool>,
}

impl<'a> Arranger<'a> {
    /// Prepare to arrange the modules of a tree.
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
        }
    }

    pub fn segment(&self, node: usize) -> &Segment {
        &self.tree.nodes[node].segment
    }

    /// Arrange the children of `node`.
    pub fn arrange(
        &self,
        node: usize,
        at_input: bool,
        flow: &Flow,
        seen: &Seen,
        sketches: &[Sketch],
    ) -> Arrangement {
        match self.tree.nodes[node].children.as_slice() {
            [] => return Arrangement::default(),
            &[only] => {
                let role = Role::of(self.segment(only));
                return Arrangement {
                    placed: vec![Placed {
                        node: only,
                        part: Part::Main,
                        role,
                        chain: 0,
                    }],
                    ties: Vec::new(),
                };
            }
            _ => {}
        }
        let items = self.items(node, at_input, sketches);
        let items = self.zip_lists(items, flow, seen, sketches);
        let (gates, items): (Vec<Item>, Vec<Item>) =
            items.into_iter().partition(|item| self.is_gate(item));
        let (gates, items) = if items.is_empty() {
            (items, gates)
        } else {
            (gates, items)
        };
        let (shortcuts, mains): (Vec<Item>, Vec<Item>) = items.into_iter().partition(|item| {
            item.role == Role::Body
                && self.segment(item.node).ordinal.is_empty()
                && roles::shortcut(self.segment(item.node)).is_some()
        });

        let merged = self.merge_roles(&mains, flow, seen, sketches);
        let (sides, joined): (Vec<Item>, Vec<Item>) = shortcuts
            .into_iter()
            .partition(|item| self.is_side(item, &merged.placed, sketches));
        let mut result = if joined.is_empty() {
            merged
        } else {
            let all: Vec<Item> = mains.iter().chain(&joined).copied().collect();
            self.merge_roles(&all, flow, seen, sketches)
        };
        if at_input {
            self.doubt_of_image_layers(&mut result, sketches);
        }
        let first_all = self.norm_comes_first(node, &result.placed, sketches);
        let is_small = gates.len().saturating_mul(result.placed.len()) <= MAX_WORK;
        for gate in self.gate_order(gates, sketches) {
            let at = if is_small {
                self.gate_place(&result.placed, &gate, sketches)
            } else {
                result.placed.len()
            };
            result.placed.insert(
                at,
                Placed {
                    node: gate.node,
                    part: Part::Gate,
                    role: Role::Body,
                    chain: usize::MAX,
                },
            );
        }
        for side in sides {
            let name = self.segment(side.node);
            let first = first_all || roles::shortcut(name) == Some(true);
            let after = if first { Role::Stem } else { Role::Body };
            let at = result
                .placed
                .iter()
                .rposition(|placed| placed.role <= after)
                .map_or(0, |last| last + 1);
            // PyTorch's own names stand for its own order. Of others' shortcuts, and of a gate beside a shortcut, either may
            // run first.
            let is_usual = first_all || name.has(&["downsample", "shortcut"]);
            let mains = || {
                result
                    .placed
                    .iter()
                    .filter(|placed| placed.part == Part::Main && placed.role == Role::Body)
            };
            let edges = [mains().next(), mains().next_back()];
            let is_edge = |placed: &Placed| {
                let mut edges = edges.iter().flatten();
                edges.any(|edge| edge.node == placed.node)
            };
            let open =
                result.placed.iter().enumerate().filter(|(_, placed)| {
                    placed.part == Part::Gate || (!is_usual && is_edge(placed))
                });
            let ties = open.map(|(place, placed)| match place < at {
                true => (placed.node, side.node),
                false => (side.node, placed.node),
            });
            let ties: Vec<Tie> = ties.map(|(first, second)| Tie { first, second }).collect();
            result.ties.extend(ties);
            result.placed.insert(
                at,
                Placed {
                    node: side.node,
                    part: Part::Side,
                    role: Role::Body,
                    chain: usize::MAX,
                },
            );
        }
        result
    }

    /// A layer from image to image may normalise the input or restore the output (EDSR's `sub_mean`, `add_mean`): with others
    /// that read the image, nothing tells which runs first.
    fn doubt_of_image_layers(&self, arrangement: &mut Arrangement, sketches: &[Sketch]) {
        let ends = |placed: &Placed| &sketches[placed.node].ends;
        let reads_image = |placed: &&Placed| {
            let [entry, least] = ends(placed).entry;
            entry == least && (2..=MOST_COLOURS).contains(&entry)
        };
        let readers: Vec<&Placed> = arrangement.placed.iter().filter(reads_image).collect();
        let image_layers = readers
            .iter()
            .filter(|placed| ends(placed).exits[0] <= MOST_COLOURS);
        // (In a network of nothing else, as one over the two numbers of a flow field, they are layers like any.)
        if arrangement.placed.len() == image_layers.clone().count() {
            return;
        }
        let last = arrangement.placed.last().map(|placed| placed.node);
        let ties: Vec<Tie> = image_layers
            .filter_map(|layer| {
                let (first, second) = (layer.node, last?);
                (first != second).then_some(Tie { first, second })
            })
            .collect();
        arrangement.ties.extend(ties);
    }

    fn is_gate(&self, item: &Item) -> bool {
        item.role == Role::Body && roles::is_gate(self.segment(item.node))
    }

    /// A shortcut reads what the main path reads and gives what it gives; a `downsample` that opens or closes a
    /// stage (ConvNeXt, Swin) does not.
    fn is_side(&self, item: &Item, mains: &[Placed], sketches: &[Sketch]) -> bool {
        let mut body = mains.iter().filter(|placed| placed.role == Role::Body);
        let Some(first) = body.next() else {
            return false;
        };
        let last = body.next_back().unwrap_or(first);
        let (own, first_ends, last_ends) = (
            &sketches[item.node].ends,
            &sketches[first.node].ends,
            &sketches[last.node].ends,
        );
        let same_input = own
            .entry
            .iter()
            .any(|channels| first_ends.entry.contains(channels));
        let same_output = own
            .exits
            .iter()
            .any(|channels| last_ends.exits.contains(channels));
        let stage = self.segment(first.node).has(&["blocks", "layers"])
            && roles::shortcut(self.segment(item.node)) == Some(false);
        same_input && same_output && !stage
    }

    /// Whether the block normalises before it convolves (or not at all, with standardised weights). Then its
    /// shortcut reads the normalised input, and runs first (timm's ResNetV2 and NFNet, the usual PreActBlock).
    fn norm_comes_first(&self, node: usize, placed: &[Placed], sketches: &[Sketch]) -> bool {
        let path = self.tree.path(node, self.candidates);
        if !path.is_empty() && self.companions.norm(&format!("{path}.pre_norm")).is_some() {
            return true;
        }
        placed
            .iter()
            .filter_map(|placed| Some((placed.node, sketches[placed.node].single?)))
            .any(|(child, single)| {
                let candidate = &self.candidates[single];
                if self.companions.has_gain(candidate.module) {
                    return true;
                }
                let (reads, out) = (candidate.reads(), candidate.out());
                let ordinal = &self
                    .segment(child)
                    .text
                    .trim_start_matches(|c: char| !c.is_ascii_digit());
                !ordinal.is_empty()
                    && reads != out
                    && ["norm", "bn", "gn"].iter().any(|norm| {
                        let module = if path.is_empty() {
                            format!("{norm}{ordinal}")
                        } else {
                            format!("{path}.{norm}{ordinal}")
                        };
                        self.companions.norm(&module) == Some(reads)
                    })
            })
    }

    fn gate_order(&self, mut gates: Vec<Item>, sketches: &[Sketch]) -> Vec<Item> {
        // `_se_reduce` before `_se_expand`: the narrow end of one is the narrow end of the other.
        gates.sort_by(|a, b| {
            let (first, second) = (&sketches[a.node].ends, &sketches[b.node].ends);
            let narrows = |ends: &Ends| ends.exits[0] < ends.entry[0];
            narrows(second)
                .cmp(&narrows(first))
                .then_with(|| self.segment(a.node).natural(self.segment(b.node)))
        });
        gates
    }

    /// Where a gate goes: after the last convolution in space that gives as many channels as it reads, else after
    /// the last module that does, else after the last of the body. In a block whose widths are all equal (RegNet) it
    /// is thus behind the 3×3 convolution, in a bottleneck (SE-ResNet) behind the last one.
    fn gate_place(&self, placed: &[Placed], gate: &Item, sketches: &[Sketch]) -> usize {
        let entry = sketches[gate.node].ends.entry[0];
        let last = |fits: &dyn Fn(&Placed) -> bool| placed.iter().rposition(fits);
        let body = |placed: &Placed| {
            placed.role <= Role::Body
                || (placed.role == Role::Final && roles::is_merge(self.segment(placed.node)))
        };
        let main = |placed: &Placed| placed.part == Part::Main && body(placed);
        let exits = |placed: &Placed| &sketches[placed.node].ends.exits;
        // The second of a pair reads what the first gave; it follows the first.
        last(&|placed| placed.part == Part::Gate && exits(placed) == &[entry])
            .or_else(|| {
                last(&|placed| {
                    main(placed) && exits(placed)[0] == entry && sketches[placed.node].spatial
                })
            })
            .or_else(|| last(&|placed| main(placed) && exits(placed)[0] == entry))
            .or_else(|| last(&|placed| main(placed) && exits(placed).contains(&entry)))
            .or_else(|| last(&body))
            .map_or(0, |at| at + 1)
    }
}
