//! Where trainers nest things: in mappings under names, and in lists.

use std::collections::{HashSet, VecDeque};

use super::pickle::{Id, Pickle};

/// The mappings and lists that may lie around something. Trainers nest two or three.
const MAX_LEVELS: usize = 8;

/// The longest path, in bytes.
const MAX_PATH: usize = 256;

/// Visits the outermost value and what lies in mappings and lists that `visit` wants opened, each once: those around others
/// first, then in the order of the file. `visit` gets the keys and places that lead there, joined by dots; none for the outermost.
/// Only keys that are texts are followed: the state of an optimizer has the numbers of its parameters for keys.
pub(super) fn walk(pickle: &Pickle<'_>, mut visit: impl FnMut(&str, Id) -> bool) {
    let mut seen = HashSet::from([pickle.root]);
    let mut open = VecDeque::from([(String::new(), 0, pickle.root)]);
    while let Some((path, level, value)) = open.pop_front() {
        if !visit(&path, value) || level == MAX_LEVELS {
            continue;
        }
        let dot = if path.is_empty() { "" } else { "." };
        let mut push = |key: &str, inner: Id| {
            let is_short = path.len() + key.len() < MAX_PATH;
            if is_short && holds_something(pickle, inner) && seen.insert(inner) {
                open.push_back((format!("{path}{dot}{key}"), level + 1, inner));
            }
        };
        for &(key, inner) in pickle.entries(value).unwrap_or_default() {
            if let Some(key) = pickle.text(key) {
                push(key, inner);
            }
        }
        for (place, &inner) in items(pickle, value).iter().enumerate() {
            push(&place.to_string(), inner);
        }
    }
}

fn holds_something(pickle: &Pickle<'_>, value: Id) -> bool {
    let entries = pickle.entries(value).unwrap_or_default();
    !entries.is_empty() || !items(pickle, value).is_empty()
}

/// The items of a list or tuple.
fn items<'p>(pickle: &'p Pickle<'_>, value: Id) -> &'p [Id] {
    pickle
        .list(value)
        .or(pickle.tuple(value))
        .unwrap_or_default()
}
