//! Walks through a network's modules in order, from its input, and lists the layers.

use std::ops::Range;

use super::arrange::arrange;
use super::arrangement::{FlowPath, Placed, Tie};
use super::flow::{Flow, Supply, Widths};
use super::input;
use super::modules::Modules;
use super::ordered::Step;
use crate::layers::candidates::{Candidate, Companions};
use crate::layers::name::Segment;
use crate::layers::roles::{self, Role};
use crate::layers::tree::Tree;

/// How deep below the top a module named `head` or `classifier` is still the network's head.
const HEAD_LEVELS: usize = 2;

/// The result of a walk.
pub(super) struct Walked {
    pub steps: Vec<Step>,
    pub ties: Vec<Tie>,
    /// The range of steps of each module.
    pub ranges: Vec<Range<usize>>,
}

/// Walks through the network that a tree holds.
pub(super) fn walk(
    tree: &Tree,
    candidates: &[Candidate<'_>],
    companions: &Companions<'_>,
) -> Walked {
    let mut modules = Modules::new(tree, candidates, companions);
    // Children have larger indices than their parents, and are sketched before them.
    let nothing = Widths::new();
    for node in (0..tree.nodes.len()).rev() {
        let arranged = arrange(&modules, node, &Supply::new(Flow::default(), &nothing));
        modules.sketch(node, &arranged.placed);
    }
    let input = input::channels(&modules);
    let mut walk = Walk {
        modules: &modules,
        given: Widths::from([input]),
        found: Walked {
            steps: Vec::new(),
            ties: Vec::new(),
            ranges: vec![0..0; tree.nodes.len()],
        },
    };
    walk.module(
        0,
        &Flow::into_module(vec![input], true),
        &Context::default(),
    );
    walk.found
}

/// What the enclosing modules say about the layers of one.
#[derive(Clone, Default)]
struct Context {
    levels: usize,
    in_head: bool,
    in_final: bool,
    in_gate: bool,
    in_attention: bool,
    /// See [`Step::fed_by`], of its first layer.
    fed_by: Option<usize>,
    /// Its members run in parallel.
    is_parallel: bool,
    /// See [`Step::latest`], of its first layer.
    latest: Vec<usize>,
}

/// The last module on the main path so far.
struct Preceding {
    chain: usize,
    /// The only layer on its main path, if there is just one.
    single: Option<usize>,
    /// A network that feeds the others.
    is_backbone: bool,
}

/// State of the walk through one module.
struct Progress {
    /// Output channels that the main path may have, likeliest first.
    latest: Vec<usize>,
    /// Whether those are the network's input.
    at_input: bool,
    /// `None` at the beginning.
    before: Option<Preceding>,
}

struct Walk<'a> {
    modules: &'a Modules<'a>,
    /// Output channels of the layers so far.
    given: Widths,
    found: Walked,
}

impl Walk<'_> {
    /// Adds the layers of a module. Recursion is bounded by the number of segments of a path.
    fn module(&mut self, node: usize, flow: &Flow, context: &Context) {
        let start = self.found.steps.len();
        self.own_layers(node, flow, context);
        let supply = Supply::new(flow.clone(), &self.given);
        let arrangement = arrange(self.modules, node, &supply);
        self.found.ties.extend(&arrangement.ties);
        let branching = usize::from(arrangement.placed.len() > 1);
        let mut progress = Progress {
            latest: flow.latest.clone(),
            at_input: flow.at_input,
            before: None,
        };
        for placed in arrangement.placed {
            let inner_flow = self.flow_into(&placed, flow, context, &progress);
            let inner = Context {
                levels: context.levels + branching,
                ..self.context_of(&placed, context, &progress)
            };
            self.module(placed.node, &inner_flow, &inner);
            let is_gate = roles::is_gate(self.modules.segment(placed.node));
            if placed.path == FlowPath::Main && !is_gate {
                let sketch = &self.modules.sketches[placed.node];
                progress = Progress {
                    latest: sketch.ends.exits.clone(),
                    at_input: false,
                    before: Some(Preceding {
                        chain: placed.chain,
                        single: sketch.single,
                        is_backbone: placed.role == Role::Backbone,
                    }),
                };
            }
        }
        self.found.ranges[node] = start..self.found.steps.len();
    }

    /// Adds the layers whose weight the module holds itself.
    fn own_layers(&mut self, node: usize, flow: &Flow, context: &Context) {
        for &candidate in &self.modules.tree.nodes[node].weights {
            self.found.steps.push(Step {
                candidate,
                given: flow.latest.clone(),
                latest: context.latest.clone(),
                fed_by: context.fed_by,
                at_input: flow.at_input,
                in_head: context.in_head,
                in_final: context.in_final,
                in_gate: context.in_gate,
                in_attention: context.in_attention,
            });
            if !context.in_gate {
                self.given.insert(self.modules.candidates[candidate].out());
            }
        }
    }

    /// The flow into a module: that of the main path or the parent's input, whichever it reads.
    fn flow_into(
        &self,
        placed: &Placed,
        parent: &Flow,
        context: &Context,
        progress: &Progress,
    ) -> Flow {
        let entry = self.modules.ends(placed.node).entry;
        let read = |given: &[usize]| {
            given
                .iter()
                .copied()
                .find(|channels| entry.contains(channels))
        };
        // All values of an input are equally likely.
        let narrowed = |given: &[usize], channels: usize, at_input: bool| {
            let given = if at_input {
                given.to_vec()
            } else {
                vec![channels]
            };
            Flow::into_module(given, at_input)
        };
        let from_input = read(&parent.input);
        // After a backbone, a module that can read the network's input does (UNETR's first encoder).
        let is_behind_backbone = progress
            .before
            .as_ref()
            .is_some_and(|before| before.is_backbone);
        let is_beside = is_behind_backbone && parent.at_input && from_input.is_some();
        if placed.path == FlowPath::Shortcut || context.is_parallel || is_beside {
            Flow::into_module(parent.input.clone(), parent.at_input)
        } else if let Some(channels) = read(&progress.latest) {
            narrowed(&progress.latest, channels, progress.at_input)
        } else if let Some(channels) = from_input {
            narrowed(&parent.input, channels, parent.at_input)
        } else {
            Flow::into_module(progress.latest.clone(), progress.at_input)
        }
    }

    /// The context of a module within another; its levels are the parent's.
    fn context_of(&self, placed: &Placed, parent: &Context, progress: &Progress) -> Context {
        let segment = self.modules.segment(placed.node);
        let is_single = self.modules.sketches[placed.node].single.is_some();
        let is_main = placed.path == FlowPath::Main;
        let fed_by = match &progress.before {
            None if is_main => parent.fed_by,
            Some(before) if before.chain == placed.chain && is_main && is_single => before.single,
            _ => None,
        };
        let is_near_top = parent.levels < HEAD_LEVELS;
        Context {
            levels: parent.levels,
            in_head: parent.in_head || (is_near_top && is_head(placed, segment, parent.levels)),
            in_final: parent.in_final || (is_near_top && placed.role == Role::Final),
            in_gate: parent.in_gate || roles::is_channel_gate(segment),
            in_attention: parent.in_attention || roles::is_gate(segment),
            fed_by: fed_by.filter(|_| !parent.is_parallel),
            is_parallel: roles::is_parallel(segment) && segment.ordinal.is_empty(),
            // The first module in another follows what the other follows.
            latest: if progress.before.is_none() && !parent.latest.is_empty() {
                parent.latest.clone()
            } else {
                progress.latest.clone()
            },
        }
    }
}

fn is_head(placed: &Placed, segment: &Segment, levels: usize) -> bool {
    matches!(placed.role, Role::Head | Role::Aux)
        && (levels == 0 || !roles::is_head_at_top_only(segment))
}
