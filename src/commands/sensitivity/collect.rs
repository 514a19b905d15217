//! Drawing what is known of a sweep.

use std::path::Path;

use rayon::prelude::*;

use crate::atomic::{Durability, FileDestination};
use crate::error::Error;
use crate::report::figures::{self, Figure};
use crate::report::page::sensitivity_page;
use crate::report::sensitivity::{SensitivitySummary, results_csv, results_json};
use crate::report::{self};
use crate::sensitivity::{Hold, Results, Sweep, read, remove_abandoned_scratch};

use super::super::{Outcome, Session};

/// Draws all points of a sweep's folder, and writes the report beside them.
///
/// # Errors
///
/// Where the journal cannot be read or the report not be written; what was there before is whole, file by file.
pub(super) fn collect(
    folder: &Path,
    sweep: Sweep,
    session: &mut Session<'_>,
) -> Result<Outcome, Error> {
    remove_abandoned_scratch(&Hold::on(folder));
    let points = read(folder, &sweep.base())?;
    let results = Results::new(sweep, points);
    let figures = figures::sensitivity(&results);
    let json = results_json(&results);
    let write = |name: &str, bytes: &[u8]| {
        let file = FileDestination::check(&folder.join(name), true)?;
        file.write(bytes, Durability::Unsynced)
    };
    let pool = session.pool()?;
    pool.install(|| {
        figures
            .par_iter()
            .try_for_each(|(stem, figure): &(String, Figure)| {
                write(&format!("{stem}.svg"), figure.svg().as_bytes())?;
                write(&format!("{stem}.png"), &figure.png())
            })
    })?;
    write("results.csv", &results_csv(&results))?;
    write("results.json", &json)?;
    // The page last: what it links to is there.
    write(
        report::PAGE,
        sensitivity_page(&results, &figures).as_bytes(),
    )?;
    session.document(&json, || {
        SensitivitySummary::new(&results, folder).to_text()
    })?;
    Ok(Outcome::Done)
}
