//! Channels of a network's input.

use super::arrange::arrange;
use super::flow::{Flow, Supply, Widths};
use super::modules::Modules;
use crate::layers::candidates::{Candidate, IMAGE_CHANNELS};

/// Input channels to try in this order if the first layer does not tell; else one (grey-scale, audio).
const LIKELY_CHANNELS: [usize; 3] = [3, 4, 2];

/// Most input channels if no layer reads an image: two pictures, twelve ECG leads, satellite bands.
const MAX_INPUTS: usize = 16;

/// Channels of the network's input: what its first layer reads, if that can be an image, else what some layer reads.
pub(super) fn channels(modules: &Modules<'_>) -> usize {
    let convolutions = || {
        let weights = modules.tree.nodes.iter().flat_map(|node| &node.weights);
        let candidates = weights.map(|&index| &modules.candidates[index]);
        candidates.filter(|candidate| !candidate.linear())
    };
    if let Some(first) = first_layer(modules).filter(|first| !first.linear()) {
        let reads = first.reads();
        let is_stem = |other: &Candidate<'_>| {
            (2..=IMAGE_CHANNELS).contains(&other.reads()) && other.out() > IMAGE_CHANNELS
        };
        if reads <= IMAGE_CHANNELS || (reads <= MAX_INPUTS && !convolutions().any(is_stem)) {
            return reads;
        }
    }
    let is_read = |channels: &usize| convolutions().any(|other| other.reads() == *channels);
    LIKELY_CHANNELS.into_iter().find(is_read).unwrap_or(1)
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
