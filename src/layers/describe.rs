//! Describes each layer: its kind, groups and kernels, and why it is not merged.

use std::collections::HashMap;

use super::candidates::{Candidate, Companions, Layout};
use super::declared::Resolved;
use super::evidence::Evidence;
use super::groups::{self, KindAndGroups};
use super::kind::Kind;
use super::known::{KnownLayer, KnownNetwork};
use super::layer::Layer;
use super::order::Step;
use super::select::{self, Globs, Selection, SelectionInput};
use super::warning::Warning;
use super::{gate, head};
use crate::checkpoint::Tensor;

/// Describes the layers of a file one network at a time, collecting warnings.
pub(super) struct Describer<'a> {
    tensors: &'a [Tensor],
    candidates: &'a [Candidate<'a>],
    companions: &'a Companions<'a>,
    /// Layers of known networks, by candidate.
    known: HashMap<usize, KnownLayer>,
    globs: &'a Globs,
    selection: &'a Selection,
    has_linear: bool,
    /// Output channels of the layer listed right before each one, by candidate; empty without a list.
    listed_before: HashMap<usize, usize>,
    declared: &'a Resolved,
    pub warnings: Vec<Warning>,
}

impl<'a> Describer<'a> {
    pub fn new(
        tensors: &'a [Tensor],
        candidates: &'a [Candidate<'a>],
        companions: &'a Companions<'a>,
        known: &[KnownNetwork],
        globs: &'a Globs,
        selection: &'a Selection,
        declared: &'a Resolved,
    ) -> Self {
        Self {
            tensors,
            candidates,
            companions,
            known: known
                .iter()
                .flat_map(|network| network.layers.iter().copied())
                .collect(),
            globs,
            selection,
            has_linear: candidates
                .iter()
                .any(|candidate| candidate.linear() && candidate.is_layer()),
            listed_before: declared
                .order
                .windows(2)
                .map(|pair| (pair[1], candidates[pair[0]].out()))
                .collect(),
            declared,
            warnings: Vec::new(),
        }
    }

    /// The layers of a network, in depth order.
    pub fn network(&mut self, network: &[Step]) -> Vec<Layer> {
        let inferred = groups::kinds_and_groups(network, self.candidates, self.companions);
        let steps = network.iter().zip(inferred).enumerate();
        steps
            .map(|(at, (step, inferred))| {
                let candidate = &self.candidates[step.candidate];
                let known = self.known.get(&step.candidate).copied();
                let inferred = match known {
                    Some(known) => KindAndGroups::of_known(&known, candidate),
                    None => inferred,
                };
                let settled = self.settle(inferred, step.candidate);
                let (kind, groups) = match settled {
                    KindAndGroups::Known(kind, groups) => (kind, groups),
                    KindAndGroups::MaybeGrouped { kind, .. }
                    | KindAndGroups::MaybeTransposed(kind) => (kind, 1),
                };
                let kernels = match kind {
                    Kind::Transposed => candidate.shape[1].saturating_mul(groups),
                    _ => candidate.out(),
                };
                let declared = self.declared.properties_of(step.candidate);
                let is_supported = self.check(candidate, known.is_some(), Some(settled));
                let names = self.names(candidate);
                let input = SelectionInput {
                    names: &names,
                    kind,
                    depth: Some(at + 1),
                    kernels,
                    supported: is_supported,
                    gate: declared
                        .gate
                        .or(known.map(|known| known.is_gate))
                        .unwrap_or_else(|| gate::is_gate(at, self.candidates, network)),
                    head: declared
                        .head
                        .or(known.map(|known| known.is_head || head::is_before_logits(candidate)))
                        .unwrap_or_else(|| self.is_head(at, network)),
                };
                let kind_from = match (known, settled) {
                    _ if declared.settles_kind() => Evidence::Declared,
                    (Some(_), _) => Evidence::Known,
                    (None, KindAndGroups::Known(..)) => Evidence::Shapes,
                    (None, _) => Evidence::Guessed,
                };
                Layer {
                    place_from: known.map_or(Evidence::Shapes, |_| Evidence::Known),
                    kind_from,
                    ..self.layer(candidate, groups, &input)
                }
            })
            .collect()
    }

    fn is_head(&self, at: usize, network: &[Step]) -> bool {
        let step = &network[at];
        if self.candidates[step.candidate].linear() {
            return step.in_head && !self.is_hidden(at, network);
        }
        head::is_head(
            at,
            network,
            self.candidates,
            self.companions,
            self.has_linear,
        )
    }

    /// Whether a later linear layer of the same module reads the output of this one: VGG's classifier has two such layers.
    fn is_hidden(&self, at: usize, network: &[Step]) -> bool {
        let candidate = |step: &Step| &self.candidates[step.candidate];
        let module = |step: &Step| {
            let layer = self.name(candidate(step)).rsplit_once('.')?.0;
            Some(layer.rsplit_once('.')?.0)
        };
        let own = &network[at];
        candidate(own).linear()
            && network[at + 1..].iter().any(|later| {
                candidate(later).linear()
                    && module(later).is_some()
                    && module(later) == module(own)
                    && candidate(later).reads() == candidate(own).out()
            })
    }

    /// A layer outside every network's order, such as a linear one that was not asked for or a part of a parametrised
    /// weight.
    pub fn outside(&mut self, index: usize) -> Layer {
        let candidate = &self.candidates[index];
        let kind = if candidate.linear() {
            Kind::Linear
        } else if candidate.is_point() {
            Kind::Pointwise
        } else {
            Kind::Conv
        };
        let names = self.names(candidate);
        let input = SelectionInput {
            names: &names,
            kind,
            depth: None,
            kernels: candidate.out(),
            supported: self.check(candidate, false, None),
            gate: false,
            head: false,
        };
        self.layer(candidate, 1, &input)
    }

    /// Applies the declared list. A layer that may be grouped is dense if the one listed right before it outputs what it
    /// reads.
    fn settle(&self, inferred: KindAndGroups, index: usize) -> KindAndGroups {
        let candidate = &self.candidates[index];
        let reads = candidate.reads();
        let inferred = match inferred {
            KindAndGroups::MaybeGrouped { kind, .. }
                if reads > 1 && self.listed_before.get(&index) == Some(&reads) =>
            {
                KindAndGroups::Known(kind, 1)
            }
            _ => inferred,
        };
        self.declared
            .properties_of(index)
            .apply_to(inferred, candidate)
    }

    fn name(&self, candidate: &Candidate<'_>) -> &'a str {
        &self.tensors[candidate.tensor].name
    }

    /// All names of a candidate's weight, that of its own tensor first.
    fn names(&self, candidate: &Candidate<'_>) -> Vec<&'a str> {
        let tensors = std::iter::once(&candidate.tensor).chain(&candidate.copies);
        tensors
            .map(|&tensor| &self.tensors[tensor].name[..])
            .collect()
    }

    fn layer(&self, candidate: &Candidate<'_>, groups: usize, input: &SelectionInput<'_>) -> Layer {
        Layer {
            name: self.name(candidate).to_owned(),
            copies: input.names[1..].iter().map(ToString::to_string).collect(),
            tensor: candidate.tensor,
            copy_tensors: candidate.copies.clone(),
            kind: input.kind,
            groups,
            depth: input.depth,
            kernels: input.kernels,
            shape: candidate.shape.to_vec(),
            dtype: self.tensors[candidate.tensor].dtype,
            channels_last: matches!(candidate.layout, Layout::ChannelsLast { .. }),
            reason: select::reason(input, self.selection, self.globs),
            network: None,
            place_from: Evidence::Shapes,
            kind_from: Evidence::Shapes,
            behind: Vec::new(),
        }
    }

    /// Whether a layer can be merged at all; warns if not.
    fn check(
        &mut self,
        candidate: &Candidate<'_>,
        is_known: bool,
        settled: Option<KindAndGroups>,
    ) -> bool {
        let name = self.name(candidate).to_owned();
        let warning = match (candidate.layout, settled) {
            (Layout::Undecided, _) if is_known => return true,
            (Layout::Parametrised | Layout::ParametrisedPart, _) => Warning::Parametrised { name },
            (Layout::Undecided, _) | (_, Some(KindAndGroups::MaybeTransposed(_))) => {
                Warning::AmbiguousTransposed { name }
            }
            // There may be hundreds: `candidates::warnings` gives one warning per sort.
            (
                Layout::Adapter | Layout::KernelsLast | Layout::ChannelsLast { certain: false },
                _,
            ) => {
                return false;
            }
            _ if self.tensors[candidate.tensor].float_type().is_none() => return false,
            (Layout::BiasMismatch(bias), _) => Warning::BiasMismatch { name, bias },
            (Layout::Empty, _) => Warning::Empty { name },
            (_, Some(KindAndGroups::MaybeGrouped { channels, .. })) => Warning::AmbiguousGroups {
                name,
                channels,
                per_kernel: candidate.reads(),
            },
            _ => return true,
        };
        // The warning of a duplicate is given for the layer that represents its weight.
        if !candidate.is_duplicate {
            self.warnings.push(warning);
        }
        false
    }
}
