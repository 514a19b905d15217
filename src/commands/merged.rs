//! What `merge` and `apply` say of a checkpoint that was merged.

use std::path::Path;
use std::time::Duration;

use crate::cli::Writing;
use crate::console::Console;
use crate::error::Error;
use crate::merge::Merged;
use crate::meter::{Level, Meter};
use crate::report::MergeReport;

use super::Outcome;

/// How a run ends that merged this. Where nothing merges and merges are required, a warning says that nothing is written.
pub(super) fn outcome(merged: &mut Merged<'_>, flags: &Writing) -> Outcome {
    if !(merged.plan.is_empty() && flags.require_merges) {
        return Outcome::Done;
    }
    let warning = "no checkpoint was written, as --require-merges asks".to_owned();
    // Behind what says why nothing merges.
    merged
        .warnings
        .insert(1.min(merged.warnings.len()), warning);
    Outcome::NothingMerged
}

/// Prints what a run did, and the warnings last, where they are seen.
///
/// # Errors
///
/// Where the report cannot be printed and is all that the run was for. Once a checkpoint is written the run has done its
/// work, and that is only a warning.
pub(super) fn print(
    merged: &Merged<'_>,
    report: Option<&Path>,
    time: Duration,
    console: &Console<'_>,
) -> Result<(), Error> {
    for layer in &merged.plan.skipped {
        let note = format!("left alone: {} ({})", layer.name, layer.reason);
        console.say(Level::Detail, &note);
    }
    let report = MergeReport::new(merged, report, time);
    let printed = console.result(&report, |report| report.to_text(console.columns()));
    console.warn(&merged.layer_warnings);
    console.warn(&merged.warnings);
    match (printed, merged.output()) {
        (Err(error), Some(output)) => console.warn(&[format!(
            "{} is written, but the report on it could not be printed ({error})",
            output.display()
        )]),
        (printed, _) => printed?,
    }
    Ok(())
}
