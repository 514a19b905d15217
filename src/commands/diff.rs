//! `diff A B`: what changed between two checkpoints.

use crate::checkpoint::Checkpoint;
use crate::cli::Diff;
use crate::diff::diff;
use crate::error::Error;
use crate::layers::{Layers, Selection};
use crate::report::DiffReport;

use super::{Outcome, Session, selecting};

pub(super) fn run(args: &Diff, session: &mut Session<'_>) -> Result<Outcome, Error> {
    let before = Checkpoint::open(&args.before)?;
    let after = Checkpoint::open(&args.after)?;
    let selection = Selection::default();
    let copies = selecting::copies(&before, &selection)?;
    let layers = Layers::of(
        before.tensors(),
        before.metadata(),
        &copies,
        None,
        &selection,
    )
    .map_err(|error| Error::Layers {
        file: args.before.clone(),
        error,
    })?;
    let report = DiffReport::new(
        before.has_same_header(&after),
        diff(&before, &after, &layers)?,
    );
    session.result(&report, DiffReport::to_text)?;
    Ok(Outcome::Done)
}
