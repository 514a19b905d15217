//! Where `merge` and `apply` write: not over what is read, nor over each other.

use std::path::{Path, PathBuf};

use crate::atomic::or_here;
use crate::checkpoint::{Checkpoint, Destination};
use crate::error::Error;
use crate::files;
use crate::plan::Plan;

/// Checks that a checkpoint may be written to `output`.
pub(super) fn destination(
    source: &Checkpoint,
    output: &Path,
    force: bool,
) -> Result<Destination, Error> {
    if !force && source.is_at(output) {
        return Err(Error::OutputIsInput(output.to_owned()));
    }
    Ok(Destination::check(source, output, force)?)
}

/// The checkpoint in the format in which it is written.
pub(super) fn in_its_format(
    source: Checkpoint,
    destination: Option<&Destination>,
) -> Result<Checkpoint, Error> {
    match destination {
        Some(destination) if destination.converts(&source) => {
            Ok(source.to_safetensors(destination.path())?)
        }
        _ => Ok(source),
    }
}

/// Refuses an output that would take the place of another file of the same run.
pub(super) fn refuse_overwriting(
    output: &Path,
    others: &[(Option<&Path>, &'static str)],
) -> Result<(), Error> {
    let whole_output = whole(output);
    for &(other, role) in others {
        if other.is_some_and(|other| other == output || whole(other) == whole_output) {
            return Err(Error::Overwrites {
                file: output.to_owned(),
                role,
            });
        }
    }
    Ok(())
}

/// Refuses a file that belongs to a checkpoint's folder, unless it is an earlier plan.
pub(super) fn refuse_companion(file: &Path, source: &Checkpoint) -> Result<(), Error> {
    let folder = or_here(file.parent());
    let is_beside = source
        .folder()
        .is_some_and(|own| files::lead_to_same(own.path(), folder));
    if is_beside && !matches!(files::entry(file), Ok(None)) && !Plan::is_at(file) {
        return Err(Error::Overwrites {
            file: file.to_owned(),
            role: "input",
        });
    }
    Ok(())
}

/// Refuses to write in a folder that the same run makes as a whole.
pub(super) fn refuse_inside(
    file: &Path,
    folder: Option<&Path>,
    role: &'static str,
) -> Result<(), Error> {
    match folder {
        Some(folder) if whole(file).starts_with(whole(folder)) => Err(Error::Inside {
            file: file.to_owned(),
            role,
        }),
        _ => Ok(()),
    }
}

/// One spelling for all of a path, whose last parts need not exist yet.
fn whole(path: &Path) -> PathBuf {
    let known = path.ancestors().find_map(|folder| {
        let folder_there = files::canonical(or_here(Some(folder))).ok()?;
        let rest = path.strip_prefix(folder).ok()?;
        // A path joined with nothing would end in a slash.
        Some(if rest.as_os_str().is_empty() {
            folder_there
        } else {
            folder_there.join(rest)
        })
    });
    // Not even the current folder is there any more.
    known.unwrap_or_else(|| path.to_owned())
}
