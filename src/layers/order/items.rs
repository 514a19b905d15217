//! The modules to be arranged, each with its role among its siblings.

use std::collections::{HashMap, HashSet};

use super::arrange::Arranger;
use super::sketch::Sketch;
use crate::layers::name::Segment;
use crate::layers::roles::{self, Role};

/// A child, or a grandchild where two lists of a decoder are zipped.
#[derive(Clone, Copy)]
pub(super) struct Item {
    pub node: usize,
    /// The list it is a member of.
    pub list: usize,
    pub role: Role,
}

/// What the modules beside one say of its role.
struct Siblings<'a> {
    /// Within a decoder: `up` and `bridge` name parts of a step there.
    in_decoder: bool,
    /// The network's phases stand side by side here: encoders and decoders.
    phases: bool,
    /// One makes attention's queries: a `proj` comes after it.
    queried: bool,
    /// One closes an inverted bottleneck (`conv_pwl`, `pw_proj`): `conv_pw` opens it.
    paired: bool,
    /// Some are branches: a plain `conv` joins them (Inception-ResNet).
    branched: bool,
    /// The blocks of a stage.
    blocks: Option<usize>,
    /// Numbers of plain convolutions.
    convolutions: HashSet<u64>,
    /// Half of the largest of them.
    half: Option<u64>,
    /// The least number of each stem.
    least: HashMap<&'a str, u64>,
}

impl Arranger<'_> {
    /// The children of `node` with their roles.
    pub fn items(&self, node: usize, at_input: bool, sketches: &[Sketch]) -> Vec<Item> {
        let children = &self.tree.nodes[node].children;
        let siblings = self.siblings(node);
        let mut roles: Vec<Role> = children
            .iter()
            .map(|&child| self.role(child, &siblings, sketches))
            .collect();
        if at_input {
            // What alone reads the network's input runs first, though it be called `head` (EDSR).
            let reads_input = |&at: &usize| {
                sketches[children[at]]
                    .ends
                    .entry
                    .iter()
                    .any(|&channels| channels <= 4)
            };
            let readers: Vec<usize> = (0..children.len()).filter(reads_input).collect();
            if let &[reader] = readers.as_slice() {
                roles[reader] = roles[reader].min(Role::Body);
            }
        }
        let phases = siblings.phases;
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

    fn siblings(&self, node: usize) -> Siblings<'_> {
        let segments = || {
            self.tree.nodes[node]
                .children
                .iter()
                .map(|&child| self.segment(child))
        };
        let number = |segment: &Segment| segment.ordinal.first().map(|first| first.0);
        let mut least = HashMap::new();
        for segment in segments() {
            if let Some(number) = number(segment) {
                let known = least.entry(segment.stem.as_str()).or_insert(number);
                *known = number.min(*known);
            }
        }
        let in_decoder = self.in_decoder[node];
        let convolutions: HashSet<u64> = segments()
            .filter(|segment| segment.words == ["conv"])
            .filter_map(number)
            .collect();
        let blocks = |&&child: &&usize| self.segment(child).words == ["blocks"];
        Siblings {
            in_decoder,
            phases: !in_decoder && segments().any(|segment| Role::of(segment) == Role::Decoder),
            queried: segments().any(roles::is_query),
            paired: segments().any(roles::is_narrowing),
            branched: segments().any(|segment| segment.has(&["branch"])),
            blocks: self.tree.nodes[node].children.iter().find(blocks).copied(),
            half: convolutions.iter().max().map(|last| last / 2),
            convolutions,
            least,
        }
    }

    /// The role of a module among its siblings: its name's, unless they show that the name means something else.
    fn role(&self, child: usize, siblings: &Siblings<'_>, sketches: &[Sketch]) -> Role {
        let segment = self.segment(child);
        let role = Role::of(segment);
        match role {
            // A step of a decoder opens with its upsampling.
            Role::Decoder if siblings.in_decoder && segment.ordinal.is_empty() => Role::Stem,
            Role::Decoder if !siblings.phases || siblings.continues_convolutions(segment) => {
                Role::Body
            }
            Role::Bottleneck if !siblings.phases => Role::Body,
            Role::Body
                if siblings.phases
                    && (roles::is_merge(segment) || roles::is_attention(segment)) =>
            {
                Role::Decoder
            }
            Role::Body if roles::is_merge(segment) || siblings.join(segment) => Role::Final,
            Role::Body if siblings.open(segment) || self.opens_stage(child, siblings, sketches) => {
                Role::Stem
            }
            _ => role,
        }
    }

    /// A `downsample` whose output the blocks read opens the stage (ConvNeXt).
    fn opens_stage(&self, child: usize, siblings: &Siblings<'_>, sketches: &[Sketch]) -> bool {
        let given = sketches[child].ends.exits[0];
        let read = |blocks: usize| sketches[blocks].ends.entry.contains(&given);
        self.segment(child).words == ["downsample"] && siblings.blocks.is_some_and(read)
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
}

impl Siblings<'_> {
    /// Whether a numbered upsampling carries on the numbers of plain convolutions (`conv5`, `up6`, `conv6`), rather
    /// than having numbers of its own (`Conv5`, `Up5`, `Up_conv5`, `Up4`).
    fn continues_convolutions(&self, segment: &Segment) -> bool {
        let shared = segment
            .ordinal
            .first()
            .is_some_and(|first| self.convolutions.contains(&first.0));
        shared && self.least.get(segment.stem.as_str()).copied() > self.half
    }

    /// Whether a module of the body runs after the others.
    fn join(&self, segment: &Segment) -> bool {
        let convolution = |words: &[&str]| {
            segment.ordinal.is_empty()
                && !segment.words.is_empty()
                && segment
                    .words
                    .iter()
                    .all(|word| words.contains(&word.as_str()))
        };
        (self.queried && segment.words == ["proj"])
            || (self.branched && convolution(&["conv", "conv1d", "conv2d", "conv3d"]))
            // The one convolution beside encoders and decoders that is called just that is the output.
            || (self.phases && convolution(&["conv", "conv2d", "conv3d", "1x1"]))
    }

    /// Whether a module of the body runs before the others.
    fn open(&self, segment: &Segment) -> bool {
        (self.paired && roles::is_widening(segment))
            || (self.blocks.is_some() && segment.has(&["exp", "down"]))
    }
}
