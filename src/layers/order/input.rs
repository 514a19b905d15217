//! What a network reads.

use super::arrange::arrange;
use super::flow::{Flow, Supply, Widths};
use super::modules::Modules;
use crate::layers::candidates::{Candidate, MOST_COLOURS};

/// Channels of a network's input, where some layer reads 2 to 4; otherwise it has one (grey-scale, audio).
const COLOUR: [usize; 3] = [3, 4, 2];

/// Channels of a network's input at most, where nothing else reads an image: two pictures, twelve leads, satellites' bands.
const MOST_INPUTS: usize = 16;

/// Channels of the network's input: what its first layer reads, if that can be an image, and else what some layer reads.
pub(super) fn channels(modules: &Modules<'_>) -> usize {
    let convolutions = || {
        let weights = modules.tree.nodes.iter().flat_map(|node| &node.weights);
        let candidates = weights.map(|&index| &modules.candidates[index]);
        candidates.filter(|candidate| !candidate.linear())
    };
    if let Some(first) = first_layer(modules).filter(|first| !first.linear()) {
        let reads = first.reads();
        let is_stem = |other: &Candidate<'_>| {
            (2..=MOST_COLOURS).contains(&other.reads()) && other.out() > MOST_COLOURS
        };
        if reads <= MOST_COLOURS || (reads <= MOST_INPUTS && !convolutions().any(is_stem)) {
            return reads;
        }
    }
    let is_read = |channels: &usize| convolutions().any(|other| other.reads() == *channels);
    COLOUR.into_iter().find(is_read).unwrap_or(1)
}

/// The layer that runs first, as far as that can be told before the input is known.
fn first_layer<'a>(modules: &Modules<'a>) -> Option<&'a Candidate<'a>> {
    let nothing = Widths::new();
    let flow = Flow {
        at_input: true,
        ..Flow::default()
    };
    let supply = Supply::new(flow, &nothing);
    let mut node = 0;
    loop {
        if let Some(&candidate) = modules.tree.nodes[node].weights.first() {
            return Some(&modules.candidates[candidate]);
        }
        node = arrange(modules, node, &supply).placed.first()?.node;
    }
}
