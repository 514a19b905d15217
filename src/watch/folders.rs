//! Checking the watched folder and the one for the outputs.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::atomic::{self, Durability, or_here};
use crate::checkpoint::Problem::{TooManyOpen, Unreadable};
use crate::checkpoint::SourceFolder;
use crate::files;
use crate::merge;

use super::{Error, Stamp, WatchRequest};

/// The stamp of an output: of the file at this path, or of the weights of the folder there; `None` if there is nothing.
///
/// # Errors
///
/// [`Error::Foreign`] if something else is there.
pub(super) fn output_stamp(output: &Path) -> Result<Option<Stamp>, Error> {
    let unreachable = |error| Error::Unreachable {
        file: output.to_owned(),
        error,
    };
    let foreign = || Error::Foreign(output.to_owned());
    match files::entry(output).map_err(unreachable)? {
        Some(status) if status.is_file() => Ok(Some(Stamp::of(&status))),
        Some(status) if status.is_dir() => {
            let folder = SourceFolder::find(output).map_err(|error| match *error.problem {
                // These do not tell what is there.
                Unreadable(_) | TooManyOpen => merge::Error::from(error).into(),
                _ => foreign(),
            })?;
            let folder = folder.ok_or_else(foreign)?;
            let weights = folder.weights().map(|file| {
                let status = files::target(&file).map_err(unreachable)?;
                status.as_ref().map(Stamp::of).ok_or_else(foreign)
            });
            let weights: Vec<Stamp> = weights.collect::<Result<_, Error>>()?;
            Ok(Some(Stamp::together(weights)))
        }
        Some(_) => Err(foreign()),
        None => Ok(None),
    }
}

/// Creates the folder for the outputs if it is missing, and refuses one that is the watched folder.
pub(super) fn prepare_folders(request: &WatchRequest) -> Result<(), Error> {
    let (input, out) = (&request.input, &request.out);
    let input_status = match files::target(input) {
        Ok(Some(status)) if status.is_dir() => status,
        Ok(_) => return Err(Error::NotAFolder(input.clone())),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(Error::NotAFolder(input.clone()));
        }
        Err(error) => {
            return Err(Error::Unlistable {
                folder: input.clone(),
                error,
            });
        }
    };
    refuse_checkpoint(input, out)?;
    let out_status = || {
        let problem = |error: io::Error| match error.kind() {
            io::ErrorKind::NotADirectory => {
                atomic::Problem::NotInFolder(or_here(out.parent()).to_owned())
            }
            _ => atomic::Problem::Unwritable(error),
        };
        files::target(out).map_err(|error| problem(error).of(out))
    };
    let status = match out_status()? {
        Some(status) => Some(status),
        None => {
            make_folder(out, request.durability).map_err(|problem| problem.of(out))?;
            out_status()?
        }
    };
    // It exists, so that it cannot be created, but has no target: a dangling link.
    let status = status.filter(fs::Metadata::is_dir);
    let status = status.ok_or_else(|| Error::OutputIsNoFolder(out.clone()))?;
    if (status.dev(), status.ino()) == (input_status.dev(), input_status.ino()) {
        return Err(Error::OutputIsInput(out.clone()));
    }
    Ok(())
}

/// Refuses a folder for the outputs that is or lies in a checkpoint of the watched folder.
fn refuse_checkpoint(input: &Path, out: &Path) -> Result<(), Error> {
    let in_parent = || {
        let parent = files::canonical(or_here(out.parent())).ok()?;
        Some(parent.join(out.file_name()?))
    };
    let whole = files::canonical(out).ok().or_else(in_parent);
    let (Ok(input), Some(whole)) = (files::canonical(input), whole) else {
        return Ok(());
    };
    let first = whole
        .strip_prefix(&input)
        .ok()
        .and_then(|rest| rest.components().next());
    let Some(first) = first else {
        return Ok(());
    };
    match SourceFolder::find(&input.join(first)) {
        Ok(Some(folder)) => Err(Error::OutputInCheckpoint {
            out: out.to_owned(),
            checkpoint: folder.path().to_owned(),
        }),
        _ => Ok(()),
    }
}

fn make_folder(folder: &Path, durability: Durability) -> Result<(), atomic::Problem> {
    let parent = or_here(folder.parent());
    match files::create_folder(folder) {
        // Another process created it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            atomic::refuse_deleted_here(folder)?;
            Err(atomic::Problem::FolderMissing(parent.to_owned()))
        }
        Err(error) => Err(atomic::Problem::Unwritable(error)),
        Ok(()) => durability.sync_at(parent),
    }
}
