//! Several copies of one network in one file: a model with its moving average, a chain of two U-Nets.

use std::collections::BTreeMap;

use crate::layers::candidates::Candidate;
use crate::layers::tree::Tree;

/// Words of modules that hold a second copy of the weights.
const COPY: [&str; 14] = [
    "ema",
    "model",
    "module",
    "teacher",
    "student",
    "target",
    "online",
    "swa",
    "averaged",
    "shadow",
    "momentum",
    "net",
    "unet",
    "generator",
];

/// A numbered pair of equal modules is two stages unless each is large enough to be a network by itself.
const MIN_LAYERS: usize = 6;

/// The roots of the networks in the file: the copies where there are some, otherwise the root of all.
///
/// Copies hold layers of the same names below them, each its own beginning among them: every copy reads the network's
/// input (1 to 8 channels), or all shapes are the same and the names say that they are copies.
pub(in crate::layers) fn roots(tree: &Tree, candidates: &[Candidate<'_>]) -> Vec<usize> {
    let top = tree.unwrap(0);
    let children = &tree.nodes[top].children;
    if children.len() < 2 || !tree.nodes[top].weights.is_empty() {
        return vec![0];
    }
    let mut layers: Vec<Layers<'_>> = children
        .iter()
        .map(|&child| of_module(tree, candidates, child))
        .collect();
    for inner in &mut layers {
        // An extra wrapper below one of the copies (`model.` beside `ema.module.`) changes no order.
        inner.sort();
    }
    let same_names = layers.windows(2).all(|pair| {
        pair[0].len() == pair[1].len() && pair[0].iter().zip(&pair[1]).all(|(a, b)| a.0 == b.0)
    });
    if !same_names {
        return vec![0];
    }
    let same_shapes = layers.windows(2).all(|pair| pair[0] == pair[1]);
    let named = children
        .iter()
        .all(|&child| tree.nodes[child].segment.has(&COPY));
    let numbered = children
        .iter()
        .all(|&child| !tree.nodes[child].segment.ordinal.is_empty());
    let reads_input = |inner: &Layers<'_>| {
        let least = inner
            .iter()
            .map(|(_, shape)| shape[1])
            .filter(|&channels| channels > 1)
            .min()
            .unwrap_or(1);
        let narrowest = inner
            .iter()
            .map(|(_, shape)| shape[0])
            .filter(|&kernels| kernels > 1)
            .min()
            .unwrap_or(0);
        inner.len() >= MIN_LAYERS && least <= 8 && least < narrowest
    };
    if (named && !numbered && same_shapes)
        || (named && layers.iter().all(reads_input))
        || (same_shapes && !numbered && layers.iter().all(reads_input))
    {
        let mut roots = children.clone();
        roots.sort_by(|&a, &b| tree.nodes[a].segment.natural(&tree.nodes[b].segment));
        return roots;
    }
    vec![0]
}

type Layers<'a> = Vec<(&'a str, &'a [usize])>;

/// The layers of a module: their names below it and their shapes.
fn of_module<'a>(tree: &Tree, candidates: &[Candidate<'a>], module: usize) -> Layers<'a> {
    let below = tree.path(tree.unwrap(module), candidates).len();
    let mut found = BTreeMap::new();
    let mut open = vec![module];
    while let Some(node) = open.pop() {
        for &index in &tree.nodes[node].weights {
            let candidate = &candidates[index];
            found.insert(candidate.module.get(below..).unwrap_or(""), candidate.shape);
        }
        open.extend(&tree.nodes[node].children);
    }
    found.into_iter().collect()
}
