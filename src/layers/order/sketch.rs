//! Summaries of modules, made before their order is known.

use super::arrangement::{FlowPath, Placed};
use super::flow::Ends;
use crate::layers::candidates::{Candidate, Layout};
use crate::layers::roles::Role;

/// How many guesses at a module's output are kept.
const MAX_EXITS: usize = 6;

/// Summary of a module.
#[derive(Clone, Debug)]
pub(super) struct Sketch {
    pub ends: Ends,
    /// The only layer on its main path, if there is just one.
    pub single: Option<usize>,
    /// Whether it holds a spatial convolution.
    pub spatial: bool,
}

impl Sketch {
    /// Of a module without layers.
    pub fn empty() -> Self {
        Self {
            ends: Ends {
                entry: [0, 0],
                exits: vec![0],
            },
            single: None,
            spatial: false,
        }
    }

    /// Of the layer at this index among the candidates.
    pub fn of_layer(index: usize, candidate: &Candidate<'_>) -> Self {
        let (reads, out) = (candidate.reads(), candidate.out());
        let straight = matches!(
            candidate.layout,
            Layout::Forward | Layout::ChannelsLast { .. }
        );
        let depthwise = reads == 1 && straight && !candidate.linear();
        let entry = if depthwise { [out, 1] } else { [reads, reads] };
        Self {
            ends: Ends {
                entry,
                exits: vec![out],
            },
            single: Some(index),
            spatial: !candidate.is_point(),
        }
    }

    /// Of a module with these parts in order, at least one: its own layers, which are not placed, and the modules in it.
    pub fn of_parts(parts: &[(Self, Option<Placed>)]) -> Self {
        let on_path = |placed: &Option<Placed>| {
            placed.is_none_or(|placed| placed.path == FlowPath::Main && placed.role < Role::Head)
        };
        let mut mains: Vec<&Self> = parts
            .iter()
            .filter(|(_, placed)| on_path(placed))
            .map(|(sketch, _)| sketch)
            .collect();
        if mains.is_empty() {
            mains = parts.iter().map(|(sketch, _)| sketch).collect();
        }
        let first = mains[0];
        let is_single = mains.len() == 1;
        let exits = if is_single {
            first.ends.exits.clone()
        } else {
            exits(&mains)
        };
        Self {
            ends: Ends {
                entry: first.ends.entry,
                exits,
            },
            single: first.single.filter(|_| is_single),
            spatial: parts.iter().any(|(sketch, _)| sketch.spatial),
        }
    }
}

/// Output channels that several modules in a row may have, likeliest first.
fn exits(mains: &[&Sketch]) -> Vec<usize> {
    let (entry, last) = (mains[0].ends.entry, mains[mains.len() - 1]);
    let is_read = |at: usize| {
        mains.get(at + 1).is_some_and(|next| {
            let mut entry = next.ends.entry.iter();
            entry.any(|channels| mains[at].ends.exits.contains(channels))
        })
    };
    let sum = |chosen: &dyn Fn(usize) -> bool| {
        let chosen = (0..mains.len()).filter(|&at| chosen(at));
        let widths = chosen.map(|at| mains[at].ends.exits[0]);
        widths.fold(0, usize::saturating_add)
    };
    let sinks = sum(&|at| !is_read(at));
    // A depthwise layer's output may be concatenated with its input (GhostNet).
    let is_cheap = last.ends.entry[0] != last.ends.entry[1];
    let sums = [sinks, sinks.saturating_add(entry[0])]
        .into_iter()
        .chain(is_cheap.then(|| sum(&|_| true)));
    let mut exits: Vec<usize> = Vec::new();
    for channels in last.ends.exits.iter().copied().chain(sums) {
        if !exits.contains(&channels) && exits.len() < MAX_EXITS {
            exits.push(channels);
        }
    }
    // Blocks that all read one width may output it too (a transformer's, whose linear layers are not listed).
    let is_handed_on = mains.iter().all(|main| main.ends.entry[0] == entry[0]);
    if is_handed_on && !exits.contains(&entry[0]) {
        exits.truncate(MAX_EXITS - 1);
        exits.push(entry[0]);
    }
    exits
}
