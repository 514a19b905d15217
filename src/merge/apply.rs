//! Applying a plan that was made earlier.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use crate::apply;
use crate::checkpoint::{Checkpoint, Destination, Draft, Momentum};
use crate::compute::ComputeOptions;
use crate::layers::Selection;
use crate::meter::{Meter, WorkEstimate};
use crate::plan::{self, Plan, Problem, Recipe};
use crate::selection;

use super::{Error, Merged};

/// A plan, and the checkpoint to apply it to.
#[derive(Debug)]
pub struct ApplyRequest<'a> {
    /// The checkpoint to merge.
    pub source: &'a Checkpoint,
    /// The plan, with the layers' names in this checkpoint.
    pub plan: Plan,
    /// The plan's path, for errors.
    pub plan_file: &'a Path,
    /// The momentum to merge along with the weights; `None` to leave it as it is.
    pub momentum: Option<&'a Momentum>,
    /// Where the result goes; `None` to compute the changes without writing it.
    pub destination: Option<&'a Destination>,
}

/// Reads a plan for a checkpoint, in which the layers' names may have a prefix.
///
/// # Errors
///
/// If the file is not a plan, or the checkpoint lacks one of the plan's layers under that prefix.
pub fn read_plan(
    file: &Path,
    prefix: Option<&str>,
    source: &Checkpoint,
) -> Result<Plan, plan::Error> {
    // A checkpoint is recognized by its header, before all of it is read as JSON.
    if Checkpoint::open(file).is_ok() {
        return Err(Problem::ACheckpoint.of(file));
    }
    let plan = Plan::read(file)?;
    match prefix {
        Some(prefix) => plan
            .carried_over(prefix, source)
            .map_err(|problem| problem.of(file)),
        None => Ok(plan),
    }
}

/// Applies a plan, and writes a draft of the result.
///
/// # Errors
///
/// If the plan does not fit the checkpoint, the checkpoint cannot be read, or the draft cannot be written.
pub fn apply<'a>(
    request: ApplyRequest<'a>,
    options: &ComputeOptions,
    meter: &dyn Meter,
) -> Result<Merged<'a>, Error> {
    let ApplyRequest {
        source,
        plan,
        plan_file,
        momentum,
        destination,
    } = request;
    let recipe = Recipe::check(&plan, source).map_err(|problem| problem.of(plan_file))?;
    if let Some(problem) = recipe.changed_copy(source)? {
        return Err(problem.of(plan_file).into());
    }
    let mut warnings: Vec<String> = source.notices().iter().map(ToString::to_string).collect();
    if plan.is_empty() {
        warnings.push("NOTHING MERGED: the plan lists no merges".to_owned());
    }
    warnings.extend(unlisted_copies(&plan, source)?);
    let mut draft = destination
        .map(|destination| Draft::begin(source, destination))
        .transpose()?;
    let compute = options.start_without_blas(meter)?;
    let weights = || recipe.layers.iter().map(|layer| &layer.weight);
    meter.expect(WorkEstimate {
        copied: if draft.is_some() {
            apply::copied_bytes(recipe.fill(), source, weights())
        } else {
            0
        },
        layers: weights().map(|weight| weight.bytes() as u64).sum(),
        products: 0,
    });
    meter.stage("applying");
    let changes = compute
        .pool
        .install(|| apply::apply(source, &recipe, draft.as_mut(), meter))?;
    let is_carried = plan.layers.iter().any(|layer| !layer.carried.is_empty());
    let carried =
        is_carried.then(|| super::carry::carry(source, &plan, draft.as_mut(), &compute, meter));
    let layer_warnings = super::momentum::warning(momentum).into_iter().collect();
    let momentum = momentum.map(|momentum| {
        super::momentum::merge(source, &plan, momentum, draft.as_mut(), &compute, meter)
    });
    let layers = plan.layers.iter();
    Ok(Merged {
        source,
        carried: carried.transpose()?,
        momentum: momentum.transpose()?,
        max_similarities: layers.map(|layer| layer.max_similarity).collect(),
        plan,
        changes,
        pairs_above_tau: None,
        layer_warnings,
        warnings,
        compute,
        draft: draft.zip(destination),
        output: None,
    })
}

/// A warning about copies of the plan's layers that the plan does not list: merging changes the layer and not its copy. This
/// is no error, because a plan of another program may mean it.
fn unlisted_copies(plan: &Plan, source: &Checkpoint) -> Result<Option<String>, Error> {
    let tensors = source.tensors();
    let merged = plan.layers.iter().filter(|layer| !layer.merges.is_empty());
    let merged: HashSet<&str> = merged.map(|layer| &layer.name[..]).collect();
    let planned = plan.layers.iter();
    let planned = planned.flat_map(|layer| std::iter::once(&layer.name).chain(&layer.copies));
    let skipped = plan.skipped.iter().map(|layer| &layer.name);
    let listed: HashSet<&str> = planned.chain(skipped).map(|name| &name[..]).collect();
    let copies = selection::copies(source, &Selection::default())?;
    let unlisted = copies.groups().iter().flat_map(|group| {
        let names = || group.iter().map(|&tensor| &tensors[tensor].name[..]);
        let layer = names().find(|name| merged.contains(name));
        let others = names().filter(|name| !listed.contains(name));
        others
            .filter_map(move |copy| Some((layer?, copy)))
            .collect::<Vec<_>>()
    });
    let unlisted: BTreeSet<(&str, &str)> = unlisted.collect();
    Ok(unlisted.first().map(|(layer, copy)| {
        let more = match unlisted.len() {
            1 => String::new(),
            count => format!(" (and {} more like it)", count - 1),
        };
        format!(
            "`{copy}` holds the same weight as layer `{layer}` and is not in the plan: it stays as it is, and the two differ from now \
             on{more}; make a new plan to merge both alike"
        )
    }))
}
