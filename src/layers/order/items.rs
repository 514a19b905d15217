//! The modules to be arranged, each with its role among its siblings.

use std::ops::RangeInclusive;

use super::modules::Modules;
use super::siblings::Siblings;
use crate::layers::candidates::IMAGE_CHANNELS;
use crate::layers::name::Segment;
use crate::layers::roles::Role;

/// Above this product of gates or chains and modules, shapes are ignored: only a hostile file comes near it.
pub(super) const MAX_WORK: usize = 1 << 18;

/// A child, or a grandchild if its list is split.
#[derive(Clone, Copy)]
pub(super) struct Item {
    pub node: usize,
    /// Its parent.
    pub list: usize,
    pub role: Role,
    /// It mirrors another, and so runs in the reverse order of its numbers.
    pub is_mirrored: bool,
}

/// Modules of one role and stem (`conv1`, `conv2`, …), in the order of their numbers.
pub(super) struct Chain {
    /// Its index among the chains of its module.
    pub number: usize,
    pub items: Vec<Item>,
}

/// The children of `node` with their roles.
pub(super) fn items(modules: &Modules<'_>, node: usize, at_input: bool) -> Vec<Item> {
    let children = modules.children(node);
    let siblings = Siblings::of(modules, node);
    let mut roles: Vec<Role> = children.iter().map(|&child| siblings.role(child)).collect();
    if at_input {
        open_at_input(modules, children, &mut roles);
    }
    let mirrored = mirrored(modules, children);
    for &at in &mirrored {
        roles[at] = Role::Decoder;
    }
    let is_decoder_list = |at: usize| {
        siblings.are_phases && roles[at] == Role::Decoder && modules.is_list(children[at])
    };
    let lengths: Vec<usize> = (0..children.len())
        .filter(|&at| is_decoder_list(at))
        .map(|at| modules.children(children[at]).len())
        .collect();
    // Lists of equal length in a decoder take turns (MONAI DynUNet's and hand-written U-Nets' upsamplings and blocks).
    let is_zipped = lengths.len() > 1 && lengths.iter().all(|&length| length == lengths[0]);
    let mut items = Vec::new();
    for (at, &child) in children.iter().enumerate() {
        let (role, is_mirrored) = (roles[at], mirrored.contains(&at));
        if is_zipped && is_decoder_list(at) {
            items.extend(modules.children(child).iter().map(|&node| Item {
                node,
                list: child,
                role,
                is_mirrored: false,
            }));
        } else {
            items.push(Item {
                node: child,
                list: node,
                role,
                is_mirrored,
            });
        }
    }
    items
}

/// The only module that reads the network's input runs first, even if it is named `head` (EDSR). One that cannot read it
/// where others can is no stem, even if it is named `patch_embeddings` (TransUNet) or `input_projection` (DETR).
fn open_at_input(modules: &Modules<'_>, children: &[usize], roles: &mut [Role]) {
    let reading = |channels: RangeInclusive<usize>| {
        let fits = |&at: &usize| {
            let ends = modules.ends(children[at]);
            ends.entry.iter().any(|entry| channels.contains(entry))
                && ends.exits[0] > IMAGE_CHANNELS
        };
        (0..children.len()).filter(fits).collect::<Vec<usize>>()
    };
    // A kernel that reads one channel may also be depthwise.
    let mut readers = reading(2..=IMAGE_CHANNELS);
    if readers.is_empty() {
        readers = reading(1..=IMAGE_CHANNELS);
    }
    if let &[reader] = readers.as_slice() {
        let own = modules.segment(children[reader]);
        let is_in_chain = !own.ordinal.is_empty()
            && children
                .iter()
                .any(|&child| child != children[reader] && modules.segment(child).stem == own.stem);
        // In a list, only the first member reads the input; in a chain, the first or the last.
        roles[reader] = if modules.is_list(children[reader]) || is_in_chain {
            roles[reader].min(Role::Body)
        } else {
            Role::Stem
        };
    }
    if !readers.is_empty() {
        let others = (0..children.len()).filter(|at| readers.binary_search(at).is_err());
        for other in others {
            roles[other] = roles[other].max(Role::Body);
        }
    }
}

/// Indices of children that mirror others: `conv11d` beside `conv11`, `stage1d` beside `stage1` belong to a decoder (SegNet,
/// U²-Net).
fn mirrored(modules: &Modules<'_>, children: &[usize]) -> Vec<usize> {
    let is_bare = |other: &Segment, mirror: &Segment| {
        other.stem == mirror.stem
            && other.ordinal.len() == 1
            && other.ordinal[0] == (mirror.ordinal[0].0, '\0')
    };
    let is_mirror = |&at: &usize| {
        let segment = modules.segment(children[at]);
        matches!(segment.ordinal[..], [(_, 'd')])
            && children
                .iter()
                .any(|&other| is_bare(modules.segment(other), segment))
    };
    let mirrors: Vec<usize> = (0..children.len()).filter(is_mirror).collect();
    if mirrors.len() > 1 {
        mirrors
    } else {
        Vec::new()
    }
}
