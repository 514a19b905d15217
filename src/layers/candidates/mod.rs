//! Which tensors are the weights of layers.

mod adapters;
mod axes;
mod candidate;
mod companions;
mod layout;
mod parametrised;
mod tables;
mod unnamed;

use std::collections::{BTreeMap, HashSet};

use crate::checkpoint::{Dtype, Tensor};

use super::pattern::NamePattern;
use super::warning::Warning;
use axes::Axes;
pub(super) use candidate::{Candidate, IMAGE_CHANNELS, Layout};
pub(super) use companions::Companions;
use tables::Tables;

/// Whether quantised weights are stored in this type; other types hold indices or flags.
fn is_quantised(dtype: Dtype) -> bool {
    matches!(
        dtype,
        Dtype::I8
            | Dtype::U8
            | Dtype::F4
            | Dtype::F6_E2M3
            | Dtype::F6_E3M2
            | Dtype::F8_E4M3
            | Dtype::F8_E4M3FNUZ
            | Dtype::F8_E5M2
            | Dtype::F8_E5M2FNUZ
    )
}

/// Finds the candidates. These are
///
/// - a float tensor of rank 2 to 5 named `*.weight` (or just `weight`), or one of rank 3 to 5 in a type of 8 bits or fewer;
/// - the parts of a parametrised weight and the factors of adapters;
/// - a float tensor of rank 3 to 5 that an `--include` glob names, and one of rank 2 to 5 that is `listed` by its name.
///
/// `metadata` is the file's: it may name a format with another order of axes.
pub(super) fn find<'a>(
    tensors: &'a [Tensor],
    metadata: &BTreeMap<String, String>,
    companions: &Companions<'_>,
    include: &[NamePattern],
    listed: &HashSet<&str>,
) -> Vec<Candidate<'a>> {
    let tables = Tables::of(tensors, companions);
    let mut found = Vec::new();
    let mut open = Vec::new();
    for (index, tensor) in tensors.iter().enumerate() {
        if !(2..=5).contains(&tensor.rank()) {
            continue;
        }
        let is_float = tensor.float_type().is_some();
        let (module, last) = tensor.name.rsplit_once('.').unwrap_or(("", &tensor.name));
        let shape = tensor.shape.as_slice();
        let candidate = |module, layout| Candidate {
            tensor: index,
            module,
            shape,
            layout,
            copies: Vec::new(),
            is_duplicate: false,
        };
        let is_listed = is_float && listed.contains(tensor.name.as_str());
        if adapters::is_factor(&tensor.name) {
            found.push(candidate(module, Layout::Adapter));
        } else if last == "weight" {
            let module = adapters::wrapped(module);
            let is_stored = is_float || (shape.len() >= 3 && is_quantised(tensor.dtype));
            if is_listed || (is_stored && !tables.contain(module, shape)) {
                open.push((index, module, true));
            }
        } else if let Some((module, layout)) = parametrised::part(&tensor.name) {
            if is_float {
                found.push(candidate(module, layout));
            }
        } else if is_listed
            || (is_float
                && shape.len() >= 3
                && include.iter().any(|pattern| pattern.matches(&tensor.name)))
        {
            open.push((index, tensor.name.as_str(), false));
        }
    }
    // All weights of the file together tell the order of the axes.
    let shapes: Vec<&[usize]> = open
        .iter()
        .filter(|(index, ..)| tensors[*index].rank() >= 3)
        .map(|&(index, ..)| tensors[index].shape.as_slice())
        .collect();
    let axes = Axes::of(&shapes, metadata);
    found.extend(open.into_iter().map(|(index, module, named)| {
        let tensor = &tensors[index];
        let layout = if named {
            layout::layout(tensor, module, companions, &axes)
        } else {
            layout::included(tensor, companions, &axes)
        };
        Candidate {
            tensor: index,
            module,
            shape: &tensor.shape,
            layout,
            copies: Vec::new(),
            is_duplicate: false,
        }
    }));
    found
}

/// Warnings about candidates that are left alone and about tensors that may be layers of another name: one per sort.
pub(super) fn warnings(tensors: &[Tensor], candidates: &[Candidate<'_>]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    // The candidates are sorted by name.
    let mut warn = |is_one: &dyn Fn(&Candidate<'_>) -> bool,
                    warning: &dyn Fn(String, usize) -> Warning| {
        let mut all = candidates.iter().filter(|candidate| is_one(candidate));
        if let Some(first) = all.next() {
            let name = tensors[first.tensor].name.clone();
            warnings.push(warning(name, all.count()));
        }
    };
    warn(
        &|candidate| candidate.layout == Layout::Adapter,
        &|name, others| Warning::Adapter { name, others },
    );
    warn(
        &|candidate| candidate.layout == Layout::KernelsLast,
        &|name, others| Warning::KernelsLast { name, others },
    );
    warn(
        &|candidate| candidate.layout == Layout::ChannelsLast { certain: false },
        &|name, others| Warning::ChannelsLast { name, others },
    );
    let dtype = |candidate: &Candidate<'_>| tensors[candidate.tensor].dtype;
    let stored = |candidate: &Candidate<'_>| candidate.is_layer() && is_quantised(dtype(candidate));
    let mut dtypes: Vec<Dtype> = candidates
        .iter()
        .filter(|candidate| stored(candidate))
        .map(dtype)
        .collect();
    dtypes.sort_unstable();
    dtypes.dedup();
    for own in dtypes {
        warn(
            &|candidate| stored(candidate) && dtype(candidate) == own,
            &|name, others| Warning::StoredAs {
                name,
                dtype: own,
                others,
            },
        );
    }
    warnings.extend(unnamed::warning(tensors, candidates));
    warnings
}
