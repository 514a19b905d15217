//! The folder of a sweep.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::atomic::{Durability, FileDestination, refuse_deleted_here, remove_abandoned};
use crate::files;

use super::{Error, FolderLock, Sweep, is_at_work};

/// The name of the file that holds the sweep.
const SWEEP: &str = "sweep.json";

/// Creates a sweep's folder and locks it. A folder of a sweep with the same base is reused, unless a run is at work there on
/// other points.
///
/// # Errors
///
/// If the folder cannot be created, or holds other files, another sweep, or this one with a run at work on other points.
pub fn begin(folder: &Path, sweep: &Sweep) -> Result<FolderLock, Error> {
    refuse_deleted_here(folder).map_err(|problem| problem.of(folder))?;
    files::create_folders(folder).map_err(|error| match error.kind() {
        // The path is, or is below, a file or a dangling link.
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => Error::NotAFolder(folder.to_owned()),
        _ => failed(folder, "cannot be made")(error),
    })?;
    let lock = FolderLock::acquire(folder);
    remove_abandoned(folder);
    match read(folder)? {
        Some(before) => {
            if let Some(difference) = before.difference(sweep) {
                let folder = folder.to_owned();
                return Err(Error::OtherSweep { folder, difference });
            }
            if before == *sweep {
                return Ok(lock);
            }
            if is_at_work(&lock)? {
                return Err(Error::AtWork(folder.to_owned()));
            }
        }
        None if holds_something(folder)? => {
            return Err(Error::Foreign(folder.to_owned()));
        }
        None => (),
    }
    let file = FileDestination::check(&folder.join(SWEEP), true)?;
    file.write(&sweep.to_json(), Durability::Synced)?;
    Ok(lock)
}

/// Reads the sweep of a folder.
///
/// # Errors
///
/// If the folder holds none, or one that cannot be read.
pub fn sweep_of(folder: &Path) -> Result<Sweep, Error> {
    let sweep = read(folder)?;
    sweep.ok_or_else(|| Error::NoSweep(folder.to_owned()))
}

fn read(folder: &Path) -> Result<Option<Sweep>, Error> {
    let file = folder.join(SWEEP);
    match fs::read(&file) {
        Ok(json) => {
            let sweep = Sweep::from_json(&json);
            sweep
                .map(Some)
                .map_err(|error| Error::Malformed { file, error })
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(failed(&file, "cannot be read")(error)),
    }
}

/// Whether a folder holds files that are not hidden; the leftovers of a killed run are.
fn holds_something(folder: &Path) -> Result<bool, Error> {
    let names = files::names(folder).map_err(failed(folder, "cannot be read"))?;
    Ok(names
        .iter()
        .any(|name| !name.as_encoded_bytes().starts_with(b".")))
}

fn failed<'p>(path: &'p Path, action: &'static str) -> impl Fn(io::Error) -> Error + 'p {
    move |error| Error::File {
        file: path.to_owned(),
        action,
        error,
    }
}
