//! Biases, norms and gains beside the weights.

use std::collections::{HashMap, HashSet};

use crate::checkpoint::Tensor;

use super::adapters;
use super::candidate::Candidate;

/// Lengths of biases and norms, by module path.
pub(in crate::layers) struct Companions<'a> {
    biases: HashMap<&'a str, usize>,
    norms: HashMap<&'a str, usize>,
    /// Lengths of norms, by the parent of their module.
    norms_in: HashMap<&'a str, Vec<usize>>,
    gains: HashSet<&'a str>,
    /// Modules whose bias has rank 2 or more: LayerNorms over `[channels, height, width]` and similar, not layers, whose
    /// bias is a vector.
    shaped_biases: HashSet<&'a str>,
}

impl<'a> Companions<'a> {
    /// Collects them from a tensor table.
    pub fn of(tensors: &'a [Tensor]) -> Self {
        let mut found = Self {
            biases: HashMap::new(),
            norms: HashMap::new(),
            norms_in: HashMap::new(),
            gains: HashSet::new(),
            shaped_biases: HashSet::new(),
        };
        for tensor in tensors {
            let Some((module, last)) = tensor.name.rsplit_once('.') else {
                continue;
            };
            let module = adapters::wrapped(module);
            match (last, tensor.shape.as_slice()) {
                ("bias", &[length]) => _ = found.biases.insert(module, length),
                ("weight", &[length]) => {
                    found.norms.insert(module, length);
                    let parent = module.rsplit_once('.').map_or("", |(parent, _)| parent);
                    found.norms_in.entry(parent).or_default().push(length);
                }
                ("bias", &[_, _, ..]) => _ = found.shaped_biases.insert(module),
                ("gain", _) => _ = found.gains.insert(module),
                _ => {}
            }
        }
        found
    }

    /// Length of a module's bias.
    pub fn bias(&self, module: &str) -> Option<usize> {
        self.biases.get(module).copied()
    }

    /// Length of a normalisation's scale.
    pub fn norm(&self, module: &str) -> Option<usize> {
        self.norms.get(module).copied()
    }

    /// Whether a norm of the layer's output width is among its siblings, or among those of its parent.
    pub fn is_normed(&self, candidate: &Candidate<'_>) -> bool {
        let out = candidate.out();
        let mut module = candidate.module;
        (0..2).any(|_| {
            module = module.rsplit_once('.').map_or("", |(parent, _)| parent);
            self.norms_in
                .get(module)
                .is_some_and(|lengths| lengths.contains(&out))
        })
    }

    /// Whether the module has a gain, as weight standardisation does: then its network has no norms.
    pub fn has_gain(&self, module: &str) -> bool {
        self.gains.contains(module)
    }

    /// Whether the module's bias has rank 2 or more.
    pub(super) fn has_shaped_bias(&self, module: &str) -> bool {
        self.shaped_biases.contains(module)
    }
}
