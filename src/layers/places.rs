//! Which place each layer has: the one that structure gives, with its doubts, or that of a list.

use std::collections::{HashMap, HashSet};

use super::candidates::Candidate;
use super::declared::Declared;
use super::doubt;
use super::evidence::{Evidence, OrderSource};
use super::kind::Kind;
use super::layer::Layer;
use super::order::OrderedNetwork;
use super::reason::Reason;
use super::select::Selection;
use super::warning::Warning;

/// The layers in order, where that comes from, and what is to be known of it.
pub(super) struct InPlace {
    pub source: OrderSource,
    pub layers: Vec<Layer>,
    pub warnings: Vec<Warning>,
}

/// Takes the structural order. `found` are the layers by candidate.
pub(super) fn structural(
    networks: &[OrderedNetwork<'_>],
    mut found: Vec<Layer>,
    candidates: &[Candidate<'_>],
    skip_shallow: usize,
) -> InPlace {
    for index in networks.iter().flat_map(doubt::guessed) {
        let layer = &mut found[index];
        layer.place_from = layer.place_from.max(Evidence::Guessed);
    }
    let warnings: Vec<Warning> = networks
        .iter()
        .flat_map(|network| doubt::of_order(network, candidates, &found, skip_shallow))
        .collect();
    let mut places = found.iter().filter(|layer| layer.depth.is_some());
    let source = if !warnings.is_empty() {
        OrderSource::Natural
    } else if places.all(|layer| layer.place_from == Evidence::Known) {
        OrderSource::Known
    } else {
        OrderSource::Structure
    };
    InPlace {
        source,
        layers: in_order(in_networks(networks), found),
        warnings,
    }
}

/// Takes a listed order, given by candidate; convolutions it leaves out follow in structural order. `found` are the layers by
/// candidate.
pub(super) fn listed(
    declared: &Declared,
    listed: Vec<usize>,
    networks: &[OrderedNetwork<'_>],
    mut found: Vec<Layer>,
    candidates: &[Candidate<'_>],
    selection: &Selection,
) -> InPlace {
    let taken: HashSet<usize> = listed.iter().copied().collect();
    let mut left = in_networks(networks);
    left.retain(|index| !taken.contains(index));
    let mut forgotten = left
        .iter()
        .filter(|&&index| !candidates[index].is_duplicate);
    let incomplete = forgotten.next().map(|&first| Warning::OrderIncomplete {
        origin: declared.origin(),
        first: found[first].name.clone(),
        count: 1 + forgotten.count(),
    });
    for &index in &listed {
        found[index].place_from = Evidence::Declared;
    }
    let order: Vec<usize> = listed.into_iter().chain(left).collect();
    count_depth(&order, networks, &mut found, selection);
    InPlace {
        source: declared.source(),
        layers: in_order(order, found),
        warnings: incomplete.into_iter().collect(),
    }
}

/// Counts depth anew along an order, from 1 in each network.
fn count_depth(
    order: &[usize],
    networks: &[OrderedNetwork<'_>],
    found: &mut [Layer],
    selection: &Selection,
) {
    let mut network_of: HashMap<usize, usize> = HashMap::new();
    for (number, network) in networks.iter().enumerate() {
        let steps = network.steps.iter();
        network_of.extend(steps.map(|step| (step.candidate, number)));
    }
    let mut depths: HashMap<Option<&usize>, usize> = HashMap::new();
    for index in order {
        let layer = &mut found[*index];
        if layer.kind == Kind::Linear && !selection.kinds.contains(&Kind::Linear) {
            continue;
        }
        let depth = depths.entry(network_of.get(index)).or_default();
        *depth += 1;
        layer.depth = Some(*depth);
        if matches!(layer.reason, None | Some(Reason::Shallow)) {
            layer.reason = (*depth <= selection.skip_shallow).then_some(Reason::Shallow);
        }
    }
}

/// The candidates network by network, in depth order.
fn in_networks(networks: &[OrderedNetwork<'_>]) -> Vec<usize> {
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
    layers.sort_by_key(|layer| layer.depth.is_none());
    layers
}
