//! Matches declared layers to the tensors of a file, and checks them.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;

use super::list::{Declared, DeclaredLayer};
use crate::checkpoint::Tensor;
use crate::layers::candidates::{Candidate, Companions, Layout};
use crate::layers::contradiction::Contradiction;
use crate::layers::error::Error;
use crate::layers::groups::{KindAndGroups, dense};
use crate::layers::kind::Kind;
use crate::layers::layer::Layer;
use crate::layers::near::near;
use crate::layers::reason::Reason;
use crate::layers::warning::Warning;

/// A list whose names have been resolved to indices of candidates.
#[derive(Debug, Default)]
pub(in crate::layers) struct Resolved {
    /// The layers in the order in which they were listed, without copies.
    pub order: Vec<usize>,
    /// Copies, each with its original.
    copies: Vec<(usize, usize)>,
    properties: HashMap<usize, Properties>,
}

/// Declared properties of a layer, checked against its weight's shape.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::layers) struct Properties {
    kind: Option<Kind>,
    groups: Option<usize>,
    pub head: Option<bool>,
    pub gate: Option<bool>,
}

impl Declared {
    /// Finds the listed layers and checks what is declared about them. A declared layout changes the candidate, because its
    /// output channels affect the order of others.
    pub(in crate::layers) fn resolve(
        &self,
        tensors: &[Tensor],
        candidates: &mut [Candidate<'_>],
        companions: &Companions<'_>,
    ) -> Result<Resolved, Error> {
        let origin = self.origin();
        let indices = self.indices(tensors, candidates)?;
        let copies = self.copies_by_original()?;
        let mut resolved = Resolved::default();
        for layer in self.layers().iter().filter(|layer| layer.copy_of.is_none()) {
            let name = layer.name.as_str();
            let copies = copies.get(name).into_iter().flatten();
            let names = [name].into_iter().chain(copies.copied());
            let mut present = names.filter_map(|name| Some((name, *indices.get(name)?)));
            let Some((_, index)) = present.next() else {
                let near = near(name, candidates.iter().map(name_in(tensors)));
                let name = name.to_owned();
                return Err(Error::OrderUnknown { origin, name, near });
            };
            for (copy, copy_index) in present {
                if copy_index == index {
                    continue;
                }
                let tensor = |index: usize| &tensors[candidates[index].tensor];
                let (own, other) = (tensor(copy_index), tensor(index));
                if (own.dtype, &own.shape) != (other.dtype, &other.shape) {
                    let original = other.name.clone();
                    return Err(
                        self.contradiction(copy, Contradiction::UnlikeOriginal { original })
                    );
                }
                resolved.copies.push((copy_index, index));
            }
            if resolved.properties.contains_key(&index) {
                // It is already listed by another name.
                continue;
            }
            let candidate = &mut candidates[index];
            let properties = Properties::of(layer, candidate, companions.bias(candidate.module))
                .map_err(|contradiction| self.contradiction(name, contradiction))?;
            properties.settle_layout(candidate);
            resolved.properties.insert(index, properties);
            resolved.order.push(index);
        }
        Ok(resolved)
    }

    fn contradiction(&self, name: &str, contradiction: Contradiction) -> Error {
        Error::Contradiction {
            origin: self.origin(),
            name: name.to_owned(),
            contradiction,
        }
    }

    /// Candidates by listed name. Fails if a name is listed twice or belongs to a tensor that is not a layer.
    fn indices(
        &self,
        tensors: &[Tensor],
        candidates: &[Candidate<'_>],
    ) -> Result<HashMap<&str, usize>, Error> {
        let origin = self.origin();
        // A candidate goes by all names of its weight, except those of other candidates.
        let copies = candidates
            .iter()
            .enumerate()
            .flat_map(|(index, candidate)| {
                let names = candidate.copies.iter();
                names.map(move |&tensor| (tensors[tensor].name.as_str(), index))
            });
        let layers: HashMap<usize, usize> = candidates
            .iter()
            .enumerate()
            .flat_map(|(index, candidate)| candidate.copies.iter().map(move |&copy| (copy, index)))
            .collect();
        let own = candidates.iter().map(name_in(tensors)).zip(0..);
        let known: HashMap<&str, usize> = copies.chain(own).collect();
        let others: HashSet<&str> = tensors
            .iter()
            .map(|tensor| tensor.name.as_str())
            .filter(|name| !known.contains_key(name))
            .collect();
        let mut indices = HashMap::new();
        let mut seen = HashSet::new();
        for name in self.layers().iter().map(|layer| layer.name.as_str()) {
            if !seen.insert(name) {
                let name = name.to_owned();
                return Err(Error::OrderTwice { origin, name });
            }
            if others.contains(name) {
                let name = name.to_owned();
                return Err(Error::OrderNotALayer { origin, name });
            }
            if let Some(&index) = known.get(name) {
                indices.insert(name, index);
            }
        }
        let listed: HashSet<usize> = indices.values().copied().collect();
        for index in indices.values_mut() {
            // A weight that another network has too is listed for that network, unless its layer is not listed by any name.
            let layer = layers.get(&candidates[*index].tensor);
            if let Some(&layer) = layer.filter(|layer| !listed.contains(layer)) {
                *index = layer;
            }
        }
        Ok(indices)
    }

    /// Names of copies, by name of their original. A checkpoint may hold only some names of a weight (safetensors'
    /// `save_model` keeps one): the first one present stands for the layer.
    fn copies_by_original(&self) -> Result<HashMap<&str, Vec<&str>>, Error> {
        let listed: HashMap<&str, &DeclaredLayer> = self
            .layers()
            .iter()
            .map(|layer| (layer.name.as_str(), layer))
            .collect();
        let mut copies: HashMap<&str, Vec<&str>> = HashMap::new();
        for layer in self.layers() {
            let Some(original) = &layer.copy_of else {
                continue;
            };
            let contradiction = match listed.get(original.as_str()) {
                None => Contradiction::OriginalUnlisted {
                    original: original.clone(),
                    near: near(
                        original,
                        self.layers().iter().map(|layer| layer.name.as_str()),
                    ),
                },
                Some(first) if first.copy_of.is_some() => Contradiction::OriginalIsCopy {
                    original: original.clone(),
                },
                Some(first) if !layer.adds_nothing_to(first) => Contradiction::SaidOtherwise {
                    original: original.clone(),
                },
                Some(_) => {
                    copies.entry(original).or_default().push(&layer.name);
                    continue;
                }
            };
            return Err(self.contradiction(&layer.name, contradiction));
        }
        Ok(copies)
    }
}

fn name_in<'a>(tensors: &'a [Tensor]) -> impl Fn(&Candidate<'_>) -> &'a str {
    |candidate| tensors[candidate.tensor].name.as_str()
}

impl DeclaredLayer {
    /// Whether `original` declares everything that it declares.
    fn adds_nothing_to(&self, original: &Self) -> bool {
        (self.kind.is_none() || self.kind == original.kind)
            && (self.groups.is_none() || self.groups == original.groups)
            && (self.head.is_none() || self.head == original.head)
            && (self.gate.is_none() || self.gate == original.gate)
    }
}

impl Resolved {
    /// Tensors of the declared copies.
    pub fn copied_tensors(&self, candidates: &[Candidate<'_>]) -> HashSet<usize> {
        let copies = self.copies.iter();
        copies.map(|&(copy, _)| candidates[copy].tensor).collect()
    }

    /// Excludes declared copies that do not equal their original, and warns of each.
    pub fn mark_copies(&self, found: &mut [Layer]) -> Vec<Warning> {
        for &(copy, original) in &self.copies {
            let (kind, groups, kernels) = {
                let original = &found[original];
                (original.kind, original.groups, original.kernels)
            };
            let layer = &mut found[copy];
            (layer.kind, layer.groups, layer.kernels) = (kind, groups, kernels);
            layer.reason = Some(Reason::Excluded);
        }
        let warnings = self
            .copies
            .iter()
            .map(|&(copy, original)| Warning::UnequalCopy {
                name: found[copy].name.clone(),
                original: found[original].name.clone(),
            });
        warnings.collect()
    }

    /// Declared properties of a layer; none if it is not listed.
    pub fn properties_of(&self, index: usize) -> Properties {
        self.properties.get(&index).copied().unwrap_or_default()
    }
}

impl Properties {
    /// Whether kind or groups are declared.
    pub fn settles_kind(self) -> bool {
        self.kind.is_some() || self.groups.is_some()
    }

    /// The declared properties, if the weight can have them.
    fn of(
        layer: &DeclaredLayer,
        candidate: &Candidate<'_>,
        bias: Option<usize>,
    ) -> Result<Self, Contradiction> {
        let mut properties = Self {
            kind: layer.kind,
            groups: layer.groups.map(NonZeroUsize::get),
            head: layer.head,
            gate: layer.gate,
        };
        if matches!(
            candidate.layout,
            Layout::KernelsLast | Layout::Empty | Layout::ParametrisedPart
        ) {
            // Kind and groups do not apply to such extents.
            return Ok(properties);
        }
        properties.settle_groups(candidate, bias)?;
        if !candidate.linear() {
            properties.check_groups(candidate, bias)?;
        } else if let Some(groups @ 2..) = properties.groups {
            return Err(Contradiction::LinearGroups { groups });
        }
        Ok(properties)
    }

    /// Adds the groups that the kind implies; an error if the weight cannot be of that kind.
    fn settle_groups(
        &mut self,
        candidate: &Candidate<'_>,
        bias: Option<usize>,
    ) -> Result<(), Contradiction> {
        let shape = candidate.shape;
        match self.kind {
            Some(kind) if (kind == Kind::Linear) != candidate.linear() => {
                return Err(Contradiction::Rank {
                    kind,
                    shape: shape.to_vec(),
                });
            }
            Some(Kind::Pointwise) if !candidate.is_point() => {
                return Err(Contradiction::NotPointwise {
                    shape: shape.to_vec(),
                });
            }
            Some(Kind::Depthwise) => {
                if shape[1] != 1 {
                    return Err(Contradiction::NotDepthwise { reads: shape[1] });
                }
                if self.groups == Some(1) && shape[0] > 1 {
                    return Err(Contradiction::OneGroup);
                }
                self.groups = self.groups.or(Some(shape[0]));
            }
            Some(Kind::Transposed) => {
                let by_bias = bias.filter(|bias| bias.is_multiple_of(shape[1]));
                let groups = self.groups.or(by_bias.map(|bias| bias / shape[1]));
                self.groups = Some(groups.unwrap_or(1).max(1));
            }
            _ => {}
        }
        Ok(())
    }

    /// Checks the groups against a convolution's shape and bias.
    fn check_groups(
        &self,
        candidate: &Candidate<'_>,
        bias: Option<usize>,
    ) -> Result<(), Contradiction> {
        let transposed = match (self.kind, candidate.layout) {
            (Some(kind), _) => kind == Kind::Transposed,
            (None, Layout::Transposed(_)) => true,
            // Nothing is known that the groups could contradict.
            (None, Layout::Undecided | Layout::BiasMismatch(_) | Layout::Parametrised) => {
                return Ok(());
            }
            (None, _) if self.groups.is_none() => return Ok(()),
            (None, _) => false,
        };
        let groups = match (self.groups, candidate.layout) {
            (Some(groups), _) => groups,
            (None, Layout::Transposed(groups)) if transposed => groups,
            (None, _) => 1,
        };
        let (first, second) = (candidate.shape[0], candidate.shape[1]);
        if !first.is_multiple_of(groups) {
            return Err(if transposed {
                Contradiction::Inputs {
                    groups,
                    channels: first,
                }
            } else {
                Contradiction::Kernels {
                    groups,
                    kernels: first,
                }
            });
        }
        let kernels = if transposed {
            second.saturating_mul(groups)
        } else {
            first
        };
        match bias {
            Some(bias) if bias != kernels => Err(Contradiction::Bias {
                bias,
                kernels,
                transposed,
            }),
            _ => Ok(()),
        }
    }

    /// Sets the declared layout. A parametrised weight keeps its own: it cannot be merged.
    fn settle_layout(self, candidate: &mut Candidate<'_>) {
        let layout = &mut candidate.layout;
        match (*layout, self.kind, self.groups) {
            (
                Layout::KernelsLast
                | Layout::Empty
                | Layout::ParametrisedPart
                | Layout::Parametrised,
                ..,
            ) => {}
            (_, Some(Kind::Transposed), groups) => {
                *layout = Layout::Transposed(groups.unwrap_or(1))
            }
            (_, Some(_), _) => *layout = Layout::Forward,
            (Layout::Transposed(_), None, Some(groups)) => *layout = Layout::Transposed(groups),
            _ => {}
        }
    }

    /// Kind and groups as declared or, where they are not, as inferred from names and shapes.
    pub fn apply_to(self, inferred: KindAndGroups, candidate: &Candidate<'_>) -> KindAndGroups {
        if matches!(candidate.layout, Layout::KernelsLast | Layout::Empty) {
            return inferred;
        }
        let (KindAndGroups::Known(inferred_kind, _)
        | KindAndGroups::MaybeTransposed(inferred_kind)
        | KindAndGroups::MaybeGrouped {
            kind: inferred_kind,
            ..
        }) = inferred;
        match (self.kind, self.groups) {
            (None, None) => inferred,
            (kind, Some(groups)) => {
                let kind = match kind.unwrap_or(inferred_kind) {
                    Kind::Conv | Kind::Pointwise | Kind::Depthwise => {
                        if candidate.shape[1] == 1 && (groups > 1 || kind == Some(Kind::Depthwise))
                        {
                            Kind::Depthwise
                        } else {
                            dense(candidate)
                        }
                    }
                    other => other,
                };
                KindAndGroups::Known(kind, groups)
            }
            (Some(Kind::Conv | Kind::Pointwise), None) => match inferred {
                KindAndGroups::MaybeGrouped { channels, .. } if candidate.shape[1] > 1 => {
                    KindAndGroups::MaybeGrouped {
                        kind: dense(candidate),
                        channels,
                    }
                }
                KindAndGroups::Known(Kind::Conv | Kind::Pointwise, groups) => {
                    KindAndGroups::Known(dense(candidate), groups)
                }
                _ => KindAndGroups::Known(dense(candidate), 1),
            },
            (Some(kind), None) => KindAndGroups::Known(kind, 1),
        }
    }
}
