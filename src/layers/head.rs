//! Heads: convolutions whose kernels are outputs (classes, boxes, an image), not features.

use super::candidates::{Candidate, Companions};
use super::name::Segment;
use super::order::Step;
use super::roles;

/// Whether the convolution at `at` of a network is a head: nothing reads or normalises what it gives, and it is the network's
/// last, or a module around it is called an output.
///
/// A name alone does not make a head: DeepLabV3's `classifier` holds its ASPP, which gives features. Where linear layers
/// follow, those are the head, unless names say otherwise.
pub(super) fn is_head(
    at: usize,
    network: &[Step],
    candidates: &[Candidate<'_>],
    companions: &Companions<'_>,
    has_linear: bool,
) -> bool {
    let step = &network[at];
    let candidate = &candidates[step.candidate];
    let is_last = !has_linear && is_last(at, network, candidates);
    let mut around = candidate.module.rsplit('.').take(3).map(Segment::parse);
    let is_called_output = around.any(|segment| roles::is_output(&segment));
    let is_named = step.in_head || (!has_linear && step.in_final) || is_called_output;
    let gives_few = candidate.out() < candidate.reads();
    let may_be = step.in_head
        || (is_named && (gives_few || is_last))
        || (is_last && gives_few && is_unlike_others(candidate, network, candidates, companions));
    may_be && !is_read(at, network, candidates) && !companions.is_normed(candidate)
}

/// Whether a convolution has a bias in a network whose others are normalised. (Where none is, a missing norm says nothing.)
fn is_unlike_others(
    candidate: &Candidate<'_>,
    network: &[Step],
    candidates: &[Candidate<'_>],
    companions: &Companions<'_>,
) -> bool {
    let mut others = network.iter().map(|step| &candidates[step.candidate]);
    companions.bias(candidate.module).is_some() && others.any(|other| companions.is_normed(other))
}

/// Whether a convolution stands in for a classifier's hidden layer (timm's VGG).
pub(super) fn is_before_logits(candidate: &Candidate<'_>) -> bool {
    candidate.module.split('.').any(|part| part == "pre_logits")
}

/// Whether no convolution follows but in heads.
fn is_last(at: usize, network: &[Step], candidates: &[Candidate<'_>]) -> bool {
    network[at + 1..]
        .iter()
        .all(|step| step.in_head || candidates[step.candidate].linear())
}

/// Whether the next convolution reads what this one gives, or a later one reads so many channels, which no other gives.
fn is_read(at: usize, network: &[Step], candidates: &[Candidate<'_>]) -> bool {
    let candidate = |step: &Step| &candidates[step.candidate];
    let out = candidate(&network[at]).out();
    let reads = |step: &Step| {
        let other = candidate(step);
        !other.linear()
            && (other.reads() == out || (other.reads() == 1 && other.shape[0] == out && out > 1))
    };
    let is_only = network[..at]
        .iter()
        .all(|step| candidate(step).out() != out);
    let behind = &network[at + 1..];
    behind.first().is_some_and(reads) || (is_only && behind.iter().any(reads))
}
