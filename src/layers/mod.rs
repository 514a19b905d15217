//! Which tensors are convolutions, of which kind, and in which depth order; which of them are merged, and why the
//! others are not.
//!
//! A safetensors file keeps neither modules nor their order: only names and shapes. [`Layers::of`] takes order, kinds and
//! groups from the first source that applies ([`Evidence`]): a list that the user gives, or one in the file's metadata; what
//! is known of the network from its library; names and shapes, by what each layer reads and gives; and where those leave a
//! choice that matters, a guess and a warning. The result depends on the set of tensors only, never on their order in the
//! file.
//!
//! Tensors that hold one weight under several names are one layer ([`Copies`]): one of the names stands for all.
//!
//! Depth counts convolutions from 1: pointwise, depthwise, transposed, squeeze-and-excite and head convolutions all
//! count. Where a file holds several networks (a model and its moving average, a generator and its discriminator), depth
//! starts from 1 in each, so `--skip-shallow` holds for each.

#[cfg(test)]
#[path = "../../tests/integration/layers/architectures.rs"]
mod architectures;
mod candidates;
mod copies;
mod declared;
mod describe;
mod doubt;
mod error;
mod evidence;
mod gate;
mod groups;
mod head;
mod kind;
mod known;
mod name;
mod order;
mod pattern;
mod reason;
mod roles;
mod select;
#[cfg(test)]
mod tests;
mod tree;
mod warning;

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

pub use copies::Copies;
pub use declared::{Contradiction, Declared, DeclaredLayer, METADATA_KEY};
pub use error::Error;
pub use evidence::Evidence;
pub use kind::Kind;
pub use order::OrderSource;
pub use pattern::NamePattern;
pub use reason::Reason;
pub use select::Selection;
pub use warning::Warning;

use crate::checkpoint::Tensor;
use candidates::{Candidate, Companions};
use describe::Describer;
use known::{KnownLayer, KnownNetwork};
use order::structure::Network;
use select::Globs;

/// A layer of the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Name of its weight. Where several tensors hold it, the name of the fewest segments stands for all, and the first in
    /// natural order among those.
    pub name: String,
    /// The other names of its weight, in byte order.
    pub copies: Vec<String>,
    /// Index of its weight in the tensor table.
    pub tensor: usize,
    /// The same of each of its copies.
    pub copy_tensors: Vec<usize>,
    /// Its sort.
    pub kind: Kind,
    /// Groups of its input channels; kernels of different groups read different channels.
    pub groups: usize,
    /// Its place among the convolutions of its network, from 1; `None` for linear layers that were not asked for
    /// and for the further parts of parametrised weights.
    pub depth: Option<usize>,
    /// Number of kernels: output channels.
    pub kernels: usize,
    /// Shape of its weight.
    pub shape: Vec<usize>,
    /// Whether the weight's last axis is that of the input channels, as MLX lays weights out: `[out, k…, in/groups]`.
    pub channels_last: bool,
    /// Why it is not merged; `None` if it is.
    pub reason: Option<Reason>,
    /// Path of the network it belongs to, where the file holds several.
    pub network: Option<String>,
    /// Where its place comes from.
    pub place_from: Evidence,
    /// Where its kind and groups come from.
    pub kind_from: Evidence,
}

impl Layer {
    /// All names of its weight, the one that stands for it first.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        let copies = self.copies.iter().map(String::as_str);
        std::iter::once(&self.name[..]).chain(copies)
    }

    /// Whether its kernels are merged.
    pub fn selected(&self) -> bool {
        self.reason.is_none()
    }
}

/// A network of the file, or a part of one, that is known from its library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recognised {
    /// Path of its root module, empty for the file's own.
    pub root: String,
    /// Library and model: `torchvision resnet50`. Where several models have the same layers, one of them.
    pub title: String,
    /// How many of the file's convolutions are its.
    pub convolutions: usize,
}

/// The layers of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layers {
    /// Where their order came from.
    pub source: OrderSource,
    /// In depth order, network by network where there are several; those without a depth last.
    pub layers: Vec<Layer>,
    /// What of the file is known from its library.
    pub recognised: Vec<Recognised>,
    /// What the user should know.
    pub warnings: Vec<Warning>,
}

impl Layers {
    /// Read the layers of a tensor table.
    ///
    /// `metadata` is the file's `__metadata__`, whose list is used where the user has `declared` none. Depth starts from 1 in
    /// each of several networks, whatever list there is.
    ///
    /// Tensors that `copies` puts together are one layer. A glob or a list may call it by any of their names.
    pub fn of(
        tensors: &[Tensor],
        metadata: &BTreeMap<String, String>,
        copies: &Copies,
        declared: Option<&Declared>,
        selection: &Selection,
    ) -> Result<Self, Error> {
        Self::read(tensors, metadata, copies, declared, selection, known::find)
    }

    /// The same with other knowledge of networks: `find_known` finds those among the candidates that it is told to look at.
    fn read(
        tensors: &[Tensor],
        metadata: &BTreeMap<String, String>,
        copies: &Copies,
        declared: Option<&Declared>,
        selection: &Selection,
        find_known: impl Fn(&[Candidate<'_>], &dyn Fn(usize) -> bool) -> Vec<KnownNetwork>,
    ) -> Result<Self, Error> {
        let globs = Globs::of(selection)?;
        let (declared, overruled) = declared::choose(declared, metadata)?;
        let companions = Companions::of(tensors);
        let listed = declared.iter().flat_map(|list| list.layers());
        let listed: HashSet<&str> = listed.map(|layer| layer.name.as_str()).collect();
        let mut candidates =
            candidates::find(tensors, metadata, &companions, &globs.include, &listed);
        // In order of their names: from here on the file's order plays no part.
        candidates.sort_by(|a, b| tensors[a.tensor].name.cmp(&tensors[b.tensor].name));
        let name_of = |candidate: &Candidate<'_>| tensors[candidate.tensor].name.as_str();
        globs.require_matches(candidates.iter().map(name_of))?;
        let with_linear = selection.kinds.contains(&Kind::Linear);
        let is_layer = |candidate: &Candidate<'_>| {
            candidate.has_place() && (with_linear || !candidate.linear())
        };
        // Networks are told by all names that there are, and weights of several names are one within each.
        let split = order::networks::split(&candidates, |index| is_layer(&candidates[index]));
        let mut candidates = copies.fold(candidates, tensors, &split);

        let resolved = declared
            .as_ref()
            .map(|declared| declared.resolve(tensors, &mut candidates, &companions));
        let resolved = resolved.transpose()?.unwrap_or_default();
        let unequal = resolved.copied_tensors(&candidates);
        let takes_place = |index: usize| {
            let candidate: &Candidate<'_> = &candidates[index];
            is_layer(candidate) && !unequal.contains(&candidate.tensor)
        };
        let known = find_known(&candidates, &takes_place);
        let facts: HashMap<usize, KnownLayer> = known
            .iter()
            .flat_map(|network| network.layers.clone())
            .collect();
        let networks = split.among(&candidates, takes_place);
        let are_copies = split.are_copies;
        let networks = order::structure::order(&candidates, &companions, &known, networks);

        let mut describer = Describer::new(
            tensors,
            &candidates,
            &companions,
            &facts,
            &globs,
            selection,
            &resolved,
        );
        let mut found = describe(&networks, &candidates, &mut describer);
        let unequal = resolved.mark_copies(&mut found);
        let mut model = Self {
            source: OrderSource::Structure,
            layers: Vec::new(),
            recognised: known.iter().map(KnownNetwork::recognised).collect(),
            warnings: describer.warnings,
        };
        model.warnings.extend(overruled);
        model.warnings.extend(unequal);
        let roots = own_networks(&networks, &candidates);
        if roots.len() > 1 {
            model.warnings.push(Warning::Networks {
                roots: roots.into_iter().map(str::to_owned).collect(),
                are_copies,
            });
        }
        match declared {
            Some(declared) => {
                model.source = declared.source();
                model.adopt(
                    declared.origin(),
                    resolved.order,
                    &networks,
                    found,
                    &candidates,
                    selection,
                );
            }
            None => model.follow(&networks, found, &candidates, selection),
        }
        // Twins stand for places only.
        let twins: HashSet<usize> = candidates
            .iter()
            .filter(|candidate| candidate.is_twin)
            .map(|candidate| candidate.tensor)
            .collect();
        model.layers.retain(|layer| !twins.contains(&layer.tensor));
        let left_alone = candidates::warnings(tensors, &candidates);
        model.warnings.extend(left_alone);
        Ok(model)
    }

    /// The layers that are merged, in depth order.
    pub fn selected(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter().filter(|layer| layer.selected())
    }

    /// Take the structural order.
    fn follow(
        &mut self,
        networks: &[Network<'_>],
        mut found: Vec<Layer>,
        candidates: &[Candidate<'_>],
        selection: &Selection,
    ) {
        for network in networks {
            for index in doubt::guessed(network) {
                let layer: &mut Layer = &mut found[index];
                layer.place_from = layer.place_from.max(Evidence::Guessed);
            }
        }
        let doubts = networks.iter().flat_map(|network| {
            doubt::of_order(network, candidates, &found, selection.skip_shallow)
        });
        let doubts: Vec<Warning> = doubts.collect();
        let mut places = found.iter().filter(|layer| layer.depth.is_some());
        if !doubts.is_empty() {
            self.source = OrderSource::Natural;
        } else if places.all(|layer| layer.place_from == Evidence::Known) {
            self.source = OrderSource::Known;
        }
        self.warnings.extend(doubts);
        self.layers = in_order(structural(networks), found);
    }

    /// Take a listed order; convolutions it leaves out follow in structural order.
    fn adopt(
        &mut self,
        origin: &'static str,
        listed: Vec<usize>,
        networks: &[Network<'_>],
        mut found: Vec<Layer>,
        candidates: &[Candidate<'_>],
        selection: &Selection,
    ) {
        let taken: HashSet<usize> = listed.iter().copied().collect();
        let left: Vec<usize> = structural(networks)
            .into_iter()
            .filter(|index| !taken.contains(index))
            .collect();
        let mut forgotten = left.iter().filter(|&&index| !candidates[index].is_twin);
        if let Some(&first) = forgotten.next() {
            self.warnings.push(Warning::OrderIncomplete {
                origin,
                first: found[first].name.clone(),
                count: 1 + forgotten.count(),
            });
        }
        for &index in &listed {
            found[index].place_from = Evidence::Declared;
        }
        let order: Vec<usize> = listed.into_iter().chain(left).collect();
        let network_of: HashMap<usize, usize> = networks
            .iter()
            .enumerate()
            .flat_map(|(number, network)| {
                network
                    .steps
                    .iter()
                    .map(move |step| (step.candidate, number))
            })
            .collect();
        let mut depths: HashMap<Option<&usize>, usize> = HashMap::new();
        for &index in &order {
            let layer = &mut found[index];
            if layer.kind == Kind::Linear && !selection.kinds.contains(&Kind::Linear) {
                continue;
            }
            let depth = depths.entry(network_of.get(&index)).or_default();
            *depth += 1;
            let depth = *depth;
            layer.depth = Some(depth);
            if matches!(layer.reason, None | Some(Reason::Shallow)) {
                layer.reason = (depth <= selection.skip_shallow).then_some(Reason::Shallow);
            }
        }
        self.layers = in_order(order, found);
    }
}

/// What is said of every candidate, network by network, and of those that have no place in any.
fn describe(
    networks: &[Network<'_>],
    candidates: &[Candidate<'_>],
    describer: &mut Describer<'_>,
) -> Vec<Layer> {
    let is_one = own_networks(networks, candidates).len() < 2;
    let mut found: Vec<Option<Layer>> = vec![None; candidates.len()];
    for network in networks {
        let name = (!is_one).then(|| network.root.clone());
        for (step, layer) in network.steps.iter().zip(describer.network(&network.steps)) {
            found[step.candidate] = Some(Layer {
                network: name.clone(),
                ..layer
            });
        }
    }
    let found = found.into_iter().enumerate();
    found
        .map(|(index, layer)| layer.unwrap_or_else(|| describer.outside(index)))
        .collect()
}

/// Roots of the networks that have a layer of their own: not all of them another's, as those of an average that has not moved.
fn own_networks<'n>(networks: &'n [Network<'_>], candidates: &[Candidate<'_>]) -> Vec<&'n str> {
    let has_own = |network: &&Network<'_>| {
        let mut steps = network.steps.iter();
        steps.any(|step| !candidates[step.candidate].is_twin)
    };
    networks
        .iter()
        .filter(has_own)
        .map(|network| &network.root[..])
        .collect()
}

/// The candidates network by network, in depth order.
fn structural(networks: &[Network<'_>]) -> Vec<usize> {
    let steps = networks.iter().flat_map(|network| &network.steps);
    steps.map(|step| step.candidate).collect()
}

/// `found` in the given order, layers without a depth last.
fn in_order(order: Vec<usize>, found: Vec<Layer>) -> Vec<Layer> {
    let mut found: Vec<Option<Layer>> = found.into_iter().map(Some).collect();
    let mut layers: Vec<Layer> = order
        .into_iter()
        .filter_map(|index| found[index].take())
        .collect();
    layers.extend(found.into_iter().flatten());
    let (mut deep, last): (Vec<Layer>, Vec<Layer>) =
        layers.into_iter().partition(|layer| layer.depth.is_some());
    deep.extend(last);
    deep
}
