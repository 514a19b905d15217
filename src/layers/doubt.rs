//! Whether a depth order that was read off names and shapes can be trusted.
//!
//! Only what can change the set of the first `--skip-shallow` layers is doubted aloud: two modules that may as well run
//! the other way round, with the cut between them; a layer before the cut that nothing feeds; a first layer that cannot
//! read an image.

use std::collections::{BTreeSet, HashSet};

use super::candidates::{Candidate, MOST_COLOURS};
use super::evidence::Evidence;
use super::kind::Kind;
use super::layer::Layer;
use super::order::{OpenOrder, OrderedNetwork};
use super::warning::Warning;

/// Sums of earlier widths that are looked at, at most: concatenations of many branches.
const MOST_SUMS: usize = 1 << 12;

/// The layers of a network whose place is a guess, by candidate.
pub(super) fn guessed(network: &OrderedNetwork<'_>) -> HashSet<usize> {
    // Where ranges begin and end, so that many that overlap cost no more than few.
    let mut edges = vec![0_isize; network.steps.len() + 1];
    for open in network.open.iter().filter(|open| !open.places.is_empty()) {
        edges[open.places.start] += 1;
        edges[open.places.end] -= 1;
    }
    let mut covered = 0;
    let is_covered = edges.into_iter().map(|edge| {
        covered += edge;
        covered > 0
    });
    let steps = network.steps.iter().zip(is_covered);
    steps
        .filter(|(_, is_covered)| *is_covered)
        .map(|(step, _)| step.candidate)
        .collect()
}

/// What of a network's order is in doubt, for a cut behind the first `shallow` layers. `layers` are by candidate.
pub(super) fn of_order(
    network: &OrderedNetwork<'_>,
    candidates: &[Candidate<'_>],
    layers: &[Layer],
    shallow: usize,
) -> Vec<Warning> {
    let mut doubts = Vec::new();
    let layer = |place: usize| &layers[network.steps[place].candidate];
    // What is known needs no evidence.
    let is_read = |place: usize| layer(place).place_from > Evidence::Known;
    let is_split = |open: &&OpenOrder<'_>| open.places.start < shallow && shallow < open.places.end;
    let mut split = network.open.iter().filter(is_split);
    if let Some(open) = split.next() {
        doubts.push(Warning::OpenOrder {
            first: open.first.to_owned(),
            second: open.second.to_owned(),
            others: split.count(),
        });
    }
    if shallow == 0 {
        return doubts;
    }
    let reads = |place: usize| candidates[network.steps[place].candidate].reads();
    let is_stem = |place: usize| {
        let layer = layer(place);
        layer.kind == Kind::Conv
            && (2..=MOST_COLOURS).contains(&reads(place))
            && layer.groups == 1
            && layer.kernels > MOST_COLOURS
    };
    let places = 0..network.steps.len();
    if let Some(first) = places
        .clone()
        .find(|&place| layer(place).kind != Kind::Linear)
    {
        let stem = places
            .clone()
            .find(|&place| place >= shallow && is_stem(place));
        if let Some(stem) = stem.filter(|_| is_read(first) && reads(first) > MOST_COLOURS) {
            doubts.push(Warning::NoStem {
                first: layer(first).name.clone(),
                stem: layer(stem).name.clone(),
            });
        }
    }
    let unfed = unfed(network, candidates, layers, shallow);
    if let Some(place) = unfed.filter(|&place| is_read(place) && doubts.is_empty()) {
        doubts.push(Warning::Unfed {
            name: layer(place).name.clone(),
            reads: reads(place),
        });
    }
    doubts
}

/// The first layer before the cut whose channels no layer before it gives, alone, together with others, or in part.
fn unfed(
    network: &OrderedNetwork<'_>,
    candidates: &[Candidate<'_>],
    layers: &[Layer],
    shallow: usize,
) -> Option<usize> {
    let mut given: Vec<usize> = Vec::new();
    let mut sums: BTreeSet<usize> = BTreeSet::from([0]);
    for (place, step) in network.steps.iter().enumerate().take(shallow) {
        let candidate = &candidates[step.candidate];
        let layer = &layers[step.candidate];
        if layer.kind == Kind::Linear {
            continue;
        }
        let reads = match layer.kind {
            Kind::Transposed => candidate.shape[0],
            _ => candidate.reads().saturating_mul(layer.groups),
        };
        let is_fed = given.is_empty()
            || reads <= MOST_COLOURS
            || sums.contains(&reads)
            // A grid of coordinates or the image comes along.
            || (1..=MOST_COLOURS).any(|more| sums.contains(&reads.wrapping_sub(more)))
            // Split, shuffled to pixels, or pixels gathered.
            || given.iter().any(|&width| {
                (width > reads && width.is_multiple_of(reads))
                    || reads == width.saturating_mul(4)
                    || reads == width.saturating_mul(8)
            });
        // Groups that cannot be told, of channels that a later layer gives: that one may run before.
        let is_given_later = || {
            layer.kind_from == Evidence::Guessed
                && network.steps[place + 1..]
                    .iter()
                    .any(|later| layers[later.candidate].kernels == candidate.reads())
                && !given.contains(&candidate.reads())
        };
        if !is_fed || is_given_later() {
            return Some(place);
        }
        given.push(layer.kernels);
        if sums.len() < MOST_SUMS {
            let more: Vec<usize> = sums
                .iter()
                .map(|sum| sum.saturating_add(layer.kernels))
                .collect();
            sums.extend(more);
        }
    }
    None
}
