//! `inspect IN`: the layers, from the header and as much of the weights as it takes to tell copies.

use crate::cli::Inspect;
use crate::console::Console;
use crate::error::Error;
use crate::report::InspectReport;
use crate::selection;

use super::Outcome;

pub(super) fn run(args: &Inspect, console: &Console<'_>) -> Result<Outcome, Error> {
    let source = args.from.open(&args.input)?;
    let settings = args.layers.settings_for(source.path())?;
    let layers = selection::find(&source, &settings, args.layers.declaration()?.as_ref())?;
    let report = InspectReport::new(&source, &layers, settings.parameters.skip_shallow);
    console.result(&report, |report| report.to_text(console.columns()))?;
    console.warn(&report.warnings);
    Ok(Outcome::Done)
}
