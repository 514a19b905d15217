//! Merging the momentum of merged kernels along with them.

use crate::apply;
use crate::checkpoint::{Checkpoint, Draft, Momentum};
use crate::compute::Compute;
use crate::meter::{Meter, WorkEstimate};
use crate::plan::{LayerRecipe, Plan, Recipe};
use crate::weight::ConvWeight;

use super::Error;

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
        });
        recipes.collect::<Vec<_>>()
    });
    let recipe = Recipe {
        layers: layers.collect(),
    };
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
