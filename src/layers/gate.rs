//! Squeeze-and-excite gates and their like.

use super::candidates::Candidate;
use super::name::Segment;
use super::order::Step;
use super::roles;

/// Whether the layer at `at` of a network is part of a gate on channels. Three signs are taken:
///
/// - a module around it says so (`se`, `squeeze_excitation`, `eca`), and it is a 1×1 convolution or one over channels;
/// - it is called `fc` and stands in a module called `attn` (timm's ESE);
/// - it is one of a pair of 1×1 convolutions called `fc…` in one module, or numbered in an `nn.Sequential`, of which the
///   first narrows and the second widens back (torchvision's `block.2.fc1`, `block.2.fc2`, RCAN's `conv_du.0`,
///   `conv_du.2`; an MLP widens first, and a bottleneck has a convolution in space between).
pub(super) fn is_gate(at: usize, candidates: &[Candidate<'_>], network: &[Step]) -> bool {
    let step = &network[at];
    let candidate = &candidates[step.candidate];
    if candidate.linear() {
        return step.in_gate;
    }
    let over_channels =
        candidate.shape.len() == 3 && candidate.reads() == 1 && candidate.out() == 1;
    if over_channels || !candidate.is_point() {
        return over_channels && (step.in_gate || in_attention(candidate));
    }
    if step.in_gate || (in_attention(candidate) && is_fc(candidate)) {
        return true;
    }
    let narrows = candidate.out() < candidate.reads();
    let other = if narrows {
        network.get(at + 1)
    } else {
        at.checked_sub(1).and_then(|before| network.get(before))
    };
    let is_other = |other: &Candidate<'_>| {
        other.shape.len() == candidate.shape.len()
            && other.is_point()
            && other.reads() == candidate.out()
            && other.out() == candidate.reads()
            && other.reads() != other.out()
            && parent(other) == parent(candidate)
            && (is_fc(other) || is_numbered(other))
    };
    !step.in_head
        && (is_fc(candidate) || is_numbered(candidate))
        && other.is_some_and(|other| is_other(&candidates[other.candidate]))
}

fn parent<'a>(candidate: &Candidate<'a>) -> &'a str {
    candidate
        .module
        .rsplit_once('.')
        .map_or("", |(parent, _)| parent)
}

fn is_fc(candidate: &Candidate<'_>) -> bool {
    candidate
        .module
        .rsplit('.')
        .next()
        .is_some_and(|last| last.starts_with("fc"))
}

fn is_numbered(candidate: &Candidate<'_>) -> bool {
    let own = candidate.module.rsplit('.').next();
    own.is_some_and(|last| !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()))
}

fn in_attention(candidate: &Candidate<'_>) -> bool {
    parent(candidate)
        .rsplit('.')
        .next()
        .is_some_and(|last| roles::is_attention(&Segment::parse(last)))
}
