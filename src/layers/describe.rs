//! What is said of each layer: its kind, groups and kernels, and why it is not merged.

use std::collections::HashMap;

use super::candidates::{Candidate, Companions, Layout};
use super::declared::Resolved;
use super::evidence::Evidence;
use super::groups::{self, KindAndGroups};
use super::kind::Kind;
use super::known::{KnownLayer, KnownNetwork};
use super::layer::Layer;
use super::order::Step;
use super::select::{self, Facts, Globs, Selection};
use super::warning::Warning;
use super::{gate, head};
use crate::checkpoint::Tensor;

/// Describes the layers of a file one network at a time, collecting warnings.
pub(super) struct Describer<'a> {
    tensors: &'a [Tensor],
    candidates: &'a [Candidate<'a>],
    companions: &'a Companions<'a>,
    /// What is known of layers, by candidate.
    known: HashMap<usize, KnownLayer>,
    globs: &'a Globs,
    selection: &'a Selection,
    has_linear: bool,
    /// Channels that the layer right before each one gives, by candidate, where the user lists the order.
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
                .any(|candidate| candidate.linear() && candidate.has_place()),
            listed_before: declared
                .order
                .windows(2)
                .map(|pair| (pair[1], candidates[pair[0]].out()))
                .collect(),
            declared,
            warnings: Vec::new(),
        }
    }

    /// The layers of a network, in its order.
    pub fn network(&mut self, network: &[Step]) -> Vec<Layer> {
        let verdicts = groups::kinds_and_groups(network, self.candidates, self.companions);
        let steps = network.iter().zip(verdicts).enumerate();
        steps
            .map(|(at, (step, verdict))| {
                let candidate = &self.candidates[step.candidate];
                let known = self.known.get(&step.candidate).copied();
                let told = match known {
                    Some(known) => KindAndGroups::of_known(&known, candidate),
                    None => verdict,
                };
                let verdict = self.settle(told, step.candidate);
                let (kind, groups) = match verdict {
                    KindAndGroups::Known(kind, groups) => (kind, groups),
                    KindAndGroups::MaybeGrouped { kind, .. }
                    | KindAndGroups::MaybeTransposed(kind) => (kind, 1),
                };
                let kernels = match kind {
                    Kind::Transposed => candidate.shape[1].saturating_mul(groups),
                    _ => candidate.out(),
                };
                let said = self.declared.said_of(step.candidate);
                let is_supported = self.check(candidate, known.is_some(), Some(verdict));
                let names = self.names(candidate);
                let facts = Facts {
                    names: &names,
                    kind,
                    depth: Some(at + 1),
                    kernels,
                    supported: is_supported,
                    gate: said
                        .gate
                        .or(known.map(|known| known.is_gate))
                        .unwrap_or_else(|| gate::is_gate(at, self.candidates, network)),
                    head: said
                        .head
                        .or(known.map(|known| known.is_head || head::is_before_logits(candidate)))
                        .unwrap_or_else(|| self.is_head(at, network)),
                };
                let kind_from = match (known, verdict) {
                    _ if said.settles_kind() => Evidence::Declared,
                    (Some(_), _) => Evidence::Known,
                    (None, KindAndGroups::Known(..)) => Evidence::Shapes,
                    (None, _) => Evidence::Guessed,
                };
                Layer {
                    place_from: known.map_or(Evidence::Shapes, |_| Evidence::Known),
                    kind_from,
                    ..self.layer(candidate, groups, &facts)
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

    /// Whether a linear layer of a head is one of several, and gives what a later one of the same module reads: VGG's
    /// classifier has two of those.
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

    /// A layer that has no place in any network's order: a linear one that was not asked for, or a further part of a
    /// parametrised weight.
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
        let facts = Facts {
            names: &names,
            kind,
            depth: None,
            kernels: candidate.out(),
            supported: self.check(candidate, false, None),
            gate: false,
            head: false,
        };
        self.layer(candidate, 1, &facts)
    }

    /// What is said of a layer comes first. One that may be dense is, if the one listed right before it gives just the
    /// channels that it reads.
    fn settle(&self, verdict: KindAndGroups, index: usize) -> KindAndGroups {
        let candidate = &self.candidates[index];
        let reads = candidate.reads();
        let told = match verdict {
            KindAndGroups::MaybeGrouped { kind, .. }
                if reads > 1 && self.listed_before.get(&index) == Some(&reads) =>
            {
                KindAndGroups::Known(kind, 1)
            }
            _ => verdict,
        };
        self.declared.said_of(index).over(told, candidate)
    }

    fn name(&self, candidate: &Candidate<'_>) -> &'a str {
        &self.tensors[candidate.tensor].name
    }

    /// All names of a candidate's weight, the one that stands for it first.
    fn names(&self, candidate: &Candidate<'_>) -> Vec<&'a str> {
        let tensors = std::iter::once(&candidate.tensor).chain(&candidate.copies);
        tensors
            .map(|&tensor| &self.tensors[tensor].name[..])
            .collect()
    }

    fn layer(&self, candidate: &Candidate<'_>, groups: usize, facts: &Facts<'_>) -> Layer {
        Layer {
            name: self.name(candidate).to_owned(),
            copies: facts.names[1..].iter().map(ToString::to_string).collect(),
            tensor: candidate.tensor,
            copy_tensors: candidate.copies.clone(),
            kind: facts.kind,
            groups,
            depth: facts.depth,
            kernels: facts.kernels,
            shape: candidate.shape.to_vec(),
            dtype: self.tensors[candidate.tensor].dtype,
            channels_last: matches!(candidate.layout, Layout::ChannelsLast { .. }),
            reason: select::reason(facts, self.selection, self.globs),
            network: None,
            place_from: Evidence::Shapes,
            kind_from: Evidence::Shapes,
        }
    }

    /// Whether a layer can be merged at all; warns if not.
    fn check(
        &mut self,
        candidate: &Candidate<'_>,
        is_known: bool,
        verdict: Option<KindAndGroups>,
    ) -> bool {
        let name = self.name(candidate).to_owned();
        let warning = match (candidate.layout, verdict) {
            (Layout::Undecided, _) if is_known => return true,
            (Layout::Parametrised | Layout::Part, _) => Warning::Parametrised { name },
            (Layout::Undecided, _) | (_, Some(KindAndGroups::MaybeTransposed(_))) => {
                Warning::AmbiguousTransposed { name }
            }
            // There may be hundreds of these: `candidates::warnings` has one warning for each sort.
            (Layout::Adapter | Layout::Foreign | Layout::ChannelsLast { certain: false }, _) => {
                return false;
            }
            _ if self.tensors[candidate.tensor].float_type().is_none() => return false,
            (Layout::Misfit(bias), _) => Warning::BiasMismatch { name, bias },
            (Layout::Empty, _) => Warning::Empty { name },
            (_, Some(KindAndGroups::MaybeGrouped { channels, .. })) => Warning::AmbiguousGroups {
                name,
                channels,
                per_kernel: candidate.reads(),
            },
            _ => return true,
        };
        // Of a twin it is said where its weight is a layer.
        if !candidate.is_twin {
            self.warnings.push(warning);
        }
        false
    }
}
