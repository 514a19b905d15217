//! `inspect IN`: the layers, from the header and as much of the weights as it takes to tell copies.

use crate::checkpoint::Checkpoint;
use crate::cli::Inspect;
use crate::error::Error;
use crate::report::InspectReport;

use super::{Outcome, Session, selecting};

pub(super) fn run(args: &Inspect, session: &mut Session<'_>) -> Result<Outcome, Error> {
    let source = Checkpoint::open(&args.input)?;
    let settings = selecting::settings(
        args.layers.settings(),
        args.layers.config.as_deref(),
        &source,
    )?;
    let layers = selecting::find(&source, &args.layers, &settings)?;
    let report = InspectReport::new(&source, &layers, settings.parameters.skip_shallow);
    session.result(&report, InspectReport::to_text)?;
    session.warn(&report.warnings);
    Ok(Outcome::Done)
}
