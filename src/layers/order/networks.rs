//! The networks in a file: a model with its moving average, a generator with its discriminator, an ensemble.
//!
//! Depth restarts in each. A siamese or two-branch network is one network: something outside its branches joins them.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::layers::candidates::Candidate;
use crate::layers::name::Segment;
use crate::layers::roles;
use crate::layers::tree::Tree;
use crate::layers::words::{Meaning, PAIRED};

/// A numbered pair of equal modules is two stages unless each is large enough to be a network by itself.
const MIN_COPY_LAYERS: usize = 6;

/// Fewest layers of a network: a discriminator has four or five.
const MIN_LAYERS: usize = 3;

/// Most channels of an input: a colour image, two of them (pix2pix's discriminator), a few modalities or latents.
const MAX_CHANNELS: usize = 8;

/// A network in the file.
#[derive(Debug)]
pub(in crate::layers) struct Network {
    /// Path of the module that holds it; empty for the layers outside the others.
    pub root: String,
    /// Indices of its candidates, in order.
    pub members: Vec<usize>,
}

/// The networks in the file, and how they are related.
#[derive(Debug)]
pub(in crate::layers) struct Networks {
    roots: Vec<String>,
    /// The index of the network of each layer's tensor.
    by_tensor: HashMap<usize, usize>,
    /// Whether they are copies of one network, with the same layers.
    pub are_copies: bool,
}

impl Networks {
    /// The index of the network that a tensor belongs to.
    pub fn index_of(&self, tensor: usize) -> Option<usize> {
        self.by_tensor.get(&tensor).copied()
    }

    /// The networks, with only the `chosen` candidates as members.
    pub fn among(
        &self,
        candidates: &[Candidate<'_>],
        chosen: impl Fn(usize) -> bool,
    ) -> Vec<Network> {
        let mut networks: Vec<Network> = self
            .roots
            .iter()
            .map(|root| Network {
                root: root.clone(),
                members: Vec::new(),
            })
            .collect();
        for index in (0..candidates.len()).filter(|&index| chosen(index)) {
            if let Some(network) = self.index_of(candidates[index].tensor) {
                networks[network].members.push(index);
            }
        }
        networks
    }
}

/// Splits the `chosen` candidates, which are sorted by name, into networks.
pub(in crate::layers) fn split(
    candidates: &[Candidate<'_>],
    chosen: impl Fn(usize) -> bool,
) -> Networks {
    let tree = &Tree::of(candidates, &chosen);
    let top = tree.unwrap(0);
    let parts = TopModules::of(tree, candidates, top);
    let Some((groups, are_copies)) = parts.copies().or_else(|| parts.networks()) else {
        let all = candidates.iter().map(|candidate| (candidate.tensor, 0));
        return Networks {
            roots: vec![String::new()],
            by_tensor: all.collect(),
            are_copies: false,
        };
    };
    let mut networks = Networks {
        roots: Vec::new(),
        by_tensor: HashMap::new(),
        are_copies,
    };
    for (number, group) in groups.into_iter().enumerate() {
        networks.roots.push(match group[..] {
            [part] => tree.path(parts.children[part].node, candidates).to_owned(),
            _ => tree.path(top, candidates).to_owned(),
        });
        let layers = group.iter().flat_map(|&part| &parts.children[part].layers);
        let tensors = layers.map(|layer| (candidates[layer.candidate].tensor, number));
        networks.by_tensor.extend(tensors);
    }
    networks
}

/// Groups of top-level modules, each a network, and whether those are copies of one.
type Grouping = Option<(Vec<Vec<usize>>, bool)>;

struct NamedLayer<'a> {
    /// Path below its top-level module, without wrappers.
    name: &'a str,
    /// Path below the module that holds all.
    path: &'a str,
    shape: &'a [usize],
    /// Input channels that one kernel reads.
    reads: usize,
    candidate: usize,
}

/// A top-level module.
struct TopModule<'a> {
    node: usize,
    /// Sorted by name.
    layers: Vec<NamedLayer<'a>>,
}

/// The top-level modules.
struct TopModules<'t, 'a> {
    tree: &'t Tree,
    top: usize,
    children: Vec<TopModule<'a>>,
    /// Whether a linear layer outside them may join them.
    is_joined: bool,
}

impl<'t, 'a> TopModules<'t, 'a> {
    fn of(tree: &'t Tree, candidates: &[Candidate<'a>], top: usize) -> Self {
        let mut nodes = tree.nodes[top].children.clone();
        nodes.sort_by(|&a, &b| tree.nodes[a].segment.natural(&tree.nodes[b].segment));
        let children: Vec<TopModule<'a>> = nodes
            .into_iter()
            .map(|node| TopModule {
                node,
                layers: layers(tree, candidates, top, node),
            })
            .collect();
        let path = tree.path(top, candidates);
        let own: HashSet<&str> = children
            .iter()
            .map(|child| tree.nodes[child.node].segment.text.as_str())
            .collect();
        let inside = |candidate: &Candidate<'a>| {
            let below = if path.is_empty() {
                candidate.module
            } else {
                candidate
                    .module
                    .strip_prefix(path)
                    .and_then(|rest| rest.strip_prefix('.'))
                    .unwrap_or_default()
            };
            own.contains(below.split('.').next().unwrap_or_default())
        };
        let is_joined = candidates
            .iter()
            .any(|candidate| candidate.linear() && !inside(candidate));
        Self {
            tree,
            top,
            children,
            is_joined,
        }
    }

    fn segment(&self, part: usize) -> &Segment {
        &self.tree.nodes[self.children[part].node].segment
    }

    /// Splits into copies of one network: their layers have the same names, and each reads the network's input, or all
    /// shapes are the same and the names say that they are copies.
    fn copies(&self) -> Grouping {
        let parts = 0..self.children.len();
        let is_small = |part: usize| self.children[part].layers.len() < MIN_LAYERS;
        if parts.len() < 2
            || !self.tree.nodes[self.top].weights.is_empty()
            || parts.clone().any(is_small)
        {
            return None;
        }
        let names = |part: usize| self.children[part].layers.iter().map(|layer| layer.name);
        let shapes = |part: usize| self.children[part].layers.iter().map(|layer| layer.shape);
        if !parts.clone().all(|part| names(part).eq(names(0))) {
            return None;
        }
        let same_shapes = parts.clone().all(|part| shapes(part).eq(shapes(0)));
        let list = self.tree.nodes[self.top]
            .segment
            .means(Meaning::NetworkCopy);
        let named = parts.clone().all(|part| {
            self.segment(part).means(Meaning::NetworkCopy)
                || (list && self.segment(part).is_number())
        });
        let numbered = parts
            .clone()
            .all(|part| !self.segment(part).ordinal.is_empty());
        let read_input = parts.clone().all(|part| self.children[part].is_complete());
        // Modules that a linear layer joins are branches of one network, unless names say otherwise.
        let is_joined = self.is_joined
            && !parts
                .clone()
                .any(|part| self.segment(part).means(Meaning::Network));
        let are_copies = !is_joined
            && ((named && !numbered && same_shapes)
                || (named && read_input)
                || (same_shapes && !numbered && read_input));
        are_copies.then(|| (parts.map(|part| vec![part]).collect(), true))
    }

    /// Splits into different networks by name; modules without such a name form one more. Each must be able to read an input
    /// of its own, or generate from noise.
    fn networks(&self) -> Grouping {
        let parts = 0..self.children.len();
        let pairs: Vec<&str> = PAIRED
            .iter()
            .filter(|pair| {
                let has = |word: &str| parts.clone().any(|part| self.segment(part).has(&[word]));
                pair.iter().all(|word| has(word))
            })
            .flatten()
            .copied()
            .collect();
        let is_named = |part: usize| {
            self.segment(part).means(Meaning::Network) || self.segment(part).has(&pairs)
        };
        let (named, rest): (Vec<usize>, Vec<usize>) = parts.partition(|&part| is_named(part));
        let weights = !self.tree.nodes[self.top].weights.is_empty();
        let makes = |part: usize| roles::is_generator(self.segment(part));
        let complete = |part: usize| {
            let own = &self.children[part];
            own.layers.len() >= MIN_LAYERS && (own.reads_input() || makes(part))
        };
        let outside = rest.iter().any(|&part| self.children[part].reads_input())
            && rest
                .iter()
                .map(|&part| self.children[part].layers.len())
                .sum::<usize>()
                >= MIN_LAYERS;
        if weights || !named.iter().all(|&part| complete(part)) || (!rest.is_empty() && !outside) {
            return None;
        }
        let rest = (!rest.is_empty()).then_some(rest);
        let groups: Vec<Vec<usize>> = rest
            .into_iter()
            .chain(named.into_iter().map(|part| vec![part]))
            .collect();
        let layers = |group: &[usize]| {
            let inner = group.iter().flat_map(|&part| &self.children[part].layers);
            let mut all: Vec<(&str, &[usize])> = inner
                .map(|layer| match group {
                    [_] => (layer.name, layer.shape),
                    _ => (layer.path, layer.shape),
                })
                .collect();
            all.sort_unstable();
            all
        };
        let are_copies = groups
            .windows(2)
            .all(|pair| layers(&pair[0]) == layers(&pair[1]));
        (groups.len() > 1).then_some((groups, are_copies))
    }
}

impl TopModule<'_> {
    fn reads_input(&self) -> bool {
        self.layers.iter().any(|layer| {
            layer.reads <= MAX_CHANNELS && layer.reads < layer.shape[0] && layer.shape.len() > 2
        })
    }

    /// Whether it is large enough to be a network by itself, and reads an input of its own.
    fn is_complete(&self) -> bool {
        let shapes = || self.layers.iter().map(|layer| layer.shape);
        let reads = self
            .layers
            .iter()
            .map(|layer| layer.reads)
            .filter(|&channels| channels > 1);
        let least = reads.min().unwrap_or(1);
        let gives = shapes()
            .map(|shape| shape[0])
            .filter(|&kernels| kernels > 1);
        let narrowest = gives.min().unwrap_or(0);
        self.layers.len() >= MIN_COPY_LAYERS && least <= MAX_CHANNELS && least < narrowest
    }
}

/// The layers of a module: their paths below it, without a wrapper (`model.` beside `ema.module.`), and their shapes.
fn layers<'a>(
    tree: &Tree,
    candidates: &[Candidate<'a>],
    top: usize,
    module: usize,
) -> Vec<NamedLayer<'a>> {
    let below = tree.path(tree.unwrap(module), candidates).len();
    let top = tree.path(top, candidates).len();
    let mut found = BTreeMap::new();
    let mut open = vec![module];
    while let Some(node) = open.pop() {
        for &index in &tree.nodes[node].weights {
            let candidate = &candidates[index];
            let from = |at: usize| {
                candidate
                    .module
                    .get(at..)
                    .unwrap_or("")
                    .trim_start_matches('.')
            };
            found.insert(from(below), (from(top), candidate.shape, index));
        }
        open.extend(&tree.nodes[node].children);
    }
    let layers = found.into_iter();
    let layers = layers.map(|(name, (path, shape, candidate))| NamedLayer {
        name,
        path,
        shape,
        reads: candidates[candidate].reads(),
        candidate,
    });
    layers.collect()
}
