//! Watching, from look to look.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::atomic::{Durability, remove_abandoned};
use crate::checkpoint::{self, Checkpoint};
use crate::compute::{self, ComputeOptions};
use crate::interrupted::Interrupted;
use crate::merge::{self, Merged};
use crate::meter::{Level, Meter};
use crate::selection::{self, Declaration};
use crate::settings::Settings;
use crate::similarity::{self, NonFinite};

use super::folders::{see_to_folders, standing};
use super::{Error, LOOKS_BEFORE_A_WARNING, Looks, Record, Unchanged};

/// The folder to watch, and how to merge the checkpoints that appear.
#[derive(Clone, Debug)]
pub struct WatchRequest {
    /// The folder in which checkpoints appear.
    pub input: PathBuf,
    /// The folder for merged checkpoints, which is made if it is missing.
    pub out: PathBuf,
    /// Whether to end after what is complete now.
    pub once: bool,
    /// The time between two looks.
    pub poll: Duration,
    /// How checkpoints are merged; each has a seed of its own, from this one and its name.
    pub settings: Settings,
    /// What a file says of the layers.
    pub declaration: Option<Declaration>,
    /// What to do with kernels that hold a NaN or an infinity.
    pub non_finite: NonFinite,
    /// Whether outputs must survive a power cut.
    pub durability: Durability,
}

/// Is given each checkpoint that was merged and published, and the time that it took; an error says why it could not pass that on.
pub type OnMerged<'f> = &'f mut dyn FnMut(&Merged<'_>, Duration) -> std::io::Result<()>;

/// Merges each new checkpoint that a trainer saves in a folder, until interrupted.
///
/// Nothing that is wrong with a checkpoint ends the watch: the meter hears of it.
///
/// # Errors
///
/// Where a folder cannot be watched or written to, or its record cannot be kept; with `once` also where a checkpoint could not
/// be merged.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
///
/// use inmerge_ckpt::compute::ComputeOptions;
/// use inmerge_ckpt::interrupted::Interrupted;
/// use inmerge_ckpt::atomic::Durability;
/// use inmerge_ckpt::settings::Settings;
/// use inmerge_ckpt::similarity::NonFinite;
/// use inmerge_ckpt::watch::{self, WatchRequest};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let request = WatchRequest {
///     input: "checkpoints".into(),
///     out: "merged".into(),
///     once: false,
///     poll: Duration::from_secs(2),
///     settings: Settings::default(),
///     declaration: None,
///     non_finite: NonFinite::Refuse,
///     durability: Durability::Synced,
/// };
/// let interrupted = Interrupted::listen()?;
/// let options = ComputeOptions::default();
/// watch::run(&request, &options, &interrupted, &(), &mut |merged, _| {
///     println!("{:?}: {} layers", merged.output(), merged.plan.layers.len());
///     Ok(())
/// })?;
/// # Ok(())
/// # }
/// ```
pub fn run(
    request: &WatchRequest,
    options: &ComputeOptions,
    interrupted: &Interrupted,
    meter: &dyn Meter,
    on_merged: OnMerged<'_>,
) -> Result<(), Error> {
    let mut watcher = Watcher::begin(request, options, meter, on_merged)?;
    let unlistable = |error| Error::Unlistable {
        folder: request.input.clone(),
        error,
    };
    let mut looks = Looks::at(&request.input);
    let first = looks.look().map_err(unlistable)?;
    let status = format!(
        "watching {} for checkpoints; merged ones go to {}",
        request.input.display(),
        request.out.display()
    );
    meter.say(Level::Status, &status);
    // A file that could be seen at the second look only cannot be told from one that is being written.
    let mut unreachable = first.unreachable;
    while !interrupted.sleep(request.poll) {
        match looks.look() {
            Ok(found) => {
                unreachable.extend(found.unreachable);
                watcher.miss(unreachable.drain(..), &found.dangling);
                for file in found.unchanged {
                    if interrupted.requested() {
                        break;
                    }
                    watcher.see(&file, &mut looks);
                }
            }
            Err(error) if request.once => return Err(unlistable(error)),
            // Of a folder on another machine, which may be back soon.
            Err(error) => watcher.warn_once(unlistable(error).to_string()),
        }
        if request.once {
            break;
        }
    }
    if request.once && watcher.failed > 0 {
        return Err(Error::Failed {
            folder: request.input.clone(),
            failed: watcher.failed,
            seen: watcher.failed + watcher.merged,
        });
    }
    Ok(())
}

/// A watch at work.
pub(super) struct Watcher<'a> {
    pub request: &'a WatchRequest,
    pub options: &'a ComputeOptions,
    pub meter: &'a dyn Meter,
    pub on_merged: OnMerged<'a>,
    pub record: Record,
    merged: usize,
    failed: usize,
    /// Warnings that were said and need not be said again.
    said: HashSet<String>,
}

/// What became of a file that was looked at.
enum FileState {
    Merged,
    /// The record says so.
    MergedBefore,
    /// It is no checkpoint as it is now.
    Incomplete(checkpoint::Error),
    /// One file of a sharded checkpoint: those are not watched for.
    Shard(checkpoint::Error),
    /// Somebody wrote to it in this moment.
    Changing,
}

impl<'a> Watcher<'a> {
    /// Sees to the folders and opens the record.
    fn begin(
        request: &'a WatchRequest,
        options: &'a ComputeOptions,
        meter: &'a dyn Meter,
        on_merged: OnMerged<'a>,
    ) -> Result<Self, Error> {
        let mut description = request.settings.description();
        description["allow_nonfinite"] = json!(request.non_finite == NonFinite::LeaveAlone);
        description["order"] = Value::Null;
        if let Some(declaration) = &request.declaration {
            declaration.describe(&mut description);
        }
        see_to_folders(request)?;
        let record = Record::open(&request.out, &description, request.durability)?;
        if record.is_locked() {
            remove_abandoned(&request.out);
        }
        Ok(Self {
            request,
            options,
            meter,
            on_merged,
            record,
            merged: 0,
            failed: 0,
            said: HashSet::new(),
        })
    }

    /// Says what could not be looked at, and what is not there. The watch goes on, and looks at it again.
    fn miss(&mut self, unreachable: impl Iterator<Item = (PathBuf, Error)>, dangling: &[Error]) {
        let unreachable: HashMap<PathBuf, Error> = unreachable.collect();
        self.failed += unreachable.len();
        let warnings = unreachable.values().chain(dangling);
        let mut warnings: Vec<String> = warnings.map(ToString::to_string).collect();
        warnings.sort();
        for warning in warnings {
            self.warn_once(warning);
        }
    }

    /// Merges a file if it is new and complete. Whatever is wrong with it, the watch goes on.
    fn see(&mut self, file: &Unchanged, looks: &mut Looks) {
        let state = self.try_see(file);
        // A merge that failed leaves announced work behind.
        self.meter.finish();
        match state {
            Ok(FileState::Merged) => {
                self.merged += 1;
                looks.settle(file);
            }
            Ok(FileState::MergedBefore) => looks.settle(file),
            Ok(FileState::Changing) => {}
            Ok(FileState::Incomplete(error)) => self.wait_for(file, &error),
            Ok(FileState::Shard(error)) => {
                self.warn(&format!("left alone: {error}"));
                looks.settle(file);
            }
            Err(error) => {
                self.failed += 1;
                if lasts(&error) {
                    self.warn(&error.to_string());
                    looks.settle(file);
                } else {
                    self.warn_once(error.to_string());
                    looks.put_off(file);
                }
            }
        }
    }

    fn try_see(&mut self, file: &Unchanged) -> Result<FileState, Error> {
        let nameless = || Error::Nameless(file.path.clone());
        let name = file.name.to_str().ok_or_else(nameless)?;
        let source = file.status.stamp;
        if self.record.is_done(name, source) {
            return Ok(FileState::MergedBefore);
        }
        self.record.see_in_place()?;
        let output = self.request.out.join(name);
        let standing = standing(&output)?;
        if let Some(standing) = standing {
            if let Some(entry) = self.record.published(name, source, standing) {
                self.record.done(&entry)?;
                let note = format!("{name} was merged already, before the watch ended");
                self.meter.say(Level::Detail, &note);
                return Ok(FileState::MergedBefore);
            }
            if !self.record.is_own(name, standing) {
                return Err(Error::Foreign(output));
            }
        }
        let checkpoint = match Checkpoint::open(&file.path) {
            Ok(checkpoint) if file.is_still_so()? => checkpoint,
            Ok(_) => return Ok(FileState::Changing),
            Err(error) if error.problem.is_lone_shard() => return Ok(FileState::Shard(error)),
            Err(error) => match *error.problem {
                // It is gone again, or its link leads nowhere.
                checkpoint::Problem::Missing | checkpoint::Problem::Dangling(_) => {
                    return Ok(FileState::Changing);
                }
                // Which says nothing of whether it is complete.
                checkpoint::Problem::Unreadable(_) | checkpoint::Problem::TooManyOpen => {
                    return Err(merge::Error::from(error).into());
                }
                _ => return Ok(FileState::Incomplete(error)),
            },
        };
        match self.merge(&checkpoint, name, source, standing) {
            Err(Error::Merge(merge::Error::Checkpoint(error)))
                if matches!(*error.problem, checkpoint::Problem::ChangedMeanwhile) =>
            {
                Ok(FileState::Changing)
            }
            merged => merged.map(|()| FileState::Merged),
        }
    }

    /// Says that a file is no checkpoint, when it has been left like that.
    fn wait_for(&self, file: &Unchanged, error: &checkpoint::Error) {
        if self.request.once || file.looks == LOOKS_BEFORE_A_WARNING {
            self.warn(&format!(
                "{error} (nothing has been written to it for {} s; it is merged once it is complete)",
                (self.request.poll * file.looks).as_secs_f64()
            ));
        } else if file.looks == 1 {
            let note = format!("not complete yet: {error}");
            self.meter.say(Level::Detail, &note);
        }
    }

    fn warn(&self, warning: &str) {
        self.meter.say(Level::Warning, warning);
    }

    pub fn warn_once(&mut self, warning: String) {
        if !self.said.contains(&warning) {
            self.warn(&warning);
            self.said.insert(warning);
        }
    }
}

/// Whether nothing but another checkpoint would help.
fn lasts(error: &Error) -> bool {
    use merge::Error::{Compute, Selection};
    match error {
        Error::Nameless(_) => true,
        Error::Merge(Selection(error)) => matches!(
            error,
            selection::Error::Layers { .. } | selection::Error::Unmergeable { .. }
        ),
        Error::Merge(Compute(compute::Error::Similarity { error, .. })) => {
            matches!(**error, similarity::Error::NonFinite { .. })
        }
        _ => false,
    }
}
