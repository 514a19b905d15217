//! Whether a depth order that was inferred from names and shapes can be trusted.
//!
//! It warns only of what can change the set of the first `--skip-shallow` layers: two modules that may run in either order,
//! with the cut between them; a layer before the cut that nothing feeds; a first layer that cannot read an image.

use std::collections::{BTreeSet, HashSet};

use super::candidates::{Candidate, IMAGE_CHANNELS};
use super::evidence::Evidence;
use super::kind::Kind;
use super::layer::Layer;
use super::order::{OpenOrder, OrderedNetwork};
use super::warning::Warning;

/// Sums of earlier widths (concatenations of many branches) are tracked up to this many.
const MAX_SUMS: usize = 1 << 12;

/// Candidates of a network whose position is a guess.
pub(super) fn guessed(network: &OrderedNetwork<'_>) -> HashSet<usize> {
    // Counting the edges of ranges keeps this linear however many of them overlap.
    let mut edges = vec![0_isize; network.steps.len() + 1];
    for open in network.open.iter().filter(|open| !open.range.is_empty()) {
        edges[open.range.start] += 1;
        edges[open.range.end] -= 1;
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

/// Warnings about a network's order, for a cut after the first `shallow` layers. `layers` is indexed by candidate.
pub(super) fn of_order(
    network: &OrderedNetwork<'_>,
    candidates: &[Candidate<'_>],
    layers: &[Layer],
    shallow: usize,
) -> Vec<Warning> {
    let mut doubts = Vec::new();
    let layer = |at: usize| &layers[network.steps[at].candidate];
    // A known or declared order needs no evidence.
    let is_read = |at: usize| layer(at).place_from > Evidence::Known;
    let is_split = |open: &&OpenOrder<'_>| open.range.start < shallow && shallow < open.range.end;
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
    let reads = |at: usize| candidates[network.steps[at].candidate].reads();
    let is_stem = |at: usize| {
        let layer = layer(at);
        layer.kind == Kind::Conv
            && (2..=IMAGE_CHANNELS).contains(&reads(at))
            && layer.groups == 1
            && layer.kernels > IMAGE_CHANNELS
    };
    let all = 0..network.steps.len();
    if let Some(first) = all.clone().find(|&at| layer(at).kind != Kind::Linear) {
        let stem = all.clone().find(|&at| at >= shallow && is_stem(at));
        if let Some(stem) = stem.filter(|_| is_read(first) && reads(first) > IMAGE_CHANNELS) {
            doubts.push(Warning::NoStem {
                first: layer(first).name.clone(),
                stem: layer(stem).name.clone(),
            });
        }
    }
    let unfed = unfed(network, candidates, layers, shallow);
    if let Some(at) = unfed.filter(|&at| is_read(at) && doubts.is_empty()) {
        doubts.push(Warning::Unfed {
            name: layer(at).name.clone(),
            reads: reads(at),
        });
    }
    doubts
}

/// The first layer before the cut that reads channels that no earlier layers output, alone, together, or in part.
fn unfed(
    network: &OrderedNetwork<'_>,
    candidates: &[Candidate<'_>],
    layers: &[Layer],
    shallow: usize,
) -> Option<usize> {
    let mut given: Vec<usize> = Vec::new();
    let mut sums: BTreeSet<usize> = BTreeSet::from([0]);
    for (at, step) in network.steps.iter().enumerate().take(shallow) {
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
            || reads <= IMAGE_CHANNELS
            || sums.contains(&reads)
            // Coordinates or the image are concatenated.
            || (1..=IMAGE_CHANNELS).any(|more| sums.contains(&reads.wrapping_sub(more)))
            // A split, a pixel shuffle, or the inverse of one.
            || given.iter().any(|&width| {
                (width > reads && width.is_multiple_of(reads))
                    || reads == width.saturating_mul(4)
                    || reads == width.saturating_mul(8)
            });
        // Its groups are a guess, and a later layer outputs what it reads: that layer may run first.
        let is_given_later = || {
            layer.kind_from == Evidence::Guessed
                && network.steps[at + 1..]
                    .iter()
                    .any(|later| layers[later.candidate].kernels == candidate.reads())
                && !given.contains(&candidate.reads())
        };
        if !is_fed || is_given_later() {
            return Some(at);
        }
        given.push(layer.kernels);
        if sums.len() < MAX_SUMS {
            let more: Vec<usize> = sums
                .iter()
                .map(|sum| sum.saturating_add(layer.kernels))
                .collect();
            sums.extend(more);
        }
    }
    None
}
