//! A sweep's folder.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::atomic::{Durability, FileDestination, refuse_deleted_here, remove_abandoned};
use crate::error::Error;
use crate::files;
use crate::sensitivity::{self, Hold, Sweep, is_at_work};

/// The file that says what the sweep is.
const SWEEP: &str = "sweep.json";

/// Makes a folder that of a sweep, or takes the one that is there if it is of a sweep with the same base and no run is at work on
/// other points of it.
pub(super) fn begin(folder: &Path, sweep: &Sweep) -> Result<Hold, Error> {
    refuse_deleted_here(folder).map_err(|problem| problem.of(folder))?;
    files::create_folders(folder).map_err(|error| match error.kind() {
        // A file, or a link to nothing, or below one of these.
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
            sensitivity::Error::NotAFolder(folder.to_owned())
        }
        _ => failed(folder, "cannot be made")(error),
    })?;
    let hold = Hold::on(folder);
    remove_abandoned(folder);
    match read(folder)? {
        Some(before) => {
            if let Some(difference) = before.difference(sweep) {
                let folder = folder.to_owned();
                return Err(sensitivity::Error::OtherSweep { folder, difference }.into());
            }
            if before == *sweep {
                return Ok(hold);
            }
            if is_at_work(&hold)? {
                return Err(sensitivity::Error::AtWork(folder.to_owned()).into());
            }
        }
        None if holds_something(folder)? => {
            return Err(sensitivity::Error::Foreign(folder.to_owned()).into());
        }
        None => (),
    }
    let file = FileDestination::check(&folder.join(SWEEP), true)?;
    file.write(&sweep.to_json(), Durability::Synced)?;
    Ok(hold)
}

/// The sweep of a folder.
pub(super) fn sweep(folder: &Path) -> Result<Sweep, Error> {
    let sweep = read(folder)?;
    sweep.ok_or_else(|| sensitivity::Error::NoSweep(folder.to_owned()).into())
}

fn read(folder: &Path) -> Result<Option<Sweep>, sensitivity::Error> {
    let file = folder.join(SWEEP);
    match fs::read(&file) {
        Ok(json) => {
            let sweep = Sweep::from_json(&json);
            sweep
                .map(Some)
                .map_err(|error| sensitivity::Error::Malformed { file, error })
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(failed(&file, "cannot be read")(error)),
    }
}

/// Whether there is something in a folder that is not hidden, as what a killed run leaves is.
fn holds_something(folder: &Path) -> Result<bool, sensitivity::Error> {
    let names = files::names(folder).map_err(failed(folder, "cannot be read"))?;
    Ok(names
        .iter()
        .any(|name| !name.as_encoded_bytes().starts_with(b".")))
}

fn failed<'p>(
    path: &'p Path,
    action: &'static str,
) -> impl Fn(io::Error) -> sensitivity::Error + 'p {
    move |error| sensitivity::Error::File {
        file: path.to_owned(),
        action,
        error,
    }
}
