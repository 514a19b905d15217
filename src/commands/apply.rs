//! `apply PLAN IN OUT`: write what a plan says.

use std::time::Instant;

use rayon::ThreadPool;

use crate::checkpoint::Checkpoint;
use crate::cli::Apply;
use crate::error::Error;
use crate::plan::{Plan, Recipe};

use super::writing::{self, Finished};
use super::{Outcome, Session};

pub(super) fn run(
    args: &Apply,
    session: &mut Session<'_>,
    pool: &ThreadPool,
) -> Result<Outcome, Error> {
    let started = Instant::now();
    let source = Checkpoint::open(&args.input)?;
    let destination = writing::destination(&source, &args.output, args.writing.force)?;
    let plan = Plan::read(&args.plan)?;
    let recipe = Recipe::check(&plan, &source).map_err(|problem| problem.of(&args.plan))?;

    let nothing = recipe.layers.iter().all(|layer| layer.rounds.is_empty());
    let mut warnings = Vec::new();
    if nothing {
        warnings.push("NOTHING MERGED: the plan lists no merges".to_owned());
    }
    let outcome = writing::outcome(nothing, &args.writing, &mut warnings);
    let target = (outcome == Outcome::Done).then_some(&destination);
    let durability = args.writing.durability();
    let changes = writing::follow(&source, &recipe, target, durability, session, pool)?;
    Finished {
        source: &source,
        output: target.map(|target| target.path()),
        plan: &plan,
        changes: &changes,
        pairs_above_tau: None,
        layer_warnings: Vec::new(),
        run_warnings: warnings,
        outcome,
        started,
    }
    .report(session)
}
