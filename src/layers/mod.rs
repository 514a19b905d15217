//! Which tensors are convolutions, of which kind, and in which depth order; which of them are merged, and why the
//! others are not.
//!
//! A safetensors file keeps neither modules nor their order: only names and shapes. [`Layers::of`] takes order, kinds and
//! groups from the first source that applies ([`Evidence`]): a list that the user gives, or one in the file's metadata; what
//! is known of the network from its library; for the depth order of a state dict, the order in which its modules were defined;
//! names and shapes, by what each layer reads and gives; and where those leave a choice that matters, a guess and a warning. Of
//! the order of a file's tensors only that of a state dict matters.
//!
//! Tensors that hold one weight under several names are one layer ([`Copies`]): one of the names stands for all.
//!
//! Depth counts convolutions from 1: pointwise, depthwise, transposed, squeeze-and-excite and head convolutions all
//! count. Where a file holds several networks (a model and its moving average, a generator and its discriminator), depth
//! starts from 1 in each, so `--skip-shallow` holds for each.

#[cfg(test)]
#[path = "../../tests/integration/layers/architectures.rs"]
mod architectures;
mod batchnorm;
mod behind;
mod candidates;
mod contradiction;
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
mod layer;
mod name;
mod near;
mod order;
mod pattern;
mod places;
mod reason;
mod roles;
mod select;
#[cfg(test)]
mod tests;
mod tree;
mod warning;
mod words;

use std::collections::{BTreeMap, HashSet};

pub use behind::{BatchNorm, Behind, NormBehind};
pub use copies::Copies;
pub use declared::{Declared, METADATA_KEY};
pub use error::Error;
pub use evidence::{Evidence, OrderSource};
pub use kind::Kind;
pub(crate) use known::Recognised;
pub use layer::Layer;
#[cfg(test)]
pub(crate) use layer::PrintedLayer;
pub use pattern::NamePattern;
pub use reason::Reason;
pub use select::Selection;
pub use warning::Warning;

use crate::checkpoint::Tensor;
use candidates::{Candidate, Companions};
use declared::Resolved;
use describe::Describer;
use known::KnownNetwork;
use order::{OrderedNetwork, networks};
use select::Globs;

/// What the order of a tensor table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TableOrder {
    /// Nothing.
    Any,
    /// In which order the modules were defined.
    Definition,
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
        let source = (tensors, TableOrder::Any);
        Self::read(source, metadata, copies, declared, selection, known::find)
    }

    /// The same for the tensors of a state dict, in its own order: that in which the modules were defined. Where the network is
    /// neither declared nor known, its layers have that order.
    ///
    /// On 144 networks (torchvision, timm, MONAI and others) of which nothing was known, the first ten convolutions were the true
    /// ones on 87 % by definition and on 78 % by names and shapes. Where the two disagree on what is shallow, a warning says so.
    pub fn of_state_dict(
        tensors: &[Tensor],
        metadata: &BTreeMap<String, String>,
        copies: &Copies,
        declared: Option<&Declared>,
        selection: &Selection,
    ) -> Result<Self, Error> {
        let source = (tensors, TableOrder::Definition);
        Self::read(source, metadata, copies, declared, selection, known::find)
    }

    /// The same with other knowledge of networks: `find_known` finds those among the candidates that it is told to look at.
    fn read(
        (tensors, table_order): (&[Tensor], TableOrder),
        metadata: &BTreeMap<String, String>,
        copies: &Copies,
        declared: Option<&Declared>,
        selection: &Selection,
        find_known: impl Fn(&[Candidate<'_>], &dyn Fn(usize) -> bool) -> Vec<KnownNetwork>,
    ) -> Result<Self, Error> {
        let globs = Globs::of(selection)?;
        let (declared, overruled) = declared::choose(declared, metadata)?;
        let declared = declared.as_deref();
        let companions = Companions::of(tensors);
        let candidates = sorted_candidates(tensors, metadata, &companions, &globs, declared)?;
        let with_linear = selection.kinds.contains(&Kind::Linear);
        let is_layer = |candidate: &Candidate<'_>| {
            candidate.is_layer() && (with_linear || !candidate.linear())
        };
        // Networks are told by all names that there are, and weights of several names are one within each.
        let split = networks::split(&candidates, |index| is_layer(&candidates[index]));
        let mut candidates = copies.fold(candidates, tensors, &split);
        let resolved = match declared {
            Some(declared) => declared.resolve(tensors, &mut candidates, &companions)?,
            None => Resolved::default(),
        };
        let unequal = resolved.copied_tensors(&candidates);
        let takes_place = |index: usize| {
            let candidate = &candidates[index];
            is_layer(candidate) && !unequal.contains(&candidate.tensor)
        };
        let known = find_known(&candidates, &takes_place);
        let members = split.among(&candidates, takes_place);
        let networks = order::order(&candidates, &companions, &known, members);

        let mut describer = Describer::new(
            tensors,
            &candidates,
            &companions,
            &known,
            &globs,
            selection,
            &resolved,
        );
        let mut found = describe(&networks, &candidates, &mut describer);
        let mut warnings = describer.warnings;
        warnings.extend(overruled);
        warnings.extend(resolved.mark_copies(&mut found));
        warnings.extend(several_networks(&networks, &candidates, split.are_copies));
        let mut in_place = match declared {
            Some(declared) => places::listed(
                declared,
                resolved.order,
                &networks,
                found,
                &candidates,
                selection,
            ),
            None => places::inferred(
                table_order,
                &networks,
                found,
                &candidates,
                &known,
                selection,
            ),
        };
        // Duplicates only hold positions in the order.
        let duplicates = candidates.iter().filter(|candidate| candidate.is_duplicate);
        let duplicates: HashSet<usize> = duplicates.map(|candidate| candidate.tensor).collect();
        in_place
            .layers
            .retain(|layer| !duplicates.contains(&layer.tensor));
        batchnorm::attach(tensors, declared, &mut in_place.layers)?;
        warnings.extend(in_place.warnings);
        warnings.extend(candidates::warnings(tensors, &candidates));
        Ok(Self {
            source: in_place.source,
            layers: in_place.layers,
            recognised: known.iter().map(KnownNetwork::recognised).collect(),
            warnings,
        })
    }

    /// The layers that are merged, in depth order.
    pub fn selected(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter().filter(|layer| layer.selected())
    }
}

/// The candidates in order of their names: from there on the file's order plays no part. Each glob must fit one of them.
fn sorted_candidates<'a>(
    tensors: &'a [Tensor],
    metadata: &BTreeMap<String, String>,
    companions: &Companions<'_>,
    globs: &Globs,
    declared: Option<&Declared>,
) -> Result<Vec<Candidate<'a>>, Error> {
    let listed = declared.into_iter().flat_map(Declared::layers);
    let listed: HashSet<&str> = listed.map(|layer| layer.name.as_str()).collect();
    let mut candidates = candidates::find(tensors, metadata, companions, &globs.include, &listed);
    let name_of = |candidate: &Candidate<'_>| tensors[candidate.tensor].name.as_str();
    candidates.sort_by_key(name_of);
    globs.require_matches(candidates.iter().map(name_of))?;
    Ok(candidates)
}

/// What is said of every candidate, network by network, and of those that have no place in any.
fn describe(
    networks: &[OrderedNetwork<'_>],
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

/// A warning where there are several networks.
fn several_networks(
    networks: &[OrderedNetwork<'_>],
    candidates: &[Candidate<'_>],
    are_copies: bool,
) -> Option<Warning> {
    let roots = own_networks(networks, candidates);
    (roots.len() > 1).then(|| Warning::Networks {
        roots: roots.into_iter().map(str::to_owned).collect(),
        are_copies,
    })
}

/// Roots of the networks that have a layer of their own: not all of them another's, as those of an average that has not moved.
fn own_networks<'n>(
    networks: &'n [OrderedNetwork<'_>],
    candidates: &[Candidate<'_>],
) -> Vec<&'n str> {
    let has_own = |network: &&OrderedNetwork<'_>| {
        let mut steps = network.steps.iter();
        steps.any(|step| !candidates[step.candidate].is_duplicate)
    };
    networks
        .iter()
        .filter(has_own)
        .map(|network| &network.root[..])
        .collect()
}
