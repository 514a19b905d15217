//! Merging the momentum of merged kernels along with them.

use crate::apply;
use crate::checkpoint::{Checkpoint, Draft, Momentum};
use crate::compute::Compute;
use crate::meter::{Meter, WorkEstimate};
use crate::plan::{LayerRecipe, Plan, Recipe};
use crate::weight::ConvWeight;

use super::Error;

/// What the user should know of how momentum was matched with weights.
pub(super) fn warning(momentum: Option<&Momentum>) -> Option<String> {
    momentum.filter(|momentum| momentum.is_by_order()).map(|_| {
        "the optimizer does not name its parameters, so its momentum was matched with the weights by order and shape, as \
         model.parameters() has them; if it was given them in another order, that of other kernels was merged: give it \
         model.named_parameters()"
            .to_owned()
    })
}

/// Blends the momentum of each merged kernel with that of its partner, as a plan has it for the kernels themselves, and writes
/// the result to the draft, if there is one. Returns how many tensors of momentum that changes.
///
/// # Errors
///
/// If the plan does not fit the checkpoint, the momentum cannot be read, or the draft cannot be written.
pub(super) fn merge(
    source: &Checkpoint,
    plan: &Plan,
    momentum: &Momentum,
    draft: Option<&mut Draft<'_>>,
    compute: &Compute,
    meter: &dyn Meter,
) -> Result<usize, Error> {
    let recipe = Recipe::check(plan, source).map_err(|problem| problem.of(source.path()))?;
    let layers = recipe.layers.into_iter().zip(&plan.layers);
    let merged = layers.filter(|(layer, _)| !layer.rounds.is_empty());
    let layers = merged.flat_map(|(layer, planned)| {
        let tensors = layer.weight.tensors();
        let momentum = tensors.flat_map(|tensor| momentum.of(&tensor.name));
        let weights =
            momentum.filter_map(|tensor| ConvWeight::new(tensor, planned.kind, planned.groups));
        let recipes = weights.map(|weight| LayerRecipe {
            weight,
            blend: layer.blend,
            rounds: layer.rounds.clone(),
            norms_only: false,
        });
        recipes.collect::<Vec<_>>()
    });
    let recipe = Recipe {
        layers: layers.collect(),
        carried: Vec::new(),
    };
    compute.pool.install(|| check_finite(source, &recipe))?;
    if draft.is_some() && !recipe.layers.is_empty() {
        let bytes = recipe
            .layers
            .iter()
            .map(|layer| layer.weight.bytes() as u64);
        meter.expect(WorkEstimate {
            layers: bytes.sum(),
            ..WorkEstimate::default()
        });
        meter.stage("merging momentum");
        let apply = || apply::apply(source, &recipe, draft, meter);
        compute.pool.install(apply)?;
    }
    Ok(recipe.layers.len())
}

/// Refuses momentum with a NaN or an infinity, which a merge would carry from one kernel to another.
fn check_finite(source: &Checkpoint, recipe: &Recipe<'_>) -> Result<(), Error> {
    for layer in &recipe.layers {
        let kernels = layer.weight.layout().kernels();
        let tensor = layer.weight.tensor();
        let squares = |values: &[u8]| apply::squares(&layer.weight.rows(values), kernels);
        let squares = source.with_values(tensor, squares)?;
        if !squares.iter().all(|square| square.is_finite()) {
            return Err(source.momentum_not_finite(tensor).into());
        }
    }
    Ok(())
}
