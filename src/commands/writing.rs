//! What `merge` and `apply` have in common: following a recipe to an output, and reporting on it.

use std::path::{Path, PathBuf};

use crate::atomic::or_here;
use crate::checkpoint::{Checkpoint, Destination};
use crate::cli::Writing;
use crate::error::Error;
use crate::files;
use crate::report::{FinishedRun, MergeReport};

use super::{Outcome, Session};

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

/// Refuses an output that would take the place of another file of the same run.
pub(super) fn refuse_overwriting(
    output: &Path,
    others: &[(Option<&Path>, &'static str)],
) -> Result<(), Error> {
    let place_of_output = place(output);
    for &(other, role) in others {
        if other.is_some_and(|other| other == output || place(other) == place_of_output) {
            return Err(Error::Overwrites {
                file: output.to_owned(),
                role,
            });
        }
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
        Some(folder) if place(file).starts_with(place(folder)) => Err(Error::Inside {
            file: file.to_owned(),
            role,
        }),
        _ => Ok(()),
    }
}

/// One name for all spellings of a path, whose last parts need not exist yet.
fn place(path: &Path) -> PathBuf {
    let known = path.ancestors().find_map(|folder| {
        let whole = files::canonical(or_here(Some(folder))).ok()?;
        let rest = path.strip_prefix(folder).ok()?;
        // A path joined with nothing would end in a slash.
        Some(match rest.as_os_str().is_empty() {
            true => whole,
            false => whole.join(rest),
        })
    });
    // Not even the current folder is there any more.
    known.unwrap_or_else(|| path.to_owned())
}

/// How a run ends, and what it says about itself.
pub(super) struct Verdict {
    pub nothing_merges: bool,
    pub outcome: Outcome,
    pub warnings: Vec<String>,
}

impl Verdict {
    /// Merges may be required.
    pub fn new(nothing_merges: bool, flags: &Writing) -> Self {
        if nothing_merges && flags.require_merges {
            Self {
                nothing_merges,
                outcome: Outcome::NothingMerged,
                warnings: vec!["no checkpoint was written, as --require-merges asks".to_owned()],
            }
        } else {
            Self {
                nothing_merges,
                outcome: Outcome::Done,
                warnings: Vec::new(),
            }
        }
    }

    /// Says what is to be known of the output.
    pub fn warn_of_output<W: ToString>(&mut self, warnings: &[W]) {
        self.warnings.extend(warnings.iter().map(W::to_string));
    }

    /// Says why before it says what came of it.
    pub fn warn_first(&mut self, why: String) {
        self.warnings.insert(0, why);
    }
}

/// Prints what a run did, and the warnings last, where they are seen.
///
/// # Errors
///
/// Where the report cannot be printed and is all that the run was for. Once a checkpoint is written the run has done its
/// work, and that is only a warning.
pub(super) fn report(run: &FinishedRun<'_>, session: &mut Session<'_>) -> Result<(), Error> {
    for layer in &run.plan.skipped {
        session.note(&format!("left alone: {} ({})", layer.name, layer.reason));
    }
    let report = MergeReport::new(run);
    let printed = session.result(&report, MergeReport::to_text);
    session.warn(&run.layer_warnings);
    session.warn(&run.run_warnings);
    match (printed, run.output) {
        (Err(error), Some(output)) => session.warn(&[format!(
            "{} is written, but the report on it could not be printed ({error})",
            output.display()
        )]),
        (printed, _) => printed?,
    }
    Ok(())
}
