//! The momentum that an optimizer in the file keeps of its parameters.
//!
//! `torch.optim.Optimizer.state_dict()` is `{"state": {0: {"exp_avg": …}, …}, "param_groups": [{"params": [0, 1, …], …}, …]}`: it numbers
//! the parameters in the order in which they were handed in, and names none unless the optimizer was made of named ones.

use std::collections::{HashMap, HashSet};

use super::Problem;
use super::nesting::walk;
use super::pickle::{Id, Pickle};
use super::tensors::{Described, Tensors};
use crate::checkpoint::{FloatType, Momentum, Tensor};

/// The keys under which optimizers keep a running mean of a parameter's gradients: Adam and its kin, SGD and RMSprop.
const MOMENTUM: [&str; 2] = ["exp_avg", "momentum_buffer"];

/// How the names of buffers end that are no parameters.
const BUFFERS: [&str; 3] = ["running_mean", "running_var", "num_batches_tracked"];

/// The most groups of parameters: each is matched with all weights. One for each layer makes some hundreds.
const MAX_GROUPS: usize = 2000;

/// The state of an optimizer.
#[derive(Debug)]
struct Optimizer<'p> {
    path: String,
    groups: Vec<Group<'p>>,
    /// By parameter, its momentum: keys and tensors.
    momentum: HashMap<usize, Vec<(&'static str, Id)>>,
}

/// A group of parameters, in the order in which they were handed in.
#[derive(Debug)]
struct Group<'p> {
    parameters: Vec<usize>,
    /// Their names, if the optimizer keeps them.
    names: Option<Vec<&'p str>>,
}

/// The momentum of the convolutions among these tensors, a state dict in the order of definition.
///
/// # Errors
///
/// If the file does not hold exactly one optimizer with momentum, or it cannot be told what belongs to which tensor.
pub(super) fn momentum(
    pickle: &Pickle<'_>,
    all: &Tensors,
    tensors: &[Tensor],
) -> Result<Momentum, Problem> {
    let mut found = find(pickle, all);
    found.retain(|optimizer| !optimizer.momentum.is_empty());
    let optimizer = match &found[..] {
        [] => return Err(Problem::NoMomentum),
        [optimizer] => optimizer,
        _ => {
            let paths: Vec<String> = found.iter().map(|found| found.path.clone()).collect();
            let paths = paths.into();
            return Err(Problem::SeveralOptimizers { paths });
        }
    };
    let matched = Matcher::new(pickle, all, tensors, optimizer).run()?;
    let named = matched.iter().flat_map(|&(parameter, tensor)| {
        let own = optimizer.momentum[&parameter].iter();
        own.map(move |&(key, id)| {
            let name = format!("{}.state.{parameter}.{key}", optimizer.path);
            (name, id, tensor)
        })
    });
    let named: Vec<(String, Id, usize)> = named.collect();
    let names: Vec<(&str, Id)> = named.iter().map(|(name, id, _)| (&**name, *id)).collect();
    let (stored, shared) = all.named(pickle, &names);
    let stored = stored
        .into_iter()
        .map(|tensor| (tensor.name.clone(), tensor));
    let mut stored: HashMap<String, Tensor> = stored.collect();
    let shared: HashSet<String> = shared.into_iter().collect();
    let mut taken: HashSet<usize> = HashSet::new();
    let mut momentum = Momentum::default();
    for (name, _, tensor) in named {
        let weight = &tensors[tensor];
        let own = stored.remove(&name).filter(|own| {
            !own.is_view()
                && !shared.contains(&name)
                // Where two have the same, one would be merged over the other.
                && (own.bytes.is_empty() || taken.insert(own.bytes.start))
                && own.shape == weight.shape
                && FloatType::of(own.dtype).is_some()
        });
        let weight = weight.name.clone();
        match own {
            Some(own) => momentum.add(weight, own),
            None => return Err(Problem::MomentumShared { name, weight }),
        }
    }
    Ok(momentum)
}

/// Finds the optimizers, wherever a trainer nests them.
fn find<'p>(pickle: &Pickle<'p>, all: &Tensors) -> Vec<Optimizer<'p>> {
    let mut found = Vec::new();
    walk(pickle, |path, value| {
        let optimizer = read(pickle, all, path, value);
        let is_none = optimizer.is_none();
        found.extend(optimizer);
        is_none
    });
    found
}

/// The optimizer that a value is the state of, if it is one.
fn read<'p>(pickle: &Pickle<'p>, all: &Tensors, path: &str, value: Id) -> Option<Optimizer<'p>> {
    let state = pickle.entries(pickle.entry(value, "state")?)?;
    let groups = pickle.list(pickle.entry(value, "param_groups")?)?;
    let group = |&group: &Id| {
        let parameters = pickle.list(pickle.entry(group, "params")?)?;
        let parameters: Option<Vec<usize>> = parameters.iter().map(|&id| pickle.size(id)).collect();
        let names = pickle
            .entry(group, "param_names")
            .and_then(|names| pickle.list(names));
        Some(Group {
            parameters: parameters?,
            names: names.and_then(|names| names.iter().map(|&id| pickle.text(id)).collect()),
        })
    };
    let groups = groups.iter().map(group).collect::<Option<_>>()?;
    let mut momentum = HashMap::new();
    for &(parameter, state) in state {
        let own = MOMENTUM
            .iter()
            .filter_map(|&key| Some((key, pickle.entry(state, key)?)));
        let own: Vec<(&'static str, Id)> = own
            .filter(|&(_, id)| all.get(pickle, id).is_some())
            .collect();
        if let Some(parameter) = pickle.size(parameter).filter(|_| !own.is_empty()) {
            momentum.insert(parameter, own);
        }
    }
    Some(Optimizer {
        path: path.to_owned(),
        groups,
        momentum,
    })
}

/// Matches an optimizer's parameters with the tensors of a state dict.
struct Matcher<'m, 'p> {
    tensors: &'m [Tensor],
    optimizer: &'m Optimizer<'p>,
    /// The tensors that may be parameters: of floats, no known buffers, and of several names for the same bytes the first.
    candidates: Vec<usize>,
    /// By parameter, the shape of its momentum.
    shapes: HashMap<usize, &'m [usize]>,
}

impl<'m, 'p> Matcher<'m, 'p> {
    fn new(
        pickle: &Pickle<'p>,
        all: &'m Tensors,
        tensors: &'m [Tensor],
        optimizer: &'m Optimizer<'p>,
    ) -> Self {
        let mut bytes = HashSet::new();
        let candidates = (0..tensors.len()).filter(|&index| {
            let tensor = &tensors[index];
            let is_buffer = BUFFERS.iter().any(|end| tensor.name.ends_with(end));
            FloatType::of(tensor.dtype).is_some()
                && !is_buffer
                && (tensor.bytes.is_empty() || bytes.insert(tensor.bytes.clone()))
        });
        let shapes = optimizer.momentum.iter().filter_map(|(&parameter, own)| {
            match all.get(pickle, own[0].1) {
                Some(Described::Stored(stored)) => Some((parameter, stored.shape())),
                _ => None,
            }
        });
        Self {
            tensors,
            optimizer,
            candidates: candidates.collect(),
            shapes: shapes.collect(),
        }
    }

    /// The parameters that have momentum and are convolutions by their shape, each with its tensor.
    fn run(&self) -> Result<Vec<(usize, usize)>, Problem> {
        let groups = self.optimizer.groups.len();
        if groups > MAX_GROUPS {
            return Err(Problem::ManyGroups { groups });
        }
        let mut matched = Vec::new();
        for group in &self.optimizer.groups {
            match self.by_name(group) {
                Some(named) => matched.extend(named),
                None => matched.extend(self.by_order(group)?),
            }
        }
        matched.retain(|&(parameter, _)| self.is_convolution(parameter));
        let mut tensors = HashSet::new();
        match matched.iter().find(|&&(_, tensor)| !tensors.insert(tensor)) {
            Some(&(parameter, tensor)) => Err(self.several(parameter, tensor)),
            None => Ok(matched),
        }
    }

    /// The tensors of the same names, if the group has names and these are all there in the right shape.
    fn by_name(&self, group: &Group<'_>) -> Option<Vec<(usize, usize)>> {
        let names = group.names.as_ref()?;
        let named = self
            .candidates
            .iter()
            .map(|&index| (&*self.tensors[index].name, index));
        let named: HashMap<&str, usize> = named.collect();
        let pairs = group
            .parameters
            .iter()
            .zip(names)
            .map(|(&parameter, name)| {
                let &tensor = named.get(name)?;
                self.fits(parameter, tensor).then_some((parameter, tensor))
            });
        let pairs: Vec<(usize, usize)> = pairs.collect::<Option<_>>()?;
        (pairs.len() == group.parameters.len()).then_some(pairs)
    }

    /// A group's parameters stand in the order of definition, with others in between that are not in the group. So they are
    /// matched with the first tensors that fit one after the other, and with the last; where both are the same there is no
    /// other way.
    fn by_order(&self, group: &Group<'_>) -> Result<Vec<(usize, usize)>, Problem> {
        let first = self.in_order(group.parameters.iter(), self.candidates.iter())?;
        let last = self.in_order(group.parameters.iter().rev(), self.candidates.iter().rev())?;
        let pairs = first.into_iter().zip(last.into_iter().rev());
        let pairs = pairs
            .zip(&group.parameters)
            .map(|((first, last), &parameter)| {
                if first != last && self.is_convolution(parameter) {
                    return Err(self.several(parameter, first));
                }
                Ok((parameter, first))
            });
        pairs.collect()
    }

    fn in_order<'i>(
        &self,
        parameters: impl Iterator<Item = &'i usize>,
        mut candidates: impl Iterator<Item = &'i usize>,
    ) -> Result<Vec<usize>, Problem> {
        let tensors = parameters.map(|&parameter| {
            let fitting = candidates.find(|&&tensor| self.fits(parameter, tensor));
            fitting.copied().ok_or_else(|| Problem::MomentumUnmatched {
                optimizer: self.optimizer.path.clone(),
                parameter,
                shape: self
                    .shapes
                    .get(&parameter)
                    .map(|shape| shape.to_vec())
                    .unwrap_or_default(),
            })
        });
        tensors.collect()
    }

    /// Whether a parameter may be this tensor: that is open where it has no momentum.
    fn fits(&self, parameter: usize, tensor: usize) -> bool {
        let shape = self.shapes.get(&parameter);
        shape.is_none_or(|&shape| shape == self.tensors[tensor].shape)
    }

    fn is_convolution(&self, parameter: usize) -> bool {
        let shape = self.shapes.get(&parameter);
        shape.is_some_and(|shape| (2..=5).contains(&shape.len()))
    }

    fn several(&self, parameter: usize, tensor: usize) -> Problem {
        Problem::MomentumUnclear {
            optimizer: self.optimizer.path.clone(),
            parameter,
            tensor: self.tensors[tensor].name.clone(),
        }
    }
}
