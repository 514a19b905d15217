//! The BatchNorms of a file, and which convolution each is behind.

use std::collections::{HashMap, HashSet};

use super::pairs::{Conv, Sibling, pairs, settled};
use super::paths::{is_vector, module_of, segment, split};
use crate::checkpoint::Tensor;
use crate::layers::behind::{BatchNorm, NormBehind};
use crate::layers::contradiction::Contradiction;
use crate::layers::kind::Kind;
use crate::layers::layer::Layer;

/// The BatchNorms of a file.
pub(super) struct Norms<'a> {
    /// By the module that they are in, in natural order.
    by_parent: HashMap<&'a str, Vec<Sibling<'a>>>,
}

impl<'a> Norms<'a> {
    pub fn of(tensors: &'a [Tensor]) -> Self {
        let mut parts: HashMap<(&str, &str), usize> = HashMap::new();
        for (index, tensor) in tensors.iter().enumerate() {
            if let Some(name) = tensor.name.rsplit_once('.') {
                parts.insert(name, index);
            }
        }
        let mut by_parent: HashMap<&str, Vec<_>> = HashMap::new();
        for (&(module, part), &mean) in &parts {
            let [length] = tensors[mean].shape[..] else {
                continue;
            };
            let find = |part| {
                let index = *parts.get(&(module, part))?;
                is_vector(&tensors[index], length).then_some(index)
            };
            let (Some(mean), Some(variance)) = (find("running_mean"), find("running_var")) else {
                continue;
            };
            if part == "running_mean" {
                let norm = BatchNorm {
                    module: module.to_owned(),
                    mean,
                    variance,
                    scale: find("weight"),
                    shift: find("bias"),
                };
                let siblings = by_parent.entry(parent(module)).or_default();
                siblings.push(Sibling {
                    path: module,
                    norm,
                    length,
                });
            }
        }
        for norms in by_parent.values_mut() {
            norms.sort_by_key(|norm| norm.path);
            norms.sort_by(|a, b| segment(a.path).natural(&segment(b.path)));
        }
        Self { by_parent }
    }

    /// The norm of this path, as a list declares it for a layer of so many kernels; an empty path says that there is none.
    pub fn declared(&self, path: &str, kernels: usize) -> Result<NormBehind, Contradiction> {
        if path.is_empty() {
            return Ok(NormBehind::None);
        }
        match self
            .of_module(parent(path))
            .iter()
            .find(|norm| norm.path == path)
        {
            None => Err(Contradiction::NoNorm {
                norm: path.to_owned(),
            }),
            Some(found) if found.length != kernels => Err(Contradiction::NormLength {
                norm: path.to_owned(),
                length: found.length,
                kernels,
            }),
            Some(found) => Ok(NormBehind::Found(found.norm.clone())),
        }
    }

    /// The norm behind each convolution's module, where it can be told, and the modules for which that is in doubt.
    pub fn behind(&self, layers: &[Layer]) -> (HashMap<String, &BatchNorm>, HashSet<String>) {
        let mut modules: Vec<(&str, Vec<Conv<'_>>)> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        let names = || layers.iter().flat_map(Layer::names).filter_map(module_of);
        let mut siblings: HashMap<&str, usize> = HashMap::new();
        names().for_each(|module| *siblings.entry(split(module).0).or_default() += 1);
        for layer in layers {
            for module in layer.names().filter_map(module_of) {
                // MONAI's `conv1.conv`, alone in its module, stands where that does.
                let around = split(module).0;
                let is_alone = siblings[around] == 1 && !self.by_parent.contains_key(around);
                let path = if is_alone && !around.is_empty() {
                    around
                } else {
                    module
                };
                let place = *places.entry(split(path).0).or_insert_with(|| {
                    modules.push((split(path).0, Vec::new()));
                    modules.len() - 1
                });
                modules[place].1.push(Conv {
                    module,
                    path,
                    reads: layer.inputs(),
                    gives: layer.kernels,
                    is_linear: layer.kind == Kind::Linear,
                });
            }
        }
        let mut found: Vec<(&str, &Sibling<'_>)> = Vec::new();
        let mut paired = Vec::new();
        for (parent, convs) in &modules {
            let norms = self.of_module(parent);
            let is_numbered =
                |conv: &Conv<'_>| split(conv.path).1.bytes().all(|byte| byte.is_ascii_digit());
            let (numbered, named): (Vec<_>, Vec<_>) = convs.iter().copied().partition(is_numbered);
            let by_leaf = norms.iter().map(|norm| (split(norm.path).1, norm));
            let by_leaf: HashMap<&str, &Sibling<'_>> = by_leaf.collect();
            found.extend(numbered.iter().filter_map(|conv| {
                let place: u64 = split(conv.path).1.parse().ok()?;
                let next = by_leaf.get(&place.checked_add(1)?.to_string()[..])?;
                (next.length == conv.gives).then_some((conv.module, *next))
            }));
            paired.extend(pairs(&named, norms));
        }
        found.extend(settled(&paired));
        // A norm that two convolutions could have in front of it says nothing of either.
        let mut claims: HashMap<&str, usize> = HashMap::new();
        found
            .iter()
            .for_each(|(_, norm)| *claims.entry(norm.path).or_default() += 1);
        found.retain(|(_, norm)| claims[norm.path] == 1);
        let modules_found: HashSet<&str> = found.iter().map(|(module, _)| *module).collect();
        let taken: HashSet<&str> = found.iter().map(|(_, norm)| norm.path).collect();
        let mut doubtful = HashSet::new();
        for (parent, convs) in &modules {
            let left = self.of_module(parent).iter();
            let left = left.filter(|norm| !taken.contains(norm.path));
            let left: HashSet<usize> = left.map(|norm| norm.length).collect();
            let without = convs
                .iter()
                .filter(|conv| !modules_found.contains(conv.module));
            let in_doubt = without.filter(|conv| left.contains(&conv.gives));
            doubtful.extend(in_doubt.map(|conv| conv.module.to_owned()));
        }
        let found = found.into_iter();
        let found = found.map(|(module, norm)| (module.to_owned(), &norm.norm));
        (found.collect(), doubtful)
    }

    /// The norms in a module.
    fn of_module(&self, parent: &str) -> &[Sibling<'a>] {
        self.by_parent.get(parent).map_or(&[], |norms| norms)
    }
}

/// The module around a norm: for MONAI's `adn.N`, the one around `adn`.
fn parent(module: &str) -> &str {
    let parent = split(module).0;
    match split(parent) {
        (around, "adn") => around,
        _ => parent,
    }
}
