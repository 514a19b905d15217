//! The order of the modules within one module.
//!
//! Roles come first (a stem runs before the stages, a head after them); modules of one role are merged by the channels that
//! they read and output. Gates and shortcuts are placed last: gates after the layer whose channels they scale, shortcuts
//! before or after the path that they go around.

use super::arrangement::{Arrangement, FlowPath, Placed, Tie};
use super::flow::Supply;
use super::items::{Item, items};
use super::modules::Modules;
use super::{gates, lists, phases, shortcuts};
use crate::layers::candidates::IMAGE_CHANNELS;
use crate::layers::roles::Role;

/// The order of the modules in `node`.
pub(super) fn arrange(modules: &Modules<'_>, node: usize, supply: &Supply<'_>) -> Arrangement {
    match *modules.children(node) {
        [] => return Arrangement::default(),
        [only] => {
            return Arrangement {
                placed: vec![Placed {
                    node: only,
                    path: FlowPath::Main,
                    role: Role::of(modules.segment(only)),
                    chain: 0,
                }],
                ties: Vec::new(),
            };
        }
        _ => {}
    }
    let at_input = supply.flow.at_input;
    let items = lists::zip(modules, items(modules, node, at_input), supply);
    let (gates, items) = gates::separate(modules, items);
    let (named_shortcuts, mut main): (Vec<Item>, Vec<Item>) = items
        .into_iter()
        .partition(|item| shortcuts::is_named_shortcut(modules, item));
    let mut result = phases::in_order(modules, &main, supply);
    let (shortcuts, others): (Vec<Item>, Vec<Item>) = named_shortcuts
        .into_iter()
        .partition(|item| shortcuts::goes_around(modules, item, &result.placed));
    if !others.is_empty() {
        main.extend(others);
        result = phases::in_order(modules, &main, supply);
    }
    if at_input {
        doubt_image_layers(modules, &mut result);
    }
    let norm_comes_first = shortcuts::norm_comes_first(modules, node, &result.placed);
    gates::place(modules, gates, &mut result);
    for shortcut in shortcuts {
        shortcuts::place(modules, &shortcut, norm_comes_first, &mut result);
    }
    result
}

/// A layer from image to image may normalise the input or restore the output (EDSR's `sub_mean`, `add_mean`): if others read
/// the image too, nothing tells which runs first.
fn doubt_image_layers(modules: &Modules<'_>, arrangement: &mut Arrangement) {
    let is_image_layer = |placed: &&Placed| {
        let ends = modules.ends(placed.node);
        let [entry, least] = ends.entry;
        entry == least && (2..=IMAGE_CHANNELS).contains(&entry) && ends.exits[0] <= IMAGE_CHANNELS
    };
    let placed = &arrangement.placed;
    let image_layers: Vec<&Placed> = placed.iter().filter(is_image_layer).collect();
    // In a network of nothing else, such as one over the two channels of a flow field, they are ordinary layers.
    let Some(last) = placed.last().filter(|_| image_layers.len() < placed.len()) else {
        return;
    };
    let before_last = image_layers.iter().filter(|layer| layer.node != last.node);
    arrangement.ties.extend(before_last.map(|layer| Tie {
        first: layer.node,
        second: last.node,
    }));
}
