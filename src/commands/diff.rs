//! `diff A B`: what changed between two checkpoints.

use crate::cli::Diff;
use crate::console::Console;
use crate::diff::diff;
use crate::error::Error;
use crate::report::DiffReport;
use crate::selection;
use crate::settings::Settings;

use super::Outcome;

pub(super) fn run(args: &Diff, console: &Console<'_>) -> Result<Outcome, Error> {
    let before = args.from.open(&args.before)?;
    let after = args.from.open(&args.after)?;
    let layers = selection::find(&before, &Settings::default(), None)?;
    let report = DiffReport::new(
        before.has_same_header(&after),
        diff(&before, &after, &layers)?,
    );
    console.result(&report, |report| report.to_text(console.columns()))?;
    Ok(Outcome::Done)
}
