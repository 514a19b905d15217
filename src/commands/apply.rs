//! `apply PLAN IN OUT`: write what a plan says.

use std::collections::{BTreeSet, HashSet};
use std::time::Instant;

use crate::apply::apply;
use crate::checkpoint::{Checkpoint, Destination, Draft, Fill};
use crate::cli::Apply;
use crate::error::Error;
use crate::layers::Selection;
use crate::plan::{Plan, Problem, Recipe};
use crate::report::FinishedRun;
use crate::similarity::Precision;

use super::progress::Amount;
use super::writing::{self, Verdict};
use super::{Outcome, Session, selecting};

pub(super) fn run(args: &Apply, session: &mut Session<'_>) -> Result<Outcome, Error> {
    let started = Instant::now();
    let source = match Checkpoint::open(&args.input) {
        Ok(source) => source,
        Err(_) if Plan::is_at(&args.input) => {
            return Err(Error::PlanAsInput(args.input.clone()));
        }
        Err(error) => return Err(error.into()),
    };
    writing::refuse_overwriting(&args.output, &[(Some(&args.plan), "plan")])?;
    let destination = writing::destination(&source, &args.output, args.writing.force)?;
    let of_plan = |problem: Problem| problem.of(&args.plan);
    // Seen by its header, before all of it is read as if it were JSON.
    if Checkpoint::open(&args.plan).is_ok() {
        return Err(of_plan(Problem::ACheckpoint).into());
    }
    let plan = Plan::read(&args.plan)?;
    let plan = match &args.prefix {
        Some(prefix) => plan.carried_over(prefix, &source).map_err(of_plan)?,
        None => plan,
    };
    let recipe = Recipe::check(&plan, &source).map_err(of_plan)?;
    if let Some(problem) = recipe.changed_copy(&source)? {
        return Err(of_plan(problem).into());
    }

    let mut verdict = Verdict::new(recipe.is_empty(), &args.writing);
    verdict.warnings.extend(unlisted_copies(&plan, &source)?);
    if verdict.nothing_merges {
        verdict.warn_first("NOTHING MERGED: the plan lists no merges".to_owned());
    }
    let target = (verdict.outcome == Outcome::Done).then_some(&destination);
    let mut draft = target
        .map(|destination| Draft::begin(&source, destination))
        .transpose()?;
    let pool = session.pool()?;
    let progress = session.progress(
        "applying",
        amount(&source, &recipe, draft.is_some()),
        Precision::F32,
    );
    let changes = pool.install(|| apply(&source, &recipe, draft.as_mut(), &progress))?;
    if let Some(draft) = draft {
        progress.now("saving");
        let warnings = pool.install(|| draft.publish(args.writing.durability()))?;
        verdict.warn_of_output(&warnings);
    }
    progress.finish();
    let max_similarities: Vec<Option<f64>> = plan
        .layers
        .iter()
        .map(|layer| layer.max_similarity)
        .collect();
    let run = FinishedRun {
        source: &source,
        output: target.map(Destination::path),
        report: None,
        plan: &plan,
        changes: &changes,
        max_similarities: &max_similarities,
        pairs_above_tau: None,
        backend: "cpu".to_owned(),
        layer_warnings: Vec::new(),
        run_warnings: verdict.warnings,
        seconds: started.elapsed().as_secs_f64(),
    };
    writing::report(&run, session)?;
    Ok(verdict.outcome)
}

/// What to say of copies of the plan's layers that the plan does not list, if there are some: merging changes the one and not
/// the other. A plan of another program may well mean that.
fn unlisted_copies(plan: &Plan, source: &Checkpoint) -> Result<Option<String>, Error> {
    let tensors = source.tensors();
    let merged = plan.layers.iter().filter(|layer| !layer.merges.is_empty());
    let merged: HashSet<&str> = merged.map(|layer| &layer.name[..]).collect();
    let planned = plan.layers.iter();
    let planned = planned.flat_map(|layer| std::iter::once(&layer.name).chain(&layer.copies));
    let skipped = plan.skipped.iter().map(|layer| &layer.name);
    let listed: HashSet<&str> = planned.chain(skipped).map(|name| &name[..]).collect();
    let copies = selecting::copies(source, &Selection::default())?;
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

/// The work ahead.
fn amount(source: &Checkpoint, recipe: &Recipe<'_>, is_written: bool) -> Amount {
    let weights = || recipe.layers.iter().map(|layer| &layer.weight);
    Amount {
        copied: match recipe.fill() {
            _ if !is_written => 0,
            Fill::First => source.size(),
            Fill::Between => {
                let layers = weights().map(|weight| weight.bytes_with_copies() as u64);
                source.size() - layers.sum::<u64>()
            }
        },
        layers: weights().map(|weight| weight.bytes() as u64).sum(),
        products: 0,
    }
}
