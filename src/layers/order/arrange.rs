//! The order of the modules within one module.
//!
//! Roles come first (a stem runs before the stages, a head after them). Within a role, modules of one stem form a
//! chain (`conv1`, `conv2`, …) whose inner order is given by its numbers. Chains are then merged: the head of a chain
//! runs next if it reads what was last given. That is what puts a DenseNet's `transition1` after `denseblock1`, an
//! Xception's `conv3` after its blocks and a U-Net's `dec4` before `dec1`, whatever they are called.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::flow::{Ends, Fit, Flow, Seen};
use super::sketch::Sketch;
use crate::layers::candidates::{Candidate, Companions};
use crate::layers::name::Segment;
use crate::layers::roles::{self, Role};
use crate::layers::tree::Tree;

/// Beyond this many chains in one module, shapes are not consulted: merging compares all their heads at each step.
/// Of 150 architectures none has more than 19.
const MAX_CHAINS: usize = 32;

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

/// An arrangement, and whether part of it rests on nothing but the names' alphabetical order.
#[derive(Debug, Default)]
pub(super) struct Arrangement {
    pub placed: Vec<Placed>,
    pub unsure: bool,
}

/// All that arranging reads.
pub(super) struct Arranger<'a> {
    pub tree: &'a Tree,
    pub candidates: &'a [Candidate<'a>],
    pub companions: &'a Companions<'a>,
    /// For each module, whether it is within a decoder: `up` and `bridge` name parts of a step there, not phases of
    /// the network.
    in_decoder: Vec<bool>,
}

/// Channel counts seen before this module, and so far within it.
struct Known<'a> {
    before: &'a Seen,
    within: Seen,
}

/// A child, or a grandchild where two lists of a decoder are zipped.
#[derive(Clone, Copy)]
struct Item {
    node: usize,
    list: usize,
    role: Role,
}

type Chain = (usize, Vec<Item>);

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

    fn segment(&self, node: usize) -> &Segment {
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
                    unsure: false,
                };
            }
            _ => {}
        }
        let items = self.items(node, at_input, sketches);
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
        let first_all = self.norm_comes_first(node, &result.placed, sketches);
        for gate in self.gate_order(gates, sketches) {
            let at = self.gate_place(&result.placed, &gate, sketches);
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
            let first = first_all || roles::shortcut(self.segment(side.node)) == Some(true);
            let after = if first { Role::Stem } else { Role::Body };
            let at = result
                .placed
                .iter()
                .rposition(|placed| placed.role <= after)
                .map_or(0, |last| last + 1);
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

    fn items(&self, node: usize, at_input: bool, sketches: &[Sketch]) -> Vec<Item> {
        let children = &self.tree.nodes[node].children;
        let mut roles: Vec<Role> = children
            .iter()
            .map(|&child| Role::of(self.segment(child)))
            .collect();
        let phases = !self.in_decoder[node] && roles.contains(&Role::Decoder);
        let queried = children
            .iter()
            .any(|&child| roles::is_query(self.segment(child)));
        // Of a bottleneck's pointwise pair (`conv_pw`, `conv_pwl`; `pw_exp`, `pw_proj`) the first opens the block.
        let paired = children
            .iter()
            .any(|&child| roles::is_narrowing(self.segment(child)));
        let blocks = children
            .iter()
            .find(|&&child| self.segment(child).words == ["blocks"]);
        let staged = blocks.is_some();
        // A `downsample` whose output the blocks read opens the stage (ConvNeXt).
        let opens = |child: usize| {
            self.segment(child).words == ["downsample"]
                && blocks.is_some_and(|&blocks| {
                    sketches[blocks]
                        .ends
                        .entry
                        .contains(&sketches[child].ends.exits[0])
                })
        };
        let branched = children
            .iter()
            .any(|&child| self.segment(child).has(&["branch"]));
        for (role, &child) in roles.iter_mut().zip(children) {
            let inner = matches!(*role, Role::Decoder | Role::Bottleneck);
            // `up6` between `conv5` and `conv6` is a step, not a phase.
            if inner
                && (!phases
                    || (*role == Role::Decoder && self.continues_convolutions(child, children)))
            {
                let step = !self.in_decoder[node] || !self.segment(child).ordinal.is_empty();
                *role = if step || *role == Role::Bottleneck {
                    Role::Body
                } else {
                    Role::Stem
                };
            } else if *role == Role::Body {
                let segment = self.segment(child);
                if phases && (roles::is_merge(segment) || roles::is_attention(segment)) {
                    *role = Role::Decoder;
                } else if roles::is_merge(segment)
                    || (queried && segment.words == ["proj"])
                    || (branched && is_plain_convolution(segment))
                {
                    *role = Role::Final;
                } else if phases && is_output_convolution(segment) {
                    *role = Role::Final;
                } else if (paired && roles::is_widening(segment))
                    || (staged && segment.has(&["exp", "down"]))
                    || opens(child)
                {
                    *role = Role::Stem;
                }
            }
        }
        if at_input {
            // What alone reads the network's input runs first, though it be called `head` (EDSR).
            let readers: Vec<usize> = (0..children.len())
                .filter(|&at| {
                    sketches[children[at]]
                        .ends
                        .entry
                        .iter()
                        .any(|&channels| channels <= 4)
                })
                .collect();
            if let &[reader] = readers.as_slice() {
                roles[reader] = roles[reader].min(Role::Body);
            }
        }
        let zipped =
            |child: usize, role: Role| phases && role == Role::Decoder && self.is_list(child);
        let lists: Vec<usize> = children
            .iter()
            .zip(&roles)
            .filter(|&(&child, &role)| zipped(child, role))
            .map(|(&child, _)| self.tree.nodes[child].children.len())
            .collect();
        let zip = lists.len() > 1 && lists.windows(2).all(|pair| pair[0] == pair[1]);
        let mut items = Vec::new();
        for (&child, &role) in children.iter().zip(&roles) {
            if zip && zipped(child, role) {
                items.extend(self.tree.nodes[child].children.iter().map(|&node| Item {
                    node,
                    list: child,
                    role,
                }));
            } else {
                items.push(Item {
                    node: child,
                    list: node,
                    role,
                });
            }
        }
        items
    }

    /// A list of modules: holds numbered members only.
    fn is_list(&self, node: usize) -> bool {
        let node = &self.tree.nodes[node];
        node.segment.ordinal.is_empty()
            && node.weights.is_empty()
            && node
                .children
                .iter()
                .all(|&child| self.segment(child).is_number())
    }

    /// Whether a numbered upsampling carries on the numbers of plain convolutions (`conv5`, `up6`, `conv6`), rather
    /// than having numbers of its own (`Conv5`, `Up5`, `Up_conv5`, `Up4`).
    fn continues_convolutions(&self, child: usize, siblings: &[usize]) -> bool {
        let own = self.segment(child);
        let numbers = |fits: &dyn Fn(&Segment) -> bool| -> Vec<u64> {
            let fitting = siblings
                .iter()
                .map(|&sibling| self.segment(sibling))
                .filter(|segment| fits(segment));
            fitting
                .filter_map(|segment| segment.ordinal.first())
                .map(|first| first.0)
                .collect()
        };
        let convolutions = numbers(&|segment| segment.words == ["conv"]);
        let least = numbers(&|segment| segment.stem == own.stem)
            .into_iter()
            .min();
        let last = convolutions.iter().copied().max();
        own.ordinal
            .first()
            .is_some_and(|first| convolutions.contains(&first.0))
            && least > last.map(|last| last / 2)
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

    /// An unnumbered module beside `conv1` and `conv3` stands where `conv2` would (Res2Net, bottleneck attention).
    fn fill_gap<'s>(&'s self, chains: &mut BTreeMap<(Role, usize, &'s str), Vec<Item>>) {
        let body: Vec<_> = chains
            .keys()
            .copied()
            .filter(|(role, ..)| *role == Role::Body)
            .collect();
        let &[first, second] = body.as_slice() else {
            return;
        };
        let lone = |key| matches!(chains[&key].as_slice(), [item] if self.segment(item.node).ordinal.is_empty());
        let gapped = |key| match chains[&key].as_slice() {
            [a, b] => self.segment(a.node).text == "conv1" && self.segment(b.node).text == "conv3",
            _ => false,
        };
        let (numbered, filler) = if gapped(first) && lone(second) {
            (first, second)
        } else if gapped(second) && lone(first) {
            (second, first)
        } else {
            return;
        };
        let filler = chains.remove(&filler).unwrap_or_default();
        if let Some(chain) = chains.get_mut(&numbered) {
            chain.splice(1..1, filler);
        }
    }

    fn merge_roles(
        &self,
        items: &[Item],
        flow: &Flow,
        seen: &Seen,
        sketches: &[Sketch],
    ) -> Arrangement {
        let mut chains: BTreeMap<(Role, usize, &str), Vec<Item>> = BTreeMap::new();
        for &item in items {
            chains
                .entry((item.role, item.list, self.segment(item.node).stem.as_str()))
                .or_default()
                .push(item);
        }
        for chain in chains.values_mut() {
            // `conv_transition_b` closes a branch, `conv_transition` all.
            let whole = |item: &Item| {
                roles::is_merge(self.segment(item.node))
                    && self.segment(item.node).ordinal.is_empty()
            };
            chain.sort_by(|a, b| {
                whole(a)
                    .cmp(&whole(b))
                    .then_with(|| self.segment(a.node).natural(self.segment(b.node)))
            });
        }
        self.fill_gap(&mut chains);
        let mut by_role: BTreeMap<Role, Vec<Chain>> = BTreeMap::new();
        for (number, ((role, ..), chain)) in chains.into_iter().enumerate() {
            by_role.entry(role).or_default().push((number, chain));
        }
        let mut known = Known {
            before: seen,
            within: Seen::new(),
        };
        let mut flow = flow.clone();
        let mut result = Arrangement::default();
        for (role, mut chains) in by_role {
            let mut merged = self.merge(&chains, false, &flow, &known, sketches);
            // Decoders are numbered either way: the way whose channels fit is taken.
            if role == Role::Decoder && chains.iter().any(|(_, chain)| chain.len() > 1) {
                chains.iter_mut().for_each(|(_, chain)| chain.reverse());
                let backward = self.merge(&chains, true, &flow, &known, sketches);
                if backward.1 > merged.1 {
                    merged = backward;
                }
            }
            let (arranged, _) = merged;
            if let Some(last) = arranged.placed.last() {
                flow = flow.after(&sketches[last.node].ends.exits);
            }
            known.within.extend(
                arranged
                    .placed
                    .iter()
                    .flat_map(|placed| &sketches[placed.node].ends.exits),
            );
            result.unsure |= arranged.unsure;
            result.placed.extend(arranged.placed);
        }
        result
    }

    /// Merge the chains of one role; also how well the result fits, for comparing directions.
    fn merge(
        &self,
        chains: &[Chain],
        backward: bool,
        flow: &Flow,
        known: &Known<'_>,
        sketches: &[Sketch],
    ) -> (Arrangement, usize) {
        let total = chains.iter().map(|(_, chain)| chain.len()).sum();
        let mut result = Arrangement {
            placed: Vec::with_capacity(total),
            unsure: false,
        };
        let place = |chain: &Chain, at: usize| Placed {
            node: chain.1[at].node,
            part: Part::Main,
            role: chain.1[at].role,
            chain: chain.0,
        };
        if chains.len() > MAX_CHAINS {
            let mut all: Vec<(&Chain, usize)> = chains
                .iter()
                .flat_map(|chain| (0..chain.1.len()).map(move |at| (chain, at)))
                .collect();
            all.sort_by(|a, b| self.preference(a.0, a.1, b.0, b.1));
            result.placed = all
                .into_iter()
                .map(|(chain, at)| place(chain, at))
                .collect();
            result.unsure = chains
                .iter()
                .any(|(_, chain)| !roles::is_known(self.segment(chain[0].node)));
            return (result, 0);
        }
        let in_step = chains
            .iter()
            .flat_map(|(_, chain)| chain.first())
            .any(|item| {
                item.role == Role::Decoder
                    || (item.role == Role::Body
                        && Role::of(self.segment(item.node)) == Role::Decoder)
            });
        let mut local = Known {
            before: known.before,
            within: known.within.clone(),
        };
        let mut flow = flow.clone();
        let mut heads = vec![0; chains.len()];
        let mut score = 0;
        while result.placed.len() < total {
            let head = |chain: usize| {
                chains[chain]
                    .1
                    .get(heads[chain])
                    .map(|item| self.segment(item.node))
            };
            // A transition waits for the stage of its number.
            let number = |segment: &Segment| segment.ordinal.first().map(|first| first.0);
            let stage = |chain: usize| {
                head(chain)
                    .filter(|segment| !segment.has(&["transition"]))
                    .and_then(number)
            };
            let least = (0..chains.len()).filter_map(stage).min();
            let waits = |segment: &Segment| {
                segment.has(&["transition"]) && number(segment) >= least && least.is_some()
            };
            // A decoder's chains go in step: `upconv4`, `dec4`, `upconv3`, `dec3`.
            let numbers = (0..chains.len()).filter_map(|chain| head(chain).and_then(number));
            let turn = if backward {
                numbers.max()
            } else {
                numbers.min()
            };
            let early =
                |segment: &Segment| in_step && number(segment).is_some() && number(segment) != turn;
            let open: Vec<usize> = (0..chains.len())
                .filter(|&chain| {
                    head(chain).is_some_and(|segment| !waits(segment) && !early(segment))
                })
                .collect();
            let ends = |chain: usize| &sketches[chains[chain].1[heads[chain]].node].ends;
            let fit = |chain: usize| {
                let twin = result.placed.last().is_some_and(|last: &Placed| {
                    last.chain == chains[chain].0 && sketches[last.node].ends == *ends(chain)
                });
                let fit = local.fit(&flow, ends(chain));
                // Twins on one input (an attention gate's `W_g`, `W_x`) run in a row.
                if twin
                    && fit > Fit::None
                    && head(chain)
                        .is_some_and(|segment| segment.ordinal.iter().all(|part| part.0 == 0))
                {
                    Fit::Latest
                } else {
                    fit
                }
            };
            let best = open
                .iter()
                .map(|&chain| fit(chain))
                .max()
                .unwrap_or(Fit::None);
            let tied: Vec<usize> = open
                .iter()
                .copied()
                .filter(|&chain| fit(chain) == best)
                .collect();
            // Of those that could run now, first the one after which the others still can.
            let outlook = |chain: usize| -> usize {
                if matches!(best, Fit::Earlier | Fit::Combined) {
                    // Side by side on earlier outputs: none waits for another.
                    return 0;
                }
                let after = flow.after(&ends(chain).exits);
                tied.iter()
                    .filter(|&&other| other != chain)
                    .map(|&other| local.fit(&after, ends(other)) as usize)
                    .sum()
            };
            let brightest = if tied.len() > 1 {
                tied.iter().map(|&chain| outlook(chain)).max().unwrap_or(0)
            } else {
                0
            };
            let left: Vec<usize> = tied
                .iter()
                .copied()
                .filter(|&chain| tied.len() == 1 || outlook(chain) == brightest)
                .collect();
            let Some(&next) = left
                .iter()
                .min_by(|&&a, &&b| self.preference(&chains[a], heads[a], &chains[b], heads[b]))
            else {
                break;
            };
            if left.len() > 1
                && left.iter().any(|&chain| {
                    !roles::is_known(self.segment(chains[chain].1[heads[chain]].node))
                })
            {
                // Side by side on one input, either order is one that runs; otherwise only the alphabet spoke.
                let side_by_side = best != Fit::None
                    && left
                        .iter()
                        .all(|&chain| ends(chain).entry == ends(next).entry)
                    && brightest < Fit::Latest as usize;
                result.unsure |= !side_by_side;
            }
            let exits = &ends(next).exits;
            score += best as usize;
            local.within.extend(exits);
            flow = flow.after(exits);
            result.placed.push(place(&chains[next], heads[next]));
            heads[next] += 1;
        }
        (result, score)
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

    /// Which of two modules runs first where shapes leave it open.
    fn preference(&self, a: &Chain, at: usize, b: &Chain, bt: usize) -> Ordering {
        let (first, second) = (self.segment(a.1[at].node), self.segment(b.1[bt].node));
        let key = |segment: &Segment, length: usize| {
            let convolution = segment
                .words
                .first()
                .is_some_and(|word| word.starts_with("conv"));
            let side = roles::is_parallel(segment);
            // Numbered convolutions, then numbered stages, then the rest.
            let class = match (convolution, segment.ordinal.is_empty()) {
                _ if side => 2,
                (true, false) => 0,
                (true, true) | (false, false) => 1,
                (false, true) => 2,
            };
            // Of branches the pooled one is last and the longer ones are later (all Inceptions).
            let number = if side {
                Vec::new()
            } else {
                segment.ordinal.clone()
            };
            let branch = if side {
                (segment.has(&["pool"]), length)
            } else {
                (false, 0)
            };
            // A joint follows the stage of its number; an upsampling comes before it.
            let turn = if segment.has(&["reduce", "squeeze", "scale"]) {
                -2
            } else if roles::is_joint(segment) && !segment.ordinal.is_empty() {
                1
            } else {
                i8::from(Role::of(segment) != Role::Decoder || segment.has(&["dec", "decoder"])) - 1
            };
            (turn != -1, class, number, branch, turn)
        };
        key(first, a.1.len())
            .cmp(&key(second, b.1.len()))
            .then_with(|| first.natural(second))
    }
}

/// The one convolution beside encoders and decoders that is called just that: the output (`Conv_1x1`).
fn is_output_convolution(segment: &Segment) -> bool {
    segment.ordinal.is_empty()
        && segment
            .words
            .iter()
            .all(|word| ["conv", "conv2d", "conv3d", "1x1"].contains(&word.as_str()))
}

/// A convolution that its name tells nothing more of: `conv`, `conv2d`.
fn is_plain_convolution(segment: &Segment) -> bool {
    segment.ordinal.is_empty()
        && matches!(segment.words.as_slice(), [word] if ["conv", "conv1d", "conv2d", "conv3d"].contains(&word.as_str()))
}

impl Known<'_> {
    fn fit(&self, flow: &Flow, ends: &Ends) -> Fit {
        let within = flow.fit(ends.entry, &self.within);
        if within == Fit::Latest {
            within
        } else {
            within.max(flow.fit(ends.entry, self.before))
        }
    }
}
