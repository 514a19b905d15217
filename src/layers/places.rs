//! Which place each layer has: the one that structure gives, with its doubts, or that of a list.

use std::collections::{HashMap, HashSet};

use super::TableOrder;
use super::candidates::Candidate;
use super::declared::Declared;
use super::doubt;
use super::evidence::{Evidence, OrderSource};
use super::kind::Kind;
use super::known::KnownNetwork;
use super::layer::Layer;
use super::order::{OrderedNetwork, run_as_known};
use super::reason::Reason;
use super::select::Selection;
use super::warning::Warning;

/// The layers in order, where that comes from, and what is to be known of it.
pub(super) struct InPlace {
    pub source: OrderSource,
    pub layers: Vec<Layer>,
    pub warnings: Vec<Warning>,
}

/// Takes the order that nobody declares: that of what is known, else of definition if the table has that, else that of names and
/// shapes. `found` are the layers by candidate.
pub(super) fn inferred(
    table_order: TableOrder,
    networks: &[OrderedNetwork<'_>],
    found: Vec<Layer>,
    candidates: &[Candidate<'_>],
    known: &[KnownNetwork],
    selection: &Selection,
) -> InPlace {
    let by_shapes = structural(networks, found.clone(), candidates, selection.skip_shallow);
    match table_order {
        TableOrder::Definition if by_shapes.source != OrderSource::Known => {
            defined(networks, found, candidates, known, selection)
        }
        _ => by_shapes,
    }
}

/// Takes the order of definition, but within a known network its own.
fn defined(
    networks: &[OrderedNetwork<'_>],
    mut found: Vec<Layer>,
    candidates: &[Candidate<'_>],
    known: &[KnownNetwork],
    selection: &Selection,
) -> InPlace {
    let mut order = Vec::new();
    for network in networks {
        let mut steps = network.steps.clone();
        steps.sort_by_key(|step| candidates[step.candidate].tensor);
        for inner in known {
            run_as_known(&mut steps, inner);
        }
        order.extend(steps.iter().map(|step| step.candidate));
    }
    for &index in &order {
        let layer = &mut found[index];
        layer.place_from = layer.place_from.min(Evidence::Definition);
    }
    let shallow = |found: &[Layer]| -> Vec<bool> {
        let depths = found.iter().map(|layer| layer.depth);
        depths
            .map(|depth| depth.is_some_and(|depth| depth <= selection.skip_shallow))
            .collect()
    };
    let by_shapes = shallow(&found);
    count_depth(&order, networks, &mut found, selection);
    let by_definition = shallow(&found);
    let moved = |into: bool| {
        let is_moved = |&index: &usize| {
            by_definition[index] == into && by_shapes[index] != into && found[index].depth.is_some()
        };
        let first = order.iter().copied().find(is_moved);
        first.map(|index| found[index].name.clone())
    };
    let doubt = moved(true).zip(moved(false));
    let doubt = doubt.map(|(before, behind)| Warning::OrderOfDefinition { before, behind });
    InPlace {
        source: OrderSource::Definition,
        warnings: doubt.into_iter().collect(),
        layers: in_order(order, found),
    }
}

/// Takes the structural order.
fn structural(
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
