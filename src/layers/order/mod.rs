//! The depth order of layers, inferred from names and shapes.
//!
//! A file is split into its networks ([`networks`]). In each, sibling modules are ordered by their names and by the channels
//! that they read and output ([`arrange`]), and a walk through all of them lists the layers ([`walk`]). Where only a naming
//! convention decides, the order is kept as a tie, and a warning is given where that matters.
//!
//! # Where a rule goes
//!
//! | what the architecture needs | where | rules there |
//! |---|---|---|
//! | a word is a synonym | a row of [`words`](super::words) | |
//! | a name says something by itself | a function of [`roles`](super::roles) | roles, gates, shortcuts, joints, branches |
//! | a name means something else beside its siblings | [`siblings`] | `conv` that joins branches; `proj` after queries; `up` within a decoder; stems of stages |
//! | what reads the image comes first; mirrored and zipped decoders | [`items`] | `open_at_input`, `mirrored` |
//! | lists whose members take turns | [`lists`] | `zip`, `pair_shortcuts` |
//! | the order within `conv1`, `conv2`, … | [`chains`] | lettered and unnumbered members, `fill_gap` |
//! | numbers that run backward, or two numbers | [`direction`] | `may_run_backward`, `sort_grid` |
//! | which of several chains continues | [`merge`] | `ready`, `fit`, `fit_of_others`, and by name [`turn`] |
//! | what gives a module its channels | [`flow`], and [`sketch`] for a whole module | concatenation, split, the sums of branches |
//! | where a gate or a shortcut runs | [`gates`], [`shortcuts`] | `position`, `goes_around`, `norm_comes_first` |
//! | what the network reads | [`input`] | `channels` |
//! | what is a network of its own | [`networks`] | copies, pairs, pipelines |
//!
//! Each rule is a function whose comment names the architecture that needs it; fixtures/architectures holds that
//! architecture. Modules of this folder use only those before them in this list:
//! [`flow`], [`arrangement`], [`sketch`], [`modules`], [`siblings`], [`items`], [`turn`], [`direction`], [`chains`], [`merge`],
//! [`phases`], [`lists`], [`gates`], [`shortcuts`], [`arrange`], [`input`], [`ordered`], [`walk`].

mod arrange;
mod arrangement;
mod chains;
mod direction;
mod flow;
mod gates;
mod input;
mod items;
mod lists;
mod merge;
mod modules;
pub(super) mod networks;
mod ordered;
mod phases;
mod shortcuts;
mod siblings;
mod sketch;
mod turn;
mod walk;

use std::collections::{HashMap, HashSet};

use super::candidates::{Candidate, Companions};
use super::known::KnownNetwork;
use super::tree::Tree;
pub(super) use ordered::{OpenOrder, OrderedNetwork, Step};

/// Orders the layers of each network. `candidates` are sorted by name. Layers of `known` networks have their known order.
pub(super) fn order<'a>(
    candidates: &[Candidate<'a>],
    companions: &Companions<'_>,
    known: &[KnownNetwork],
    networks: Vec<networks::Network>,
) -> Vec<OrderedNetwork<'a>> {
    let ordered = networks.into_iter().map(|network| {
        let members: HashSet<usize> = network.members.into_iter().collect();
        let tree = Tree::of(candidates, |index| members.contains(&index));
        let walked = walk::walk(&tree, candidates, companions);
        let open = walked.ties.iter().map(|tie| OpenOrder {
            first: tree.path(tie.first, candidates),
            second: tree.path(tie.second, candidates),
            range: walked.ranges[tie.first].start..walked.ranges[tie.second].end,
        });
        let mut open: Vec<OpenOrder<'a>> = open.collect();
        let mut steps = walked.steps;
        for inner in known {
            run_as_known(&mut steps, inner);
            open.retain(|open| !inner.holds(open.first) || !inner.holds(open.second));
        }
        OrderedNetwork {
            root: network.root,
            steps,
            open,
        }
    });
    ordered.collect()
}

/// Sorts the layers of a known network into their known order, within the positions that they have among the others.
pub(super) fn run_as_known(steps: &mut [Step], known: &KnownNetwork) {
    let layers = known.layers.iter().enumerate();
    let turns: HashMap<usize, usize> = layers
        .map(|(turn, &(candidate, _))| (candidate, turn))
        .collect();
    let positions: Vec<usize> = (0..steps.len())
        .filter(|&at| turns.contains_key(&steps[at].candidate))
        .collect();
    let mut members: Vec<Step> = positions.iter().map(|&at| steps[at].clone()).collect();
    members.sort_by_key(|step| turns[&step.candidate]);
    for (at, step) in positions.into_iter().zip(members) {
        steps[at] = step;
    }
}
