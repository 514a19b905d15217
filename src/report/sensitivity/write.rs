//! Drawing what is known of a sweep.

use std::io::ErrorKind;
use std::path::Path;

use rayon::ThreadPool;
use rayon::prelude::*;

use crate::atomic::{self, Durability, FileDestination};
use crate::files;
use crate::report::PAGE;
use crate::report::figures::{self, Figure, Titles};
use crate::report::page::sensitivity_page;
use crate::sensitivity::Results;

use super::recommended::recommended_toml;
use super::{RECOMMENDED, RESULTS, RESULTS_TABLE, results_csv, results_json};

/// Removes a file that an earlier report had, if it is there.
fn remove(file: &Path) -> Result<(), atomic::Error> {
    match files::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(atomic::Problem::Unwritable(error).of(file))
        }
        _ => Ok(()),
    }
}

/// Draws all points of a sweep that are known, and writes the report into its folder, file by file, with
/// these titles in the figures' files. The report as JSON.
///
/// # Errors
///
/// Where a file cannot be written; what was there before is whole, file by file.
pub fn write(
    folder: &Path,
    results: &Results,
    titles: Titles,
    pool: &ThreadPool,
) -> Result<Vec<u8>, atomic::Error> {
    let figures = figures::sensitivity(results);
    let json = results_json(results);
    let write = |name: &str, bytes: &[u8]| {
        let file = FileDestination::check(&folder.join(name), true)?;
        file.write(bytes, Durability::Unsynced)
    };
    pool.install(|| {
        figures.par_iter().try_for_each(|figure: &Figure| {
            let stem = figure.kind.stem();
            write(&format!("{stem}.svg"), figure.svg(titles).as_bytes())?;
            write(&format!("{stem}.png"), &figure.png(titles))?;
            write(&format!("{stem}.pdf"), &figure.pdf(titles))
        })
    })?;
    write(RESULTS_TABLE, &results_csv(results))?;
    match recommended_toml(results) {
        Some(toml) => write(RECOMMENDED, toml.as_bytes())?,
        None => remove(&folder.join(RECOMMENDED))?,
    }
    write(RESULTS, &json)?;
    // The page last: what it links to is there.
    write(PAGE, sensitivity_page(results, &figures).as_bytes())?;
    Ok(json)
}
