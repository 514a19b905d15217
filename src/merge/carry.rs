//! Changing the biases and BatchNorms behind merged kernels along with them.

use rayon::prelude::*;

use crate::checkpoint::{
    Checkpoint, Draft, Error as CheckpointError, Fill, PIECE_BYTES, Problem, Tensor,
};
use crate::compute::Compute;
use crate::layers::{Layers, NormBehind};
use crate::meter::Meter;
use crate::plan::{CarriedTensors, Carry, LayerRecipe, Plan, Recipe};
use crate::similarity::exact;
use crate::weight::{Element, with_element};

use super::Error;

/// What the user should know of merged layers behind which no BatchNorm was found, in a checkpoint that has some.
pub(super) fn warning(carry: Carry, layers: &Layers, plan: &Plan) -> Option<String> {
    let mut behind = layers.layers.iter().flat_map(|layer| &layer.behind);
    let has_norms =
        behind.any(|behind| matches!(behind.norm, NormBehind::Found(_) | NormBehind::Doubtful));
    let wants_norms = has_norms && (carry.norm || carry.affine);
    let is_open = |norm: &NormBehind| match norm {
        // Its bias stays too, where that was asked for.
        NormBehind::Doubtful => carry.is_any(),
        NormBehind::NotFound => wants_norms,
        NormBehind::Found(_) | NormBehind::None => false,
    };
    let merged = layers.selected().zip(&plan.layers);
    let merged = merged.filter(|(_, planned)| !planned.merges.is_empty());
    let without: Vec<&str> = merged
        .filter(|(layer, _)| layer.behind.iter().any(|behind| is_open(&behind.norm)))
        .map(|(layer, _)| &layer.name[..])
        .collect();
    let first = without.first()?;
    let others = match without.len() {
        1 => String::new(),
        2 => " and one more merged layer".to_owned(),
        count => format!(" and {} more merged layers", count - 1),
    };
    Some(format!(
        "no BatchNorm was found behind `{first}`{others}; where there may be one, it and the bias in front of it stay those of the old \
         kernels: name it with --layers, as {{\"name\": \"{first}\", \"norm\": \"path.of.the.norm\"}}, or \"\" if there is none"
    ))
}

/// Changes what a plan says changes along with its layers, and writes it to the draft, if there is one. Returns how many tensors that
/// changes.
///
/// # Errors
///
/// If the plan does not fit the checkpoint, one of these tensors holds what cannot be blended, it cannot be read, or the draft cannot be
/// written.
pub(super) fn carry(
    source: &Checkpoint,
    plan: &Plan,
    draft: Option<&mut Draft<'_>>,
    compute: &Compute,
    meter: &dyn Meter,
) -> Result<usize, Error> {
    let recipe = Recipe::check(plan, source).map_err(|problem| problem.of(source.path()))?;
    let layers = recipe.layers.par_iter().zip(&recipe.carried);
    let layers = layers.filter(|(layer, _)| !layer.rounds.is_empty());
    let changed = || {
        let changed = layers.map(|(layer, tensors)| changed(source, layer, tensors));
        changed.collect::<Result<Vec<_>, _>>()
    };
    let changed: Vec<(&Tensor, Vec<u8>)> = compute
        .pool
        .install(changed)?
        .into_iter()
        .flatten()
        .collect();
    if let Some(draft) = draft.filter(|_| !changed.is_empty()) {
        meter.stage("carrying norms and biases");
        let tensors: Vec<&Tensor> = changed.iter().map(|(tensor, _)| *tensor).collect();
        draft.write_while(Fill::First, &tensors, meter, |sink| {
            for (tensor, values) in &changed {
                let mut start = tensor.bytes.start;
                for piece in values.chunks(PIECE_BYTES) {
                    let mut buffer = sink.buffer();
                    buffer.extend_from_slice(piece);
                    sink.write([(tensor.shard, start)], buffer);
                    start += piece.len();
                }
            }
            Ok::<_, CheckpointError>(())
        })?;
    }
    Ok(changed.len())
}

/// What a layer's tensors become.
fn changed<'a>(
    source: &Checkpoint,
    layer: &LayerRecipe<'_>,
    tensors: &CarriedTensors<'a>,
) -> Result<Vec<(&'a Tensor, Vec<u8>)>, CheckpointError> {
    let read = |tensor: &Tensor, is_variance: bool| {
        let values = source.with_values(tensor, <[u8]>::to_vec)?;
        let float = tensor.float_type().expect("checked with the plan");
        let can_be_blended = with_element!(float, E => values.chunks_exact(E::SIZE).all(|x| {
            let x = E::read(x).widen();
            x.is_finite() && (x >= 0.0 || !is_variance)
        }));
        if !can_be_blended {
            let what = match is_variance {
                true => "NaN, an infinity or a negative variance",
                false => "NaN or an infinity",
            };
            let tensor = tensor.name.clone();
            return Err(Problem::NotBlendable { tensor, what }.of(source.path()));
        }
        Ok((float, values))
    };
    let mut changed = Vec::new();
    for &tensor in &tensors.blended {
        let (float, mut values) = read(tensor, false)?;
        for pairs in &layer.rounds {
            let before = values.clone();
            let number = |kernel: usize| kernel * float.size()..(kernel + 1) * float.size();
            for &(kernel, partner) in pairs {
                let (own, other) = (&before[number(kernel)], &before[number(partner)]);
                layer
                    .blend
                    .kernels(float, own, other, &mut values[number(kernel)]);
            }
        }
        changed.push((tensor, values));
    }
    if tensors.variances.is_empty() {
        return Ok(changed);
    }
    let weight = layer.weight.tensor();
    let similarities = source.with_values(weight, |values| similarities(layer, values))?;
    for &tensor in &tensors.variances {
        let (float, mut values) = read(tensor, true)?;
        with_element!(float, E => {
            let number = |kernel: usize| kernel * E::SIZE..(kernel + 1) * E::SIZE;
            for (pairs, similarities) in layer.rounds.iter().zip(&similarities) {
                let before = values.clone();
                let variance = |kernel: usize| E::read(&before[number(kernel)]).widen();
                for (&(kernel, partner), &similarity) in pairs.iter().zip(similarities) {
                    let both = [kernel, partner].map(variance);
                    let variance = layer.blend.variance(both, similarity);
                    E::narrow(variance).write(&mut values[number(kernel)]);
                }
            }
        });
        changed.push((tensor, values));
    }
    Ok(changed)
}

/// By round and pair, the similarity by the float64 definition of the kernels as they are then.
fn similarities(layer: &LayerRecipe<'_>, values: &[u8]) -> Vec<Vec<f64>> {
    let mut rows = layer.weight.rows(values);
    let mut similarities = Vec::with_capacity(layer.rounds.len());
    for pairs in &layer.rounds {
        let similarity = |&(kernel, partner): &(usize, usize)| {
            let (own, other) = (rows.row(kernel), rows.row(partner));
            with_element!(rows.float(), E => {
                let dot = exact::dot::<E>(own, other);
                exact::cosine(dot, exact::norm::<E>(own), exact::norm::<E>(other))
            })
        };
        similarities.push(pairs.iter().map(similarity).collect());
        rows.merge_round(pairs, layer.blend);
    }
    similarities
}
