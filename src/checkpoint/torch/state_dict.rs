//! The state dicts of a file: mappings from names to tensors, wherever a trainer nests them.

use std::collections::{HashSet, VecDeque};

use super::pickle::{Id, Pickle};
use super::tensors::Tensors;

/// The mappings that may lie around a state dict. Trainers nest two or three.
const MAX_LEVELS: usize = 8;

/// The longest path of a state dict, in bytes.
const MAX_PATH: usize = 256;

/// A mapping that holds tensors, under names.
#[derive(Debug)]
pub(super) struct StateDict<'p> {
    /// The keys that lead to it from the outermost mapping, joined by dots; empty for that one itself.
    pub path: String,
    /// In the order of the file.
    pub tensors: Vec<(&'p str, Id)>,
}

/// Finds the state dicts, those around others first, then in the order of the file. Only keys that are texts are followed: the
/// state of an optimizer has the numbers of its parameters for keys.
pub(super) fn find<'p>(pickle: &Pickle<'p>, all: &Tensors) -> Vec<StateDict<'p>> {
    let mut found = Vec::new();
    let mut seen = HashSet::from([pickle.root]);
    let mut open = VecDeque::from([(String::new(), 0, pickle.root)]);
    while let Some((path, level, mapping)) = open.pop_front() {
        let mut tensors = Vec::new();
        for &(key, value) in pickle.entries(mapping).unwrap_or_default() {
            let Some(key) = pickle.text(key) else {
                continue;
            };
            if all.get(pickle, value).is_some() {
                tensors.push((key, value));
                continue;
            }
            let is_mapping = pickle
                .entries(value)
                .is_some_and(|entries| !entries.is_empty());
            let is_near = level < MAX_LEVELS && path.len() + key.len() < MAX_PATH;
            if is_mapping && is_near && seen.insert(value) {
                let dot = if path.is_empty() { "" } else { "." };
                open.push_back((format!("{path}{dot}{key}"), level + 1, value));
            }
        }
        if !tensors.is_empty() {
            found.push(StateDict { path, tensors });
        }
    }
    found
}
