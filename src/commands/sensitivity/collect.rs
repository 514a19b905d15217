//! Drawing what is known of a sweep.

use std::path::Path;

use crate::error::Error;
use crate::sensitivity::{Results, Sweep, read};

use super::super::{Outcome, Session};

pub(super) fn collect(
    folder: &Path,
    sweep: Sweep,
    session: &mut Session<'_>,
) -> Result<Outcome, Error> {
    let points = read(folder, &sweep.base())?;
    let results = Results::new(sweep, points);
    let _ = (results, session);
    Ok(Outcome::Done)
}
