//! The modules to be arranged, each with its role among its siblings.

use std::collections::{HashMap, HashSet};

use super::arrange::Arranger;
use super::sketch::Sketch;
use crate::layers::candidates::MOST_COLOURS;
use crate::layers::name::Segment;
use crate::layers::roles::{self, Role};

/// Where gates or chains times modules exceed this, shapes are not consulted: no network comes near it, a hostile file may.
pub(super) const MAX_WORK: usize = 1 << 18;

/// A number that the members of a chain share, and the members in order.
pub(super) type Chain = (usize, Vec<Item>);

/// A child, or a grandchild where two lists of a decoder are zipped.
#[derive(Clone, Copy)]
pub(super) struct Item {
    pub node: usize,
    /// The list it is a member of.
    pub list: usize,
    pub role: Role,
    /// It mirrors another, and so runs in the reverse order of its numbers.
    pub is_mirrored: bool,
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
            self.open_at_input(children, &mut roles, sketches);
        }
        let mirrored = self.mirrored(children);
        for &child in &mirrored {
            roles[child] = Role::Decoder;
        }
        let mirrored: Vec<usize> = mirrored.into_iter().map(|at| children[at]).collect();
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
                    is_mirrored: false,
                }));
            } else {
                items.push(Item {
                    node: child,
                    list: node,
                    role,
                    is_mirrored: mirrored.contains(&child),
                });
            }
        }
        items
    }

    /// What alone reads the network's input runs first, though it be called `head` (EDSR); and what cannot read it where
    /// others can is no stem, though it be called `patch_embeddings` (TransUNet) or `input_projection` (DETR).
    fn open_at_input(&self, children: &[usize], roles: &mut [Role], sketches: &[Sketch]) {
        let reads = |channels: std::ops::RangeInclusive<usize>| {
            let fits = |&at: &usize| {
                let ends = &sketches[children[at]].ends;
                ends.entry.iter().any(|entry| channels.contains(entry))
                    && ends.exits[0] > MOST_COLOURS
            };
            (0..children.len()).filter(fits).collect::<Vec<usize>>()
        };
        // A kernel that reads one channel may as well be depthwise.
        let mut readers = reads(2..=MOST_COLOURS);
        if readers.is_empty() {
            readers = reads(1..=MOST_COLOURS);
        }
        if let &[reader] = readers.as_slice() {
            let own = self.segment(children[reader]);
            let is_in_chain = !own.ordinal.is_empty()
                && children.iter().any(|&child| {
                    child != children[reader] && self.segment(child).stem == own.stem
                });
            // Of a list only the first member does; of a chain it is the first or the last.
            roles[reader] = if self.is_list(children[reader]) || is_in_chain {
                roles[reader].min(Role::Body)
            } else {
                Role::Stem
            };
        }
        if !readers.is_empty() {
            let others = (0..children.len()).filter(|at| !readers.contains(at));
            for other in others {
                roles[other] = roles[other].max(Role::Body);
            }
        }
    }

    /// Children that mirror others: `conv11d` beside `conv11`, `stage1d` beside `stage1` are a decoder's (SegNet, U²-Net).
    fn mirrored(&self, children: &[usize]) -> Vec<usize> {
        let is_bare = |other: &Segment, mirror: &Segment| {
            other.stem == mirror.stem
                && other.ordinal.len() == 1
                && other.ordinal[0] == (mirror.ordinal[0].0, '\0')
        };
        let is_mirror = |&at: &usize| {
            let segment = self.segment(children[at]);
            matches!(segment.ordinal[..], [(_, 'd')])
                && children
                    .iter()
                    .any(|&other| is_bare(self.segment(other), segment))
        };
        let mirrors: Vec<usize> = (0..children.len()).filter(is_mirror).collect();
        if mirrors.len() > 1 {
            mirrors
        } else {
            Vec::new()
        }
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
        let [entry, least] = sketches[child].ends.entry;
        let reads_image = roles::is_merge(segment) && entry == least && least <= MOST_COLOURS;
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
            // What can read an image joins nothing (the stem of a network is a `root` in TransUNet).
            Role::Body if reads_image => Role::Body,
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
    pub fn is_list(&self, node: usize) -> bool {
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
