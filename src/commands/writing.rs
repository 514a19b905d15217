//! What `merge` and `apply` have in common: following a recipe to an output.

use std::path::Path;
use std::time::Instant;

use rayon::ThreadPool;

use crate::apply::{Change, apply};
use crate::checkpoint::{Checkpoint, Destination, Draft, Durability};
use crate::cli::Writing;
use crate::error::Error;
use crate::plan::{Plan, Recipe};
use crate::report::MergeReport;

use super::{Outcome, Session};

/// Checks that a checkpoint may be written to `output`.
pub(super) fn destination(
    source: &Checkpoint,
    output: &Path,
    force: bool,
) -> Result<Destination, Error> {
    if !force && source.is_at(output) {
        return Err(Error::OutputIsInput(output.to_owned()));
    }
    Ok(Destination::check(output, force)?)
}

/// How a run that merges nothing, or something, ends; says so where merges are required.
pub(super) fn outcome(nothing: bool, flags: &Writing, warnings: &mut Vec<String>) -> Outcome {
    if nothing && flags.require_merges {
        warnings.push("no checkpoint was written, as --require-merges asks".to_owned());
        Outcome::NothingMerged
    } else {
        Outcome::Done
    }
}

/// Blends what the recipe says and, with a destination, writes the result there.
pub(super) fn follow(
    source: &Checkpoint,
    recipe: &Recipe<'_>,
    destination: Option<&Destination>,
    durability: Durability,
    session: &Session<'_>,
    pool: &ThreadPool,
) -> Result<Vec<Change>, Error> {
    let bar = session.bar("writing", recipe.layers.len() as u64);
    let draft = destination
        .map(|destination| Draft::copy(source, destination))
        .transpose()?;
    let changes = pool.install(|| apply(source, recipe, draft.as_ref(), &|_| bar.inc(1)))?;
    bar.finish_and_clear();
    if let Some(draft) = draft {
        draft.publish(durability)?;
    }
    Ok(changes)
}

/// The result of a run to report.
pub(super) struct Finished<'a> {
    pub source: &'a Checkpoint,
    pub output: Option<&'a Path>,
    pub plan: &'a Plan,
    pub changes: &'a [Change],
    pub pairs_above_tau: Option<u64>,
    /// About the layers.
    pub layer_warnings: Vec<String>,
    /// About the run as a whole.
    pub run_warnings: Vec<String>,
    pub outcome: Outcome,
    pub started: Instant,
}

impl Finished<'_> {
    /// Prints the report and the warnings.
    pub fn report(self, session: &mut Session<'_>) -> Result<Outcome, Error> {
        for layer in &self.plan.skipped {
            session.note(&format!("left alone: {} ({})", layer.name, layer.reason))?;
        }
        let report = MergeReport::new(
            (self.source.path(), self.source.len()),
            self.output,
            self.plan,
            self.changes,
            self.pairs_above_tau,
            [&self.layer_warnings[..], &self.run_warnings].concat(),
            self.started.elapsed().as_secs_f64(),
        );
        session.result(&report, MergeReport::to_text)?;
        // Last, where they are seen.
        session.warn(&self.layer_warnings)?;
        session.warn(&self.run_warnings)?;
        Ok(self.outcome)
    }
}
