//! The momentum that an optimizer in the file keeps of its parameters.
//!
//! `torch.optim.Optimizer.state_dict()` is `{"state": {0: {"exp_avg": …}, …}, "param_groups": [{"params": [0, 1, …], …}, …]}`: it numbers
//! the parameters in the order in which they were handed in, and names none unless the optimizer was made of named ones.

use std::collections::{HashMap, HashSet};

use super::nesting::walk;
use super::pickle::{Id, Pickle};
use super::tensors::{Described, Tensors};
use super::{Problem, state_dict};
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
/// If the file does not hold exactly one optimizer with momentum, that may be of another state dict than the one at this path, or it
/// cannot be told what belongs to which tensor.
pub(super) fn momentum(
    pickle: &Pickle<'_>,
    all: &Tensors,
    path: &str,
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
    let Matched { pairs, is_by_order } = Matcher::new(pickle, all, tensors, optimizer).run()?;
    let others = state_dict::find(pickle, all).into_iter();
    let mut fitting = others.filter(|other| other.path != path).filter(|other| {
        let tensors = all.unshared(pickle, &other.tensors);
        let matched = Matcher::new(pickle, all, &tensors, optimizer).run();
        matched.is_ok_and(|matched| !matched.pairs.is_empty())
    });
    if let Some(other) = fitting.next() {
        return Err(Problem::MomentumOfSeveral {
            optimizer: optimizer.path.clone(),
            path: path.to_owned(),
            other: other.path,
        });
    }
    let named = pairs.iter().flat_map(|&(parameter, tensor)| {
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
    let mut momentum = Momentum::new(is_by_order);
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

/// Which of an optimizer's parameters is which tensor.
struct Matched {
    /// Of convolutions by their shape.
    pairs: Vec<(usize, usize)>,
    /// Whether some could be others if the parameters were not handed in in the order of definition.
    is_by_order: bool,
}

/// Matches an optimizer's parameters with the tensors of a state dict.
struct Matcher<'m, 'p> {
    tensors: &'m [Tensor],
    optimizer: &'m Optimizer<'p>,
    /// The tensors that may be parameters: of floats, no known buffers, and of several names for the same bytes the first.
    candidates: Vec<usize>,
    /// By parameter, the shape of its momentum.
    shapes: HashMap<usize, &'m [usize]>,
    /// The candidates by their names, whole and without one or more of the modules around them; empty if the optimizer has no names.
    ends: HashMap<&'m str, Vec<usize>>,
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
        let candidates: Vec<usize> = candidates.collect();
        let mut ends: HashMap<&str, Vec<usize>> = HashMap::new();
        if optimizer.groups.iter().any(|group| group.names.is_some()) {
            for &index in &candidates {
                let name = &*tensors[index].name;
                let parts = name.match_indices('.').map(|(at, _)| &name[at + 1..]);
                for end in parts.chain([name]) {
                    ends.entry(end).or_default().push(index);
                }
            }
        }
        Self {
            tensors,
            optimizer,
            shapes: shapes.collect(),
            candidates,
            ends,
        }
    }

    /// The parameters that have momentum and are convolutions by their shape, each with its tensor.
    fn run(&self) -> Result<Matched, Problem> {
        let groups = self.optimizer.groups.len();
        if groups > MAX_GROUPS {
            return Err(Problem::ManyGroups { groups });
        }
        let (mut named, mut ordered) = (Vec::new(), Vec::new());
        for group in &self.optimizer.groups {
            match self.by_name(group) {
                Some(pairs) => named.extend(pairs),
                None => ordered.extend(self.by_order(group)?),
            }
        }
        self.check_modules(&ordered)?;
        let is_convolution = |&(parameter, _): &(usize, usize)| self.is_convolution(parameter);
        ordered.retain(is_convolution);
        named.retain(is_convolution);
        let mut shapes = HashSet::new();
        let mut ordered_shapes = ordered
            .iter()
            .map(|&(_, tensor)| &self.tensors[tensor].shape);
        let is_by_order = !ordered_shapes.all(|shape| shapes.insert(shape));
        let pairs = [named, ordered].concat();
        let mut tensors = HashSet::new();
        match pairs.iter().find(|&&(_, tensor)| !tensors.insert(tensor)) {
            Some(&(parameter, tensor)) => Err(self.several(parameter, tensor)),
            None => Ok(Matched { pairs, is_by_order }),
        }
    }

    /// The tensors of the same names, if the group has names and each is that of one tensor of the right shape. The optimizer may
    /// be of a part of the net, whose names are the ends of those in the state dict: of several such ends none is taken.
    fn by_name(&self, group: &Group<'_>) -> Option<Vec<(usize, usize)>> {
        let names = group.names.as_ref()?;
        let pairs = group
            .parameters
            .iter()
            .zip(names)
            .map(|(&parameter, name)| {
                let mut fitting = self
                    .ends
                    .get(name)?
                    .iter()
                    .filter(|&&tensor| self.fits(parameter, tensor));
                let &tensor = fitting.next()?;
                fitting.next().is_none().then_some((parameter, tensor))
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

    /// Checks that of each module that holds a convolution all parameters were matched, or none: if the parameters are sorted in
    /// another way, with a bias before its weight, say, they fit by shape one module further.
    fn check_modules(&self, pairs: &[(usize, usize)]) -> Result<(), Problem> {
        let by_tensor: HashMap<usize, usize> = pairs
            .iter()
            .map(|&(parameter, tensor)| (tensor, parameter))
            .collect();
        let module = |&index: &usize| {
            self.tensors[index]
                .name
                .rsplit_once('.')
                .map(|(module, _)| module)
        };
        for own in self.candidates.chunk_by(|a, b| module(a) == module(b)) {
            let is_convolution = |&index: &usize| self.tensors[index].shape.len() >= 3;
            let matched = own
                .iter()
                .find_map(|index| Some((by_tensor.get(index)?, *index)));
            let is_part = own.iter().any(|index| !by_tensor.contains_key(index));
            if let Some((&parameter, tensor)) = matched
                && is_part
                && own.iter().any(is_convolution)
            {
                return Err(self.several(parameter, tensor));
            }
        }
        Ok(())
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
