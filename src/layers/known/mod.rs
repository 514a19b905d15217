//! Networks known from public libraries, with order, kinds and groups as their forward pass has them.
//!
//! A network is recognised by the set of its convolutions' module paths below any prefix (a known encoder in another
//! network), and by shapes that equal the known ones at some width.

mod atlas;
mod fit;

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::candidates::Candidate;
use atlas::{AtlasKind, AtlasLayer, Entry, Fingerprint};

/// Fewer layers do not identify a network: many have convolutions `0`, `2` and `4`.
const MIN_LAYERS: usize = 8;

/// Enough layers if all their names have letters and the file has no other convolutions.
const MIN_NAMED_LAYERS: usize = 3;

/// A network, or a part of one, that was recognised in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Recognised {
    /// Path of its root module, empty for the file's own.
    pub root: String,
    /// Library and model: `torchvision resnet50`. Where several models have the same layers, one of them.
    pub title: String,
    /// Number of its convolutions in the file.
    pub convolutions: usize,
}

/// A known network that was found in the file.
#[derive(Clone, Debug)]
pub(super) struct KnownNetwork {
    /// Path of its root, empty for the file's.
    pub root: String,
    pub title: String,
    /// Its layers by candidate, in order of execution; layers that the forward pass does not run come last.
    pub layers: Vec<(usize, KnownLayer)>,
}

/// What the atlas says about a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KnownLayer {
    pub is_transposed: bool,
    pub groups: usize,
    pub is_gate: bool,
    pub is_head: bool,
}

impl KnownNetwork {
    /// What the user is told about it.
    pub fn recognised(&self) -> Recognised {
        Recognised {
            root: self.root.clone(),
            title: self.title.clone(),
            convolutions: self.layers.len(),
        }
    }

    /// Whether a module is the network's root or within it.
    pub fn holds(&self, module: &str) -> bool {
        self.root.is_empty()
            || module
                .strip_prefix(&self.root[..])
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

/// The known networks among the `chosen` candidates. Of nested networks, it takes the largest.
pub(super) fn find(
    candidates: &[Candidate<'_>],
    chosen: &dyn Fn(usize) -> bool,
) -> Vec<KnownNetwork> {
    let mut members: Vec<usize> = (0..candidates.len())
        .filter(|&index| !candidates[index].linear() && chosen(index))
        .collect();
    members.sort_by_key(|&index| candidates[index].module);
    let mut found: Vec<KnownNetwork> = Vec::new();
    let mut sets: Vec<PrefixGroup<'_>> =
        prefix_groups(candidates, &members).into_values().collect();
    sets.sort_by_key(|set| (std::cmp::Reverse(set.members.len()), set.root));
    for set in sets {
        let is_inside = |network: &KnownNetwork| network.holds(set.root);
        if found.iter().any(is_inside) || !set.is_large_enough(candidates, members.len()) {
            continue;
        }
        found.extend(set.known(candidates));
    }
    found
}

/// The layers below one prefix.
struct PrefixGroup<'a> {
    root: &'a str,
    fingerprint: Fingerprint,
    /// In byte order of their module paths.
    members: Vec<usize>,
}

/// The layers below each prefix.
fn prefix_groups<'a>(
    candidates: &[Candidate<'a>],
    members: &[usize],
) -> BTreeMap<&'a str, PrefixGroup<'a>> {
    let mut sets: HashMap<&'a str, PrefixGroup<'a>> = HashMap::new();
    for &index in members {
        let module = candidates[index].module;
        let dots = module.match_indices('.').map(|(at, _)| (at, at + 1));
        for (end, start) in std::iter::once((0, 0))
            .chain(dots)
            .take(super::name::MAX_SEGMENTS)
        {
            let root = &module[..end];
            let set = sets.entry(root).or_insert_with(|| PrefixGroup {
                root,
                fingerprint: Fingerprint::default(),
                members: Vec::new(),
            });
            set.fingerprint.add(&module[start..]);
            set.members.push(index);
        }
    }
    sets.into_iter().collect()
}

impl PrefixGroup<'_> {
    fn is_large_enough(&self, candidates: &[Candidate<'_>], all: usize) -> bool {
        let count = self.members.len();
        let mut members = self.members.iter();
        count >= MIN_LAYERS
            || (count >= MIN_NAMED_LAYERS
                && count == all
                && members.all(|&index| self.has_letters(candidates, index)))
    }

    /// Whether a layer's path below the root has a letter.
    fn has_letters(&self, candidates: &[Candidate<'_>], index: usize) -> bool {
        candidates[index].module[self.root.len()..]
            .bytes()
            .any(|byte| byte.is_ascii_alphabetic())
    }

    /// The known network that these layers form; `None` also if several fit that differ in order, kinds or groups.
    fn known(&self, candidates: &[Candidate<'_>]) -> Option<KnownNetwork> {
        let extents: Vec<Vec<usize>> = self
            .members
            .iter()
            .map(|&index| candidates[index].extents())
            .collect();
        let shapes: Vec<&[usize]> = extents.iter().map(Vec::as_slice).collect();
        let entries = atlas::entries(self.fingerprint);
        let mut fitting: Vec<(&Entry, Vec<usize>)> = entries
            .iter()
            .filter_map(|entry| Some((entry, fit::groups(entry, &shapes)?)))
            .collect();
        if fitting.is_empty()
            && self
                .members
                .iter()
                .any(|index| self.has_letters(candidates, *index))
        {
            let groups = fit::groups_by_names(&entries, &shapes)?;
            fitting = entries
                .iter()
                .map(|entry| (entry, groups.clone()))
                .collect();
        }
        let read: Vec<KnownNetwork> = fitting
            .iter()
            .map(|(entry, groups)| self.network(entry, groups))
            .collect();
        let (first, others) = read.split_first()?;
        let same = |other: &KnownNetwork| other.layers == first.layers;
        if others.iter().all(same) {
            return Some(first.clone());
        }
        // Networks whose shapes are equal come before those that fit at another width.
        let is_exact = |(entry, _): &&(&Entry, Vec<usize>)| {
            let mut pairs = entry.layers.iter().zip(&shapes);
            pairs.all(|(layer, shape)| {
                (layer.at_input || layer.extents[1] == shape[1])
                    && (layer.head || layer.extents[0] == shape[0])
            })
        };
        let mut exact = fitting
            .iter()
            .filter(is_exact)
            .map(|(entry, groups)| self.network(entry, groups));
        let first = exact.next()?;
        exact
            .all(|other| other.layers == first.layers)
            .then_some(first)
    }

    fn network(&self, entry: &Entry, groups: &[usize]) -> KnownNetwork {
        let mut layers: Vec<(&AtlasLayer, usize, usize)> = entry
            .layers
            .iter()
            .zip(&self.members)
            .zip(groups)
            .map(|((layer, &index), &groups)| (layer, index, groups))
            .collect();
        layers.sort_by_key(|(layer, ..)| layer.forward_index.unwrap_or(usize::MAX));
        KnownNetwork {
            root: self.root.to_owned(),
            title: entry.title.clone(),
            layers: layers
                .into_iter()
                .map(|(layer, index, groups)| {
                    let layer = KnownLayer {
                        is_transposed: layer.kind == AtlasKind::Transposed,
                        groups,
                        is_gate: layer.gate,
                        is_head: layer.head,
                    };
                    (index, layer)
                })
                .collect(),
        }
    }
}
