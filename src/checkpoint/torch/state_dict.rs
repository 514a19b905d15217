//! The state dicts of a file: mappings from names to tensors, wherever a trainer nests them.

use super::nesting::walk;
use super::pickle::{Id, Pickle};
use super::tensors::Tensors;

/// A mapping that holds tensors, under names.
#[derive(Debug)]
pub(super) struct StateDict<'p> {
    /// The keys that lead to it from the outermost mapping, joined by dots; empty for that one itself.
    pub path: String,
    /// In the order of the file.
    pub tensors: Vec<(&'p str, Id)>,
}

/// Finds the state dicts, those around others first, then in the order of the file.
pub(super) fn find<'p>(pickle: &Pickle<'p>, all: &Tensors) -> Vec<StateDict<'p>> {
    let mut found = Vec::new();
    walk(pickle, |path, mapping| {
        let entries = pickle.entries(mapping).unwrap_or_default().iter();
        let tensors = entries.filter_map(|&(key, value)| {
            let is_tensor = all.get(pickle, value).is_some();
            pickle
                .text(key)
                .filter(|_| is_tensor)
                .map(|key| (key, value))
        });
        let tensors: Vec<(&str, Id)> = tensors.collect();
        if !tensors.is_empty() {
            let path = path.to_owned();
            found.push(StateDict { path, tensors });
        }
        true
    });
    found
}
