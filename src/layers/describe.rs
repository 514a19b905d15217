//! What is said of each layer: its kind, groups and kernels, and why it is not merged.

use std::collections::HashMap;

use super::candidates::{Candidate, Companions, Layout};
use super::groups::{self, Verdict};
use super::order::structure::Step;
use super::select::{self, Facts, Globs};
use super::{Kind, Layer, Selection, Warning, gate};
use crate::checkpoint::Tensor;

/// Describes the layers of a file one network at a time, collecting warnings.
pub(super) struct Describer<'a> {
    tensors: &'a [Tensor],
    candidates: &'a [Candidate<'a>],
    companions: &'a Companions<'a>,
    globs: &'a Globs,
    selection: &'a Selection,
    has_linear: bool,
    /// Channels that the layer right before each one gives, by candidate, where the user lists the order.
    listed_before: HashMap<usize, usize>,
    pub warnings: Vec<Warning>,
}

impl<'a> Describer<'a> {
    pub fn new(
        tensors: &'a [Tensor],
        candidates: &'a [Candidate<'a>],
        companions: &'a Companions<'a>,
        globs: &'a Globs,
        selection: &'a Selection,
        listed: &[usize],
    ) -> Self {
        Self {
            tensors,
            candidates,
            companions,
            globs,
            selection,
            has_linear: candidates.iter().any(Candidate::linear),
            listed_before: listed
                .windows(2)
                .map(|pair| (pair[1], candidates[pair[0]].out()))
                .collect(),
            warnings: Vec::new(),
        }
    }

    /// The layers of a network, in its order.
    pub fn network(&mut self, network: &[Step]) -> Vec<Layer> {
        let verdicts = groups::verdicts(network, self.candidates);
        let terminal = if self.has_linear {
            None
        } else {
            terminal(network, self.candidates, self.companions)
        };
        let steps = network.iter().zip(verdicts).enumerate();
        steps
            .map(|(at, (step, verdict))| {
                let candidate = &self.candidates[step.candidate];
                let verdict = self.settle(verdict, step.candidate);
                let (kind, groups) = match verdict {
                    Verdict::Known(kind, groups) => (kind, groups),
                    Verdict::Ambiguous { kind, .. } => (kind, 1),
                };
                let kernels = match (kind, candidate.layout) {
                    (Kind::Transposed, Layout::Forward) => candidate.shape[1],
                    _ => candidate.out(),
                };
                let names = self.names(candidate);
                let facts = Facts {
                    names: &names,
                    kind,
                    depth: Some(at + 1),
                    kernels,
                    supported: self.check(candidate, Some(verdict)),
                    gate: gate::is_gate(at, self.candidates, network),
                    head: (step.in_head && !self.is_hidden(at, network))
                        || (step.in_final && terminal == Some(at)),
                };
                self.layer(candidate, groups, &facts)
            })
            .collect()
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
            supported: self.check(candidate, None),
            gate: false,
            head: false,
        };
        self.layer(candidate, 1, &facts)
    }

    /// A layer that may be dense is, if the one listed right before it gives just the channels that it reads.
    fn settle(&self, verdict: Verdict, index: usize) -> Verdict {
        let reads = self.candidates[index].reads();
        match verdict {
            Verdict::Ambiguous { kind, .. }
                if reads > 1 && self.listed_before.get(&index) == Some(&reads) =>
            {
                Verdict::Known(kind, 1)
            }
            _ => verdict,
        }
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
            reason: select::reason(facts, self.selection, self.globs),
        }
    }

    /// Whether a layer can be merged at all; warns if not.
    fn check(&mut self, candidate: &Candidate<'_>, verdict: Option<Verdict>) -> bool {
        let name = self.name(candidate).to_owned();
        let warning = match (candidate.layout, verdict) {
            (Layout::Parametrised | Layout::Part, _) => Warning::Parametrised { name },
            (Layout::Undecided, _) => Warning::AmbiguousTransposed { name },
            (Layout::Foreign, _) => Warning::ForeignLayout { name },
            (Layout::Misfit(bias), _) => Warning::BiasMismatch { name, bias },
            (Layout::Empty, _) => Warning::Empty { name },
            (_, Some(Verdict::Ambiguous { channels, .. })) => Warning::AmbiguousGroups {
                name,
                channels,
                per_kernel: candidate.reads(),
            },
            _ => return true,
        };
        self.warnings.push(warning);
        false
    }
}

/// The place of the network's last convolution, if nothing normalises what it gives: where no linear layer follows,
/// an output named `final` or `out` is a head then. (MobileViT's `final_conv` has a norm: it gives features.)
fn terminal(
    network: &[Step],
    candidates: &[Candidate<'_>],
    companions: &Companions<'_>,
) -> Option<usize> {
    let at = network.iter().rposition(|step| !step.in_head)?;
    let candidate = &candidates[network[at].candidate];
    let (parent, own) = candidate
        .module
        .rsplit_once('.')
        .unwrap_or(("", candidate.module));
    // In an `nn.Sequential` the norm has the next number.
    let next = own
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_add(1))
        .map(|number| number.to_string());
    let normed = ["bn", "norm"]
        .into_iter()
        .chain(next.as_deref())
        .any(|name| {
            let module = if parent.is_empty() {
                name.to_owned()
            } else {
                format!("{parent}.{name}")
            };
            companions.norm(&module) == Some(candidate.out())
        });
    (!normed).then_some(at)
}
