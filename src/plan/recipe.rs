//! A plan that was checked against its checkpoint, resolved so that applying it needs no further decision.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::checkpoint::{self, Checkpoint, Tensor};
use crate::weight::{Blend, ConvWeight};

use super::carry_over::Relation;
use super::{Plan, PlannedLayer, Problem, SourceId};

/// How to apply a plan.
#[derive(Clone, Debug)]
pub struct Recipe<'a> {
    /// The layers, in the plan's order.
    pub layers: Vec<LayerRecipe<'a>>,
    /// What changes along with each of them.
    pub carried: Vec<CarriedTensors<'a>>,
}

/// The tensors that change along with a layer's kernels, as [`Carried`](super::Carried) names them.
#[derive(Clone, Debug)]
pub struct CarriedTensors<'a> {
    /// Those that are blended as the kernels are.
    pub blended: Vec<&'a Tensor>,
    /// Those that become the variance of the blended channels.
    pub variances: Vec<&'a Tensor>,
}

/// How to apply a plan to one layer.
#[derive(Clone, Debug)]
pub struct LayerRecipe<'a> {
    /// The weight to change.
    pub weight: ConvWeight<'a>,
    /// How two kernels are blended.
    pub blend: Blend,
    /// The `(kernel, partner)` pairs of each round that has any, in order.
    pub rounds: Vec<Vec<(usize, usize)>>,
    /// Whether a kernel is only scaled to the norm that it would have in the end: [`Control::Shrink`](super::Control::Shrink).
    pub norms_only: bool,
}

impl<'a> Recipe<'a> {
    /// Checks a plan against the checkpoint to which it will be applied.
    ///
    /// # Errors
    ///
    /// If the plan is for another checkpoint, or one of its layers or merges is impossible.
    pub fn check<'p>(plan: &'p Plan, source: &'a Checkpoint) -> Result<Self, Problem> {
        check_source(plan, source)?;
        let tensors: HashMap<&str, &'a Tensor> = source
            .tensors()
            .iter()
            .map(|tensor| (tensor.name.as_str(), tensor))
            .collect();
        let mut seen = HashSet::new();
        let mut layers = Vec::with_capacity(plan.layers.len());
        let mut carried = Vec::with_capacity(plan.layers.len());
        for layer in &plan.layers {
            let name = || layer.name.clone();
            let Some(&tensor) = tensors.get(layer.name.as_str()) else {
                return Err(Problem::UnknownLayer { layer: name() });
            };
            if !seen.insert(layer.name.as_str()) {
                return Err(Problem::RepeatedLayer { layer: name() });
            }
            let weight = weight(layer, tensor)?;
            let copies = layer.copies.iter().map(|copy| {
                if seen.insert(copy.as_str()) {
                    self::copy(layer, tensor, copy, tensors.get(copy.as_str()).copied())
                } else {
                    Err(Problem::RepeatedCopy {
                        layer: name(),
                        copy: copy.clone(),
                    })
                }
            });
            let weight = weight.with_copies(copies.collect::<Result<_, _>>()?);
            let mut carried_by = |names: &'p [String]| {
                let found = names.iter().map(|name| {
                    if !seen.insert(name.as_str()) {
                        return Err(Problem::RepeatedCarried {
                            layer: layer.name.clone(),
                            tensor: name.clone(),
                        });
                    }
                    self::carried(layer, name, tensors.get(name.as_str()).copied())
                });
                found.collect::<Result<Vec<_>, _>>()
            };
            carried.push(CarriedTensors {
                blended: carried_by(&layer.carried.blended)?,
                variances: carried_by(&layer.carried.variances)?,
            });
            layers.push(LayerRecipe {
                rounds: rounds(layer, &weight, plan.parameters.rounds.get())?,
                weight,
                blend: Blend::new(layer.alpha.unwrap_or(plan.parameters.alpha).get()),
                norms_only: false,
            });
        }
        Ok(Self { layers, carried })
    }
}

impl Recipe<'_> {
    /// The problem with the first copy that differs from its layer in the checkpoint; `None` if all are equal. If they differ,
    /// the plan's merges are right for only one of them.
    ///
    /// # Errors
    ///
    /// If the checkpoint cannot be read.
    pub fn changed_copy(&self, source: &Checkpoint) -> Result<Option<Problem>, checkpoint::Error> {
        for LayerRecipe { weight, .. } in &self.layers {
            for copy in weight.copies() {
                let are_equal = source.with_values(weight.tensor(), |values| {
                    source.with_values(copy, |others| values == others)
                });
                if !are_equal?? {
                    return Ok(Some(Problem::ChangedCopy {
                        layer: weight.tensor().name.clone(),
                        copy: copy.name.clone(),
                    }));
                }
            }
        }
        Ok(None)
    }
}

fn check_source(plan: &Plan, source: &Checkpoint) -> Result<(), Problem> {
    let (planned, actual) = (&plan.source, SourceId::of(source));
    let same_header = planned
        .header_sha256
        .eq_ignore_ascii_case(&actual.header_sha256);
    let what = if !same_header {
        "the header"
    } else if planned.bytes != actual.bytes {
        "the size"
    } else {
        return Ok(());
    };
    Err(Problem::OtherCheckpoint {
        planned: planned.file.clone(),
        remedy: remedy(plan, source),
        actual: actual.file,
        what,
    })
}

/// What to do with a plan for another checkpoint, which may fit this one with `--prefix`.
fn remedy(plan: &Plan, source: &Checkpoint) -> String {
    match plan.relation(source) {
        Some(Relation::Before("")) if source.state_dict().is_some() => {
            "make a plan for this one, name the state dict that it was made for with --state-dict, or, if this is another one of the same \
             net (averaged weights, say), apply this one to it with --prefix ''"
                .to_owned()
        }
        Some(Relation::Before("")) => {
            "make a plan for this one, or, if it holds other weights of the same net (averaged ones, say), apply this one to them with --prefix ''"
                .to_owned()
        }
        Some(Relation::Before(prefix)) => format!(
            "its names are the plan's with `{prefix}` before them: apply the plan to it with --prefix '{prefix}'"
        ),
        Some(Relation::Without(prefix)) => format!(
            "the plan's names are its own with `{prefix}` before them, which --prefix cannot take off: make a plan for this one, \
             and apply that to the other with --prefix '{prefix}'"
        ),
        None => "make a plan for this one".to_owned(),
    }
}

fn weight<'a>(layer: &PlannedLayer, tensor: &'a Tensor) -> Result<ConvWeight<'a>, Problem> {
    if layer.shape != tensor.shape {
        return Err(Problem::OtherShape {
            layer: layer.name.clone(),
            planned: layer.shape.clone(),
            actual: tensor.shape.clone(),
        });
    }
    ConvWeight::new(tensor, layer.kind, layer.groups)
        .filter(|weight| weight.layout().kernels() == layer.kernels)
        .ok_or_else(|| Problem::Impossible {
            layer: layer.name.clone(),
            kind: layer.kind.to_string(),
            groups: layer.groups,
            kernels: layer.kernels,
            shape: tensor.shape.clone(),
            dtype: tensor.dtype.to_string(),
        })
}

/// Checks that the tensor of a copy was found and has the layer's dtype and shape.
fn copy<'a>(
    layer: &PlannedLayer,
    tensor: &Tensor,
    copy: &str,
    found: Option<&'a Tensor>,
) -> Result<&'a Tensor, Problem> {
    let (layer, copy) = (layer.name.clone(), copy.to_owned());
    let Some(found) = found else {
        return Err(Problem::UnknownCopy { layer, copy });
    };
    if (found.dtype, &found.shape) == (tensor.dtype, &tensor.shape) {
        return Ok(found);
    }
    let describe = |tensor: &Tensor| format!("{} {:?}", tensor.dtype, tensor.shape);
    Err(Problem::OtherCopy {
        layer,
        copy,
        own: describe(tensor),
        other: describe(found),
    })
}

/// Checks that a tensor that changes along with a layer was found, and has a number for each kernel.
fn carried<'a>(
    layer: &PlannedLayer,
    name: &str,
    found: Option<&'a Tensor>,
) -> Result<&'a Tensor, Problem> {
    let Some(found) = found else {
        return Err(Problem::UnknownCarried {
            layer: layer.name.clone(),
            tensor: name.to_owned(),
        });
    };
    if found.shape == [layer.kernels] && found.float_type().is_some() {
        return Ok(found);
    }
    Err(Problem::OtherCarried {
        layer: layer.name.clone(),
        tensor: name.to_owned(),
        kernels: layer.kernels,
        actual: format!("{} {:?}", found.dtype, found.shape),
    })
}

/// Checks the merges of a layer, and returns their pairs by round.
fn rounds(
    layer: &PlannedLayer,
    weight: &ConvWeight<'_>,
    rounds: u32,
) -> Result<Vec<Vec<(usize, usize)>>, Problem> {
    let kernels = weight.layout().kernels();
    let group = kernels / weight.groups();
    let mut by_round: BTreeMap<u32, BTreeMap<usize, usize>> = BTreeMap::new();
    for merge in &layer.merges {
        let name = || layer.name.clone();
        let (round, kernel, partner) = (merge.round, merge.kernel, merge.partner);
        if round >= rounds {
            return Err(Problem::RoundOutOfRange {
                layer: name(),
                round,
                rounds,
            });
        }
        for (role, index) in [("kernel", kernel), ("partner", partner)] {
            if index >= kernels {
                return Err(Problem::KernelOutOfRange {
                    layer: name(),
                    role,
                    kernel: index,
                    last: kernels - 1,
                });
            }
        }
        if kernel == partner {
            return Err(Problem::MergeOntoItself {
                layer: name(),
                kernel,
            });
        }
        if kernel / group != partner / group {
            return Err(Problem::AcrossGroups {
                layer: name(),
                kernel,
                partner,
            });
        }
        let merged_before = by_round.entry(round).or_default().insert(kernel, partner);
        if merged_before.is_some() {
            return Err(Problem::MergedTwice {
                layer: name(),
                kernel,
                round,
            });
        }
    }
    Ok(by_round
        .into_values()
        .map(|pairs| pairs.into_iter().collect())
        .collect())
}
