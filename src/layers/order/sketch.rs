//! What a whole module looks like from outside, before its place is known.

use super::arrange::{Arranger, Part, Placed};
use super::flow::{Ends, Flow, Seen};
use crate::layers::candidates::{Candidate, Layout};
use crate::layers::roles::Role;

/// How many guesses at a module's output are kept.
const MAX_EXITS: usize = 6;

/// A module from outside.
#[derive(Clone, Debug)]
pub(super) struct Sketch {
    pub ends: Ends,
    /// The one layer on its main path, if there is just one.
    pub single: Option<usize>,
    /// Whether it holds a convolution with extent in space.
    pub spatial: bool,
}

/// Sketch every module, children before their parents.
pub(super) fn sketch(arranger: &Arranger<'_>) -> Vec<Sketch> {
    let nodes = &arranger.tree.nodes;
    let nothing = Sketch {
        ends: Ends {
            entry: [0, 0],
            exits: vec![0],
        },
        single: None,
        spatial: false,
    };
    let mut sketches = vec![nothing; nodes.len()];
    for node in (0..nodes.len()).rev() {
        let arrangement = arranger.arrange(node, false, &Flow::default(), &Seen::new(), &sketches);
        let own = nodes[node]
            .weights
            .iter()
            .map(|&index| of_candidate(index, &arranger.candidates[index]));
        let parts: Vec<(Sketch, Option<Placed>)> = own
            .map(|sketch| (sketch, None))
            .chain(
                arrangement
                    .placed
                    .iter()
                    .map(|placed| (sketches[placed.node].clone(), Some(*placed))),
            )
            .collect();
        if !parts.is_empty() {
            sketches[node] = combine(&parts);
        }
    }
    sketches
}

fn of_candidate(index: usize, candidate: &Candidate<'_>) -> Sketch {
    let (reads, out) = (candidate.reads(), candidate.out());
    let straight = matches!(
        candidate.layout,
        Layout::Forward | Layout::ChannelsLast { .. }
    );
    let depthwise = reads == 1 && straight && !candidate.linear();
    let entry = if depthwise { [out, 1] } else { [reads, reads] };
    Sketch {
        ends: Ends {
            entry,
            exits: vec![out],
        },
        single: Some(index),
        spatial: !candidate.is_point(),
    }
}

fn combine(parts: &[(Sketch, Option<Placed>)]) -> Sketch {
    let on_path = |placed: &Option<Placed>| {
        placed.is_none_or(|placed| placed.part == Part::Main && placed.role < Role::Head)
    };
    let mut mains: Vec<&Sketch> = parts
        .iter()
        .filter(|(_, placed)| on_path(placed))
        .map(|(sketch, _)| sketch)
        .collect();
    if mains.is_empty() {
        mains = parts.iter().map(|(sketch, _)| sketch).collect();
    }
    let mut sinks = 0_usize;
    for (at, main) in mains.iter().enumerate() {
        let given = main.ends.exits[0];
        let read = mains.get(at + 1).is_some_and(|next| {
            next.ends
                .entry
                .iter()
                .any(|channels| main.ends.exits.contains(channels))
        });
        if !read {
            sinks = sinks.saturating_add(given);
        }
    }
    let (first, last) = (mains[0], mains[mains.len() - 1]);
    let entry = first.ends.entry;
    let mut exits: Vec<usize> = Vec::new();
    // What a depthwise layer makes cheaply goes beside its input (GhostNet).
    let cheap = last.ends.entry[0] != last.ends.entry[1];
    let all = mains.iter().map(|main| main.ends.exits[0]);
    let all = all.fold(0, usize::saturating_add);
    let sums = [sinks, sinks.saturating_add(entry[0])]
        .into_iter()
        .chain(cheap.then_some(all));
    for channels in last.ends.exits.iter().copied().chain(sums) {
        if !exits.contains(&channels) && exits.len() < MAX_EXITS {
            exits.push(channels);
        }
    }
    // Blocks that all read one width hand it on (a transformer's, whose linear layers are not seen).
    let is_handed_on = mains.len() > 1 && mains.iter().all(|main| main.ends.entry[0] == entry[0]);
    if is_handed_on && !exits.contains(&entry[0]) {
        exits.truncate(MAX_EXITS - 1);
        exits.push(entry[0]);
    }
    if mains.len() == 1 {
        exits.clone_from(&last.ends.exits);
    }
    Sketch {
        ends: Ends { entry, exits },
        single: if mains.len() == 1 { first.single } else { None },
        spatial: parts.iter().any(|(sketch, _)| sketch.spatial),
    }
}
