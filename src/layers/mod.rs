//! Which tensors are convolutions, of which kind, and in which depth order; which of them are merged, and why the
//! others are not.
//!
//! A safetensors file keeps neither modules nor their order: only names and shapes. [`Layers::of`] reads the order
//! from the first source that applies: the file's metadata, a list the user gives, or the structure of names and
//! shapes; where that leaves something open, natural order and a warning. The result depends on the set of tensors
//! only, never on their order in the file.
//!
//! Tensors that hold one weight under several names are one layer ([`Copies`]): one of the names stands for all.
//!
//! Depth counts convolutions from 1: pointwise, depthwise, transposed, squeeze-and-excite and head convolutions all
//! count. Where a file holds one network several times (a model and its moving average, a chain of two U-Nets),
//! depth starts from 1 in each, so `--skip-shallow` holds for each.

mod candidates;
mod copies;
mod describe;
mod error;
mod gate;
mod groups;
mod kind;
mod name;
mod order;
mod pattern;
mod reason;
mod roles;
mod select;
mod tree;
mod warning;

use std::collections::{BTreeMap, HashMap, HashSet};

pub use copies::Copies;
pub use error::Error;
pub use kind::Kind;
pub use order::OrderSource;
pub use order::explicit::{METADATA_KEY, parse_order};
pub use pattern::NamePattern;
pub use reason::Reason;
pub use select::Selection;
pub use warning::Warning;

use crate::checkpoint::Tensor;
use candidates::{Candidate, Companions, Layout};
use describe::Describer;
use order::structure::Structure;
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
    /// Why it is not merged; `None` if it is.
    pub reason: Option<Reason>,
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

/// The layers of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layers {
    /// Where their order came from.
    pub source: OrderSource,
    /// In depth order (network by network where there are copies); those without a depth last.
    pub layers: Vec<Layer>,
    /// What the user should know.
    pub warnings: Vec<Warning>,
}

impl Layers {
    /// Read the layers of a tensor table.
    ///
    /// `metadata` is the file's `__metadata__`; `order` the names of an `--order` file (see [`parse_order`]), used
    /// where the metadata holds no list. A list counts depth through the whole file, several networks included.
    ///
    /// Tensors that `copies` puts together are one layer. A glob or a list may call it by any of their names.
    pub fn of(
        tensors: &[Tensor],
        metadata: &BTreeMap<String, String>,
        copies: &Copies,
        order: Option<&[String]>,
        selection: &Selection,
    ) -> Result<Self, Error> {
        let globs = Globs::of(selection)?;
        let companions = Companions::of(tensors);
        let mut candidates = candidates::find(tensors, &companions, &globs.include);
        // In order of their names: from here on the file's order plays no part.
        candidates.sort_by(|a, b| tensors[a.tensor].name.cmp(&tensors[b.tensor].name));
        let name_of = |candidate: &Candidate<'_>| tensors[candidate.tensor].name.as_str();
        globs.require_matches(candidates.iter().map(name_of))?;
        let candidates = copies.fold(candidates, tensors);

        let given = match (order::explicit::from_metadata(metadata), order) {
            (Ok(Some(names)), _) => {
                Some(("metadata `inmerge.layers`", OrderSource::Metadata, names))
            }
            // A list that cannot be read does not apply.
            (_, Some(names)) => Some((error::ORDER_FLAG, OrderSource::File, names.to_vec())),
            (Ok(None), None) => None,
            (Err(error), None) => return Err(error),
        };
        let indices: HashMap<&str, usize> = candidates
            .iter()
            .enumerate()
            .flat_map(|(index, candidate)| {
                let names = std::iter::once(&candidate.tensor).chain(&candidate.copies);
                names.map(move |&tensor| (tensors[tensor].name.as_str(), index))
            })
            .collect();
        let listed = match &given {
            Some((origin, _, names)) => {
                order::explicit::resolve(origin, names, &indices, |name| {
                    tensors.iter().any(|tensor| tensor.name == name)
                })?
            }
            None => Vec::new(),
        };
        let with_linear = selection.kinds.contains(&Kind::Linear);
        let structure = order::structure::order(&candidates, &companions, |candidate| {
            candidate.layout != Layout::Part && (with_linear || !candidate.linear())
        });

        let mut describer = Describer::new(
            tensors,
            &candidates,
            &companions,
            &globs,
            selection,
            &listed,
        );
        let mut found: Vec<Option<Layer>> = vec![None; candidates.len()];
        for network in &structure.networks {
            for (step, layer) in network.iter().zip(describer.network(network)) {
                found[step.candidate] = Some(layer);
            }
        }
        let found: Vec<Layer> = found
            .into_iter()
            .enumerate()
            .map(|(index, layer)| layer.unwrap_or_else(|| describer.outside(index)))
            .collect();
        let mut model = Self {
            source: OrderSource::Structure,
            layers: Vec::new(),
            warnings: describer.warnings,
        };
        match given {
            Some((origin, source, _)) => {
                if source == OrderSource::Metadata && order.is_some() {
                    model.warnings.push(Warning::OrderOverruled);
                }
                model.source = source;
                model.adopt(origin, listed, &structure, found, selection);
            }
            None => model.follow(structure, found),
        }
        Ok(model)
    }

    /// The layers that are merged, in depth order.
    pub fn selected(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter().filter(|layer| layer.selected())
    }

    /// Take the structural order.
    fn follow(&mut self, structure: Structure, found: Vec<Layer>) {
        if let Some((module, others)) = structure.unsure.split_first() {
            self.source = OrderSource::Natural;
            self.warnings.push(Warning::NaturalOrder {
                module: module.clone(),
                others: others.len(),
            });
        }
        if !structure.copies.is_empty() {
            self.warnings.push(Warning::Copies {
                modules: structure.copies.clone(),
            });
        }
        self.layers = in_order(structural(&structure), found);
    }

    /// Take a listed order; convolutions it leaves out follow in structural order.
    fn adopt(
        &mut self,
        origin: &'static str,
        listed: Vec<usize>,
        structure: &Structure,
        mut found: Vec<Layer>,
        selection: &Selection,
    ) {
        let taken: HashSet<usize> = listed.iter().copied().collect();
        let left: Vec<usize> = structural(structure)
            .into_iter()
            .filter(|index| !taken.contains(index))
            .collect();
        if let Some(&first) = left.first() {
            self.warnings.push(Warning::OrderIncomplete {
                origin,
                first: found[first].name.clone(),
                count: left.len(),
            });
        }
        let order: Vec<usize> = listed.into_iter().chain(left).collect();
        let mut depth = 0;
        for &index in &order {
            let layer = &mut found[index];
            if layer.kind == Kind::Linear && !selection.kinds.contains(&Kind::Linear) {
                continue;
            }
            depth += 1;
            layer.depth = Some(depth);
            if matches!(layer.reason, None | Some(Reason::Shallow)) {
                layer.reason = (depth <= selection.skip_shallow).then_some(Reason::Shallow);
            }
        }
        self.layers = in_order(order, found);
    }
}

fn structural(structure: &Structure) -> Vec<usize> {
    structure
        .networks
        .iter()
        .flatten()
        .map(|step| step.candidate)
        .collect()
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
