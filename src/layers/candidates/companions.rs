//! The vectors beside the weights.

use std::collections::{HashMap, HashSet};

use crate::checkpoint::Tensor;

use super::adapters;
use super::candidate::Candidate;

/// Lengths of the vectors beside the weights: biases and norms, by module path.
pub(in crate::layers) struct Companions<'a> {
    biases: HashMap<&'a str, usize>,
    norms: HashMap<&'a str, usize>,
    /// The same by the module that holds the norm.
    norms_in: HashMap<&'a str, Vec<usize>>,
    gains: HashSet<&'a str>,
    /// Modules with a bias of rank 2 and more. A layer's bias is a vector: these are LayerNorms over
    /// `[channels, height, width]` and the like.
    shaped_biases: HashSet<&'a str>,
}

impl<'a> Companions<'a> {
    /// Collect them from a tensor table.
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

    /// Whether a norm stands beside a layer for what it gives: in its module, or, where it stands alone in that, in the
    /// module around.
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

    /// Whether the module standardises its weights by a gain: then its network has no norms.
    pub fn has_gain(&self, module: &str) -> bool {
        self.gains.contains(module)
    }

    /// Whether the module's bias is no vector.
    pub(super) fn has_shaped_bias(&self, module: &str) -> bool {
        self.shaped_biases.contains(module)
    }
}
