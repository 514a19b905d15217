//! Depth order read from names and shapes.

use super::arrange::{Arranger, Part, Tie};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::flow::{Flow, Seen};
use super::networks;
use super::sketch::{Sketch, sketch};
use crate::layers::candidates::{Candidate, Companions, MOST_COLOURS};
use crate::layers::known::KnownNetwork;
use crate::layers::name::Segment;
use crate::layers::roles::{self, Role};
use crate::layers::tree::Tree;

/// A layer in its place, with what is known of what it is given.
#[derive(Clone, Debug)]
pub(in crate::layers) struct Step {
    /// Index into the candidates.
    pub candidate: usize,
    /// Channels it may be given, the likeliest first.
    pub given: Vec<usize>,
    /// Channels that the module before it on the main path may have given, whether it reads those or not.
    pub latest: Vec<usize>,
    /// The layer directly before it on a chain of single layers (`conv1` → `conv2`): that one feeds it.
    pub fed_by: Option<usize>,
    /// Reads the network's input.
    pub at_input: bool,
    /// Within the network's head or an auxiliary one.
    pub in_head: bool,
    /// Within a module that names it an output (`outc`, `final_conv`).
    pub in_final: bool,
    /// Within a squeeze-and-excite gate.
    pub in_gate: bool,
    /// Within a module called `attn`.
    pub in_attention: bool,
}

/// One of the networks in a file.
pub(in crate::layers) struct Network<'a> {
    /// Path of the module that holds it.
    pub root: String,
    /// Its layers in depth order.
    pub steps: Vec<Step>,
    /// What could as well run the other way round.
    pub open: Vec<OpenOrder<'a>>,
}

/// Two modules of which nothing but a convention of names, or the alphabet, says that the first runs before the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::layers) struct OpenOrder<'a> {
    /// Path of the one placed first.
    pub first: &'a str,
    /// Path of the one placed second.
    pub second: &'a str,
    /// The places from the first layer of the one to the last of the other, counted from 0.
    pub places: Range<usize>,
}

/// Channels of a network's input, where some layer reads 2 to 4; otherwise it has one (grey-scale, audio).
const COLOUR: [usize; 3] = [3, 4, 2];

/// Channels of a network's input at most, where nothing else reads an image: two pictures, twelve leads, satellites' bands.
const MOST_INPUTS: usize = 16;

/// How deep below the top a module named `head` or `classifier` is still the network's.
const HEAD_LEVELS: usize = 2;

#[derive(Clone, Default)]
struct Context {
    at_input: bool,
    levels: usize,
    in_head: bool,
    in_final: bool,
    in_gate: bool,
    in_attention: bool,
    fed_by: Option<usize>,
    parallel: bool,
    latest: Vec<usize>,
}

struct Walk<'a> {
    arranger: Arranger<'a>,
    sketches: Vec<Sketch>,
    seen: Seen,
    steps: Vec<Step>,
    ties: Vec<Tie>,
    /// The places of each module's layers.
    places: Vec<Range<usize>>,
}

/// Order the layers of each network, which are candidates that stand in order of their names. What is `known` runs as it is
/// known.
pub(in crate::layers) fn order<'a>(
    candidates: &[Candidate<'a>],
    companions: &Companions<'_>,
    known: &[KnownNetwork],
    networks: Vec<networks::Network>,
) -> Vec<Network<'a>> {
    let ordered = networks.into_iter().map(|network| {
        let members: HashSet<usize> = network.members.iter().copied().collect();
        let (mut steps, mut open) = of_network(candidates, companions, &members);
        for inner in known {
            run_as_known(&mut steps, inner);
            open.retain(|open| !inner.holds(open.first) || !inner.holds(open.second));
        }
        Network {
            root: network.root,
            steps,
            open,
        }
    });
    ordered.collect()
}

/// The layers of one network.
fn of_network<'a>(
    candidates: &[Candidate<'a>],
    companions: &Companions<'_>,
    members: &HashSet<usize>,
) -> (Vec<Step>, Vec<OpenOrder<'a>>) {
    let tree = Tree::of(candidates, |index| members.contains(&index));
    let arranger = Arranger::new(&tree, candidates, companions);
    let sketches = sketch(&arranger);
    let mut walk = Walk {
        arranger,
        sketches,
        seen: Seen::new(),
        steps: Vec::new(),
        ties: Vec::new(),
        places: vec![0..0; tree.nodes.len()],
    };
    let input = walk.input(0);
    walk.seen = Seen::from_iter(input.iter().copied());
    let flow = Flow {
        latest: input.clone(),
        input,
        at_input: true,
    };
    let context = Context {
        at_input: true,
        ..Context::default()
    };
    walk.module(0, &flow, context);
    let path = |node: usize| tree.path(node, candidates);
    let open = walk.ties.iter().map(|tie| OpenOrder {
        first: path(tie.first),
        second: path(tie.second),
        places: walk.places[tie.first].start..walk.places[tie.second].end,
    });
    let open = open.collect();
    (walk.steps, open)
}

/// Puts the layers of a known network into its order, in the places that they have among the others.
fn run_as_known(steps: &mut [Step], known: &KnownNetwork) {
    let turns: HashMap<usize, usize> = known
        .layers
        .iter()
        .enumerate()
        .map(|(turn, &(candidate, _))| (candidate, turn))
        .collect();
    let places: Vec<usize> = (0..steps.len())
        .filter(|&at| turns.contains_key(&steps[at].candidate))
        .collect();
    let mut members: Vec<Step> = places.iter().map(|&at| steps[at].clone()).collect();
    members.sort_by_key(|step| turns[&step.candidate]);
    for (at, step) in places.into_iter().zip(members) {
        steps[at] = step;
    }
}

impl Walk<'_> {
    fn input(&self, root: usize) -> Vec<usize> {
        let mut first = root;
        loop {
            let node = &self.arranger.tree.nodes[first];
            if let Some(&candidate) = node.weights.first() {
                let candidate = &self.arranger.candidates[candidate];
                let reads = candidate.reads();
                let is_image = reads <= MOST_COLOURS
                    || (reads <= MOST_INPUTS && !self.has_stem_besides(root, MOST_COLOURS));
                if !candidate.linear() && is_image {
                    return vec![reads];
                }
                break;
            }
            let arrangement =
                self.arranger
                    .arrange(first, true, &Flow::default(), &self.seen, &self.sketches);
            match arrangement.placed.first() {
                Some(placed) => first = placed.node,
                None => break,
            }
        }
        // No stem was recognised: three channels if some layer reads three, and so on.
        let nodes = &self.arranger.tree.nodes;
        let mut read = [false; MOST_COLOURS + 1];
        let mut open = vec![root];
        while let Some(node) = open.pop() {
            for &index in &nodes[node].weights {
                let candidate = &self.arranger.candidates[index];
                if let Some(read) = read
                    .get_mut(candidate.reads())
                    .filter(|_| !candidate.linear())
                {
                    *read = true;
                }
            }
            open.extend(&nodes[node].children);
        }
        vec![
            COLOUR
                .into_iter()
                .find(|&channels| read[channels])
                .unwrap_or(1),
        ]
    }

    /// Whether some layer widens a few channels, as a stem does.
    fn has_stem_besides(&self, root: usize, most: usize) -> bool {
        let nodes = &self.arranger.tree.nodes;
        let mut open = vec![root];
        while let Some(node) = open.pop() {
            let is_stem = |&index: &usize| {
                let candidate = &self.arranger.candidates[index];
                !candidate.linear()
                    && (2..=most).contains(&candidate.reads())
                    && candidate.out() > most
            };
            if nodes[node].weights.iter().any(is_stem) {
                return true;
            }
            open.extend(&nodes[node].children);
        }
        false
    }

    // Recursion is bounded by the number of segments of a path.
    fn module(&mut self, node: usize, flow: &Flow, context: Context) {
        let tree = self.arranger.tree;
        let start = self.steps.len();
        for &candidate in &tree.nodes[node].weights {
            self.steps.push(Step {
                candidate,
                given: flow.latest.clone(),
                latest: context.latest.clone(),
                fed_by: context.fed_by,
                at_input: context.at_input,
                in_head: context.in_head,
                in_final: context.in_final,
                in_gate: context.in_gate,
                in_attention: context.in_attention,
            });
            if !context.in_gate {
                self.seen.insert(self.arranger.candidates[candidate].out());
            }
        }
        let arrangement =
            self.arranger
                .arrange(node, context.at_input, flow, &self.seen, &self.sketches);
        self.ties.extend(&arrangement.ties);
        let branching = usize::from(arrangement.placed.len() > 1);
        let levels = context.levels + branching;
        let mut latest = (flow.latest.clone(), context.at_input);
        let mut before: Option<(usize, Option<usize>)> = None;
        let mut behind_backbone = false;
        for placed in arrangement.placed {
            let sketch = &self.sketches[placed.node];
            let segment = &tree.nodes[placed.node].segment;
            let entry = sketch.ends.entry;
            let matching = |given: &[usize]| {
                given
                    .iter()
                    .copied()
                    .find(|channels| entry.contains(channels))
            };
            // Beside a backbone, what can read the network's input does (UNETR's first encoder).
            let beside = behind_backbone && context.at_input && matching(&flow.input).is_some();
            let (given, at_input) = if placed.part == Part::Side || context.parallel || beside {
                (flow.input.clone(), context.at_input)
            } else if let Some(channels) = matching(&latest.0) {
                (
                    if latest.1 {
                        latest.0.clone()
                    } else {
                        vec![channels]
                    },
                    latest.1,
                )
            } else if let Some(channels) = matching(&flow.input) {
                (
                    if context.at_input {
                        flow.input.clone()
                    } else {
                        vec![channels]
                    },
                    context.at_input,
                )
            } else {
                (latest.0.clone(), latest.1)
            };
            let fed_by = match before {
                None if placed.part == Part::Main => context.fed_by,
                Some((chain, single))
                    if chain == placed.chain
                        && placed.part == Part::Main
                        && sketch.single.is_some() =>
                {
                    single
                }
                _ => None,
            };
            let in_head = context.in_head
                || (matches!(placed.role, Role::Head | Role::Aux)
                    && context.levels < HEAD_LEVELS
                    && is_head(segment, context.levels));
            let inner = Context {
                at_input,
                levels,
                in_head,
                in_final: context.in_final
                    || (placed.role == Role::Final && context.levels < HEAD_LEVELS),
                in_gate: context.in_gate || roles::is_channel_gate(segment),
                in_attention: context.in_attention || roles::is_gate(segment),
                fed_by: fed_by.filter(|_| {
                    !context.parallel
                        && (sketch.single.is_some()
                            || placed.part == Part::Main && before.is_none())
                }),
                parallel: roles::is_parallel(segment)
                    && !segment.is_number()
                    && segment.ordinal.is_empty(),
                // What comes first in a module follows what the module follows.
                latest: match before {
                    None if !context.latest.is_empty() => context.latest.clone(),
                    _ => latest.0.clone(),
                },
            };
            let (exits, single) = (sketch.ends.exits.clone(), sketch.single);
            self.module(
                placed.node,
                &Flow {
                    latest: given.clone(),
                    input: given,
                    at_input,
                },
                inner,
            );
            if placed.part == Part::Main && !roles::is_gate(segment) {
                behind_backbone = placed.role == Role::Backbone;
                latest = (exits, false);
                before = Some((placed.chain, single));
            }
        }
        self.places[node] = start..self.steps.len();
    }
}

/// `fc` and `linear` name a head at the top only; further in they are parts of blocks.
fn is_head(segment: &Segment, levels: usize) -> bool {
    levels == 0 || !segment.has(&["fc", "linear"])
}
