//! The role of a module: its name's, unless its siblings show that the name means something else.

use std::collections::{HashMap, HashSet};

use super::modules::Modules;
use crate::layers::candidates::IMAGE_CHANNELS;
use crate::layers::name::Segment;
use crate::layers::roles::{self, Role};

/// What the siblings say about a module's role.
pub(super) struct Siblings<'a> {
    modules: &'a Modules<'a>,
    /// Within a decoder: `up` and `bridge` name parts of a step there.
    in_decoder: bool,
    /// The network's encoders and decoders are side by side here.
    pub are_phases: bool,
    /// One computes attention's queries: a `proj` runs after it.
    has_query: bool,
    /// One ends an inverted bottleneck (`conv_pwl`, `pw_proj`): `conv_pw` starts it.
    has_narrowing: bool,
    /// Some are branches: a plain `conv` joins them (Inception-ResNet).
    has_branch: bool,
    /// The blocks of a stage.
    blocks: Option<usize>,
    /// Numbers of plain convolutions.
    convolutions: HashSet<u64>,
    /// Half of the largest one.
    half: Option<u64>,
    /// The smallest number of each stem.
    least: HashMap<&'a str, u64>,
}

impl<'a> Siblings<'a> {
    /// Of the modules in `node`.
    pub fn of(modules: &'a Modules<'a>, node: usize) -> Self {
        let children = modules.children(node).iter();
        let segments = || children.clone().map(|&child| modules.segment(child));
        let mut least = HashMap::new();
        for segment in segments() {
            if let Some(number) = segment.number() {
                let known = least.entry(segment.stem.as_str()).or_insert(number);
                *known = number.min(*known);
            }
        }
        let in_decoder = modules.in_decoder[node];
        let convolutions: HashSet<u64> = segments()
            .filter(|segment| roles::is_plain_convolution(segment))
            .filter_map(Segment::number)
            .collect();
        Self {
            modules,
            in_decoder,
            are_phases: !in_decoder && segments().any(|segment| Role::of(segment) == Role::Decoder),
            has_query: segments().any(roles::is_query),
            has_narrowing: segments().any(roles::is_narrowing),
            has_branch: segments().any(roles::is_branch),
            blocks: children
                .clone()
                .find(|&&child| roles::is_blocks(modules.segment(child)))
                .copied(),
            half: convolutions.iter().max().map(|last| last / 2),
            convolutions,
            least,
        }
    }

    /// The role of one of them.
    pub fn role(&self, child: usize) -> Role {
        let segment = self.modules.segment(child);
        let role = Role::of(segment);
        match role {
            // A step of a decoder starts with its upsampling.
            Role::Decoder if self.in_decoder && segment.ordinal.is_empty() => Role::Stem,
            Role::Decoder if !self.are_phases || self.continues_convolutions(segment) => Role::Body,
            Role::Bottleneck if !self.are_phases => Role::Body,
            Role::Body if self.joins_skips(segment) => Role::Decoder,
            Role::Body if self.is_root(child) => Role::Body,
            Role::Body if self.runs_last(segment) => Role::Final,
            Role::Body if self.runs_first(segment) || self.opens_stage(child) => Role::Stem,
            _ => role,
        }
    }

    /// Whether a numbered upsampling continues the numbers of plain convolutions (`conv5`, `up6`, `conv6`) instead of having
    /// its own (`Conv5`, `Up5`, `Up_conv5`, `Up4`).
    fn continues_convolutions(&self, segment: &Segment) -> bool {
        let is_shared = |number: u64| self.convolutions.contains(&number);
        segment.number().is_some_and(is_shared)
            && self.least.get(segment.stem.as_str()).copied() > self.half
    }

    /// Whether it joins a skip connection to a decoder, or weights one (Attention U-Net's `Att5`).
    fn joins_skips(&self, segment: &Segment) -> bool {
        self.are_phases && (roles::is_merge(segment) || roles::is_attention_gate(segment))
    }

    /// Whether it is named a merge but can read an image, and so joins nothing: TransUNet's stem is named `root`.
    fn is_root(&self, child: usize) -> bool {
        let [entry, least] = self.modules.ends(child).entry;
        roles::is_merge(self.modules.segment(child)) && entry == least && least <= IMAGE_CHANNELS
    }

    /// Whether it joins the others, projects attention's output (ViT), or is the one `conv` after branches or phases.
    fn runs_last(&self, segment: &Segment) -> bool {
        roles::is_merge(segment)
            || (self.has_query && roles::is_projection(segment))
            || (self.has_branch && roles::joins_branches(segment))
            || (self.are_phases && roles::ends_phases(segment))
    }

    /// Whether it starts an inverted bottleneck (EfficientNet), or a stage before its blocks (CSPNet).
    fn runs_first(&self, segment: &Segment) -> bool {
        (self.has_narrowing && roles::is_widening(segment))
            || (self.blocks.is_some() && roles::opens_blocks(segment))
    }

    /// Whether it is a `downsample` whose output the blocks read (ConvNeXt).
    fn opens_stage(&self, child: usize) -> bool {
        let given = self.modules.ends(child).exits[0];
        let reads = |blocks: usize| self.modules.ends(blocks).entry.contains(&given);
        roles::is_downsample(self.modules.segment(child)) && self.blocks.is_some_and(reads)
    }
}
