//! The momentum of a checkpoint's weights, which the optimizer in the same file keeps.

use std::collections::BTreeMap;

use super::container::Container;
use super::{Checkpoint, Error, Problem, Tensor, torch};

/// For each weight that has some, the running means of its gradients: tensors of its shape outside of the state dict.
#[derive(Clone, Debug, Default)]
pub struct Momentum {
    /// By the weight's name.
    tensors: BTreeMap<String, Vec<Tensor>>,
    is_by_order: bool,
}

impl Momentum {
    pub(super) fn new(is_by_order: bool) -> Self {
        Self {
            tensors: BTreeMap::new(),
            is_by_order,
        }
    }

    /// Whether it was matched with weights by the order in which the optimizer was given them, and others of the same shape
    /// would do as well.
    pub fn is_by_order(&self) -> bool {
        self.is_by_order
    }

    pub(super) fn add(&mut self, weight: String, momentum: Tensor) {
        self.tensors.entry(weight).or_default().push(momentum);
    }

    /// That of the weight of this name.
    pub fn of(&self, weight: &str) -> &[Tensor] {
        self.tensors.get(weight).map_or(&[], |tensors| tensors)
    }
}

impl Checkpoint {
    /// The momentum of its weights: `exp_avg` or `momentum_buffer` of the optimizer in the same file of `torch.save`. The
    /// optimizer's parameters are matched with the weights by name if it keeps names, and otherwise by order and shape.
    ///
    /// # Errors
    ///
    /// If there is no such optimizer, several, or it cannot be told which momentum belongs to which weight.
    pub fn momentum(&self) -> Result<Momentum, Error> {
        let found = match (self.folder(), self.shards()) {
            (None, [shard]) => match shard.container() {
                Container::Torch(file) => torch::momentum(file, self.tensors()),
                Container::Safetensors { .. } => Err(torch::Problem::NoMomentum),
            },
            _ => Err(torch::Problem::MomentumElsewhere),
        };
        found.map_err(|problem| Problem::from(problem).of(self.path()))
    }

    /// The error for momentum that holds a NaN or an infinity.
    pub(crate) fn momentum_not_finite(&self, momentum: &Tensor) -> Error {
        let name = momentum.name.clone();
        Problem::from(torch::Problem::MomentumNotFinite { name }).of(self.path())
    }
}
