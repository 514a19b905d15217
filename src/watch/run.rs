//! The loop that polls a folder and merges its checkpoints.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::atomic::{Durability, clean_all, remove_abandoned};
use crate::checkpoint::{self, Checkpoint};
use crate::compute::{self, ComputeOptions};
use crate::files;
use crate::interrupted::Interrupted;
use crate::merge::{self, Merged};
use crate::meter::{Level, Meter};
use crate::plan::Carry;
use crate::selection::{self, Declaration};
use crate::settings::Settings;
use crate::similarity::{self, NonFinite};

use super::folders::{output_stamp, prepare_folders};
use super::{Error, FolderPoller, POLLS_BEFORE_WARNING, PollResult, Record, Unchanged};

/// The folder to watch, and the settings to merge its checkpoints with.
#[derive(Clone, Debug)]
pub struct WatchRequest {
    /// The folder in which checkpoints appear.
    pub input: PathBuf,
    /// The folder for merged checkpoints, which is created if it is missing.
    pub out: PathBuf,
    /// Whether to merge the checkpoints that are complete now and then end.
    pub once: bool,
    /// The time between two polls.
    pub poll: Duration,
    /// Of PyTorch files, the state dict that is merged; `None` for that with the most convolutions.
    pub state_dict: Option<String>,
    /// What is changed along with the kernels.
    pub carry: Carry,
    /// Whether the momentum of merged kernels is merged along with them.
    pub merges_momentum: bool,
    /// The settings, whose seed is combined with each checkpoint's name.
    pub settings: Settings,
    /// The layers that a file declares.
    pub declaration: Option<Declaration>,
    /// What to do with kernels that hold a NaN or an infinity.
    pub non_finite: NonFinite,
    /// Whether outputs must survive a power cut.
    pub durability: Durability,
}

/// Called with each checkpoint that was merged and published, and the time it took. An error, which becomes a warning, says
/// why it could not be reported.
pub type OnMerged<'f> = &'f mut dyn FnMut(&Merged<'_>, Duration) -> std::io::Result<()>;

/// Merges each new checkpoint that a trainer saves in a folder, until interrupted.
///
/// A problem with a checkpoint does not end the watch, but is a warning.
///
/// # Errors
///
/// If a folder cannot be watched or written to, or its record cannot be opened; with `once` also if a checkpoint could not be
/// merged.
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
///     state_dict: None,
///     carry: Default::default(),
///     merges_momentum: false,
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
    let mut poller = FolderPoller::new(&request.input, &request.out);
    let first = poller.poll().map_err(unlistable)?;
    let status = format!(
        "watching {} for checkpoints; merged ones go to {}",
        request.input.display(),
        request.out.display()
    );
    meter.say(Level::Status, &status);
    // A file that only the second poll reaches may still be being written, so with `once` it counts as failed.
    let mut unreachable = first.unreachable;
    while !interrupted.sleep(request.poll) {
        match poller.poll() {
            Ok(found) => {
                watcher.say_what_is_passed_over(&found);
                unreachable.extend(found.unreachable);
                watcher.warn_of_missing(unreachable.drain(..), &found.dangling);
                for file in found.unchanged {
                    if interrupted.requested() {
                        break;
                    }
                    watcher.handle(&file, &mut poller);
                }
            }
            Err(error) if request.once => return Err(unlistable(error)),
            // The folder may be on another machine, which may be back soon.
            Err(error) => watcher.warn_once(unlistable(error).to_string()),
        }
        if request.once {
            break;
        }
    }
    if request.once && watcher.failed == 0 && watcher.merged == 0 {
        meter.say(
            Level::Status,
            &format!(
                "nothing to merge: no new checkpoint in {}",
                request.input.display()
            ),
        );
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

/// The state of a watch.
pub(super) struct Watcher<'a> {
    pub request: &'a WatchRequest,
    pub options: &'a ComputeOptions,
    pub meter: &'a dyn Meter,
    pub on_merged: OnMerged<'a>,
    pub record: Record,
    merged: usize,
    failed: usize,
    /// What need not be repeated.
    said: HashSet<String>,
}

/// The outcome of handling a file.
enum FileState {
    Merged,
    /// It was merged earlier, according to the record.
    MergedBefore,
    /// It is not a valid checkpoint yet.
    Incomplete(Error),
    /// It is complete, and cannot be opened as a checkpoint.
    NotOpened(checkpoint::Error),
    /// It changed while it was handled.
    Changing,
}

impl<'a> Watcher<'a> {
    /// Prepares the folders and opens the record.
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
        if let Some(state_dict) = &request.state_dict {
            description["state_dict"] = json!(state_dict);
        }
        if request.carry.is_any() {
            description["carry"] = json!(request.carry);
        }
        if request.merges_momentum {
            description["momentum"] = json!("merge");
        }
        prepare_folders(request)?;
        let record = Record::open(&request.out, &description, request.durability)?;
        if record.is_locked() {
            remove_abandoned(&request.out);
            for warning in clean_all(&request.out) {
                meter.say(Level::Warning, &warning.to_string());
            }
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

    /// Warns of paths that could not be reached and of dangling links; the next poll tries them again.
    fn warn_of_missing(
        &mut self,
        unreachable: impl Iterator<Item = (PathBuf, Error)>,
        dangling: &[Error],
    ) {
        let unreachable: HashMap<PathBuf, Error> = unreachable.collect();
        self.failed += unreachable.len();
        let warnings = unreachable.values().chain(dangling);
        let mut warnings: Vec<String> = warnings.map(ToString::to_string).collect();
        warnings.sort();
        for warning in warnings {
            self.warn_once(warning);
        }
    }

    /// Says once of what a poll passed over why it did.
    fn say_what_is_passed_over(&mut self, found: &PollResult) {
        for link in &found.links {
            let link = link.display();
            self.say_once(
                Level::Status,
                format!("{link}: a link to another checkpoint in the folder, which is merged under its own name"),
            );
        }
        for file in &found.foreign {
            let file = file.display();
            self.say_once(
                Level::Warning,
                format!("left alone: {file}: neither a safetensors nor a PyTorch file by its name"),
            );
        }
    }

    /// Merges a file if it is new and complete; a problem with it is a warning.
    fn handle(&mut self, file: &Unchanged, poller: &mut FolderPoller) {
        let state = self.try_handle(file);
        // A merge that failed leaves a progress bar behind.
        self.meter.finish();
        match state {
            Ok(FileState::Merged) => {
                self.merged += 1;
                poller.ignore(file);
            }
            Ok(FileState::MergedBefore) => poller.ignore(file),
            Ok(FileState::Changing) => {}
            Ok(FileState::Incomplete(error)) => self.wait_for(file, &error),
            Ok(FileState::NotOpened(error)) => {
                self.leave_alone(&error);
                poller.ignore(file);
            }
            Err(error) => {
                self.failed += 1;
                if is_permanent(&error) {
                    self.warn(&error.to_string());
                    poller.ignore(file);
                } else {
                    self.warn_once(error.to_string());
                    poller.defer(file);
                }
            }
        }
    }

    fn try_handle(&mut self, file: &Unchanged) -> Result<FileState, Error> {
        let nameless = || Error::Nameless(file.path.clone());
        let name = file.name.to_str().ok_or_else(nameless)?;
        let source = file.status.stamp;
        if self.record.is_done(name, source) {
            return Ok(FileState::MergedBefore);
        }
        self.record.check_in_place()?;
        let output = self.request.out.join(name);
        let existing = output_stamp(&output)?;
        if let Some(existing) = existing {
            if let Some(entry) = self.record.published(name, source, existing) {
                self.record.done(&entry)?;
                let note = format!("{name} was merged already, before the watch ended");
                self.meter.say(Level::Detail, &note);
                return Ok(FileState::MergedBefore);
            }
            if !self.record.is_own(name, existing) {
                return Err(Error::Foreign(output));
            }
        }
        let state_dict = self.request.state_dict.as_deref();
        let checkpoint = match Checkpoint::open_state_dict(&file.path, state_dict) {
            Ok(checkpoint) if file.is_current()? => checkpoint,
            Ok(_) => return Ok(FileState::Changing),
            Err(error) if error.problem.is_lasting() => return Ok(FileState::NotOpened(error)),
            Err(error) => match *error.problem {
                // It is gone again, or its link dangles.
                checkpoint::Problem::Missing | checkpoint::Problem::Dangling(_) => {
                    return Ok(FileState::Changing);
                }
                // These do not tell whether it is complete.
                checkpoint::Problem::Unreadable(_) | checkpoint::Problem::TooManyOpen => {
                    return Err(merge::Error::from(error).into());
                }
                _ => return Ok(FileState::Incomplete(merge::Error::from(error).into())),
            },
        };
        if is_unfinished_by_trainer(&file.path)? {
            return Ok(FileState::Incomplete(Error::Unfinished(file.path.clone())));
        }
        match self.merge(&checkpoint, name, source, existing) {
            Err(Error::Merge(merge::Error::Checkpoint(error))) if error.problem.is_change() => {
                let path = file.path.display();
                let note = format!(
                    "{path} changed while it was read; it is merged once it is complete again"
                );
                self.meter.say(Level::Status, &note);
                Ok(FileState::Changing)
            }
            merged => merged.map(|()| FileState::Merged),
        }
    }

    /// Says of a file or folder that cannot be opened as a checkpoint why it is left alone.
    fn leave_alone(&mut self, error: &checkpoint::Error) {
        // One of logs, say.
        if matches!(*error.problem, checkpoint::Problem::FolderWithoutCheckpoint) {
            return;
        }
        if !error.problem.is_no_checkpoint() {
            self.failed += 1;
        }
        self.warn(&format!("left alone: {error}"));
    }

    /// Warns that a file is not a valid checkpoint, once it has not changed for a while.
    fn wait_for(&self, file: &Unchanged, error: &Error) {
        if self.request.once || file.polls == POLLS_BEFORE_WARNING {
            self.warn(&format!(
                "{error} (nothing has been written to it for {} s; it is merged once it is complete)",
                (self.request.poll * file.polls).as_secs_f64()
            ));
        } else if file.polls == 1 {
            let note = format!("not complete yet: {error}");
            self.meter.say(Level::Detail, &note);
        }
    }

    fn warn(&self, warning: &str) {
        self.meter.say(Level::Warning, warning);
    }

    pub fn warn_once(&mut self, warning: String) {
        self.say_once(Level::Warning, warning);
    }

    fn say_once(&mut self, level: Level, text: String) {
        if !self.said.contains(&text) {
            self.meter.say(level, &text);
            self.said.insert(text);
        }
    }
}

/// Whether a folder is one of the Hugging Face Trainer's, `checkpoint-500`, that it is still writing: `trainer_state.json` comes
/// last.
fn is_unfinished_by_trainer(path: &Path) -> Result<bool, Error> {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let step = name.strip_prefix("checkpoint-").unwrap_or_default();
    let is_step = !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit());
    let has = |name: &str| {
        let file = path.join(name);
        let found = files::target(&file).map_err(|error| Error::Unreachable { file, error })?;
        Ok::<_, Error>(found.is_some())
    };
    Ok(is_step && has("training_args.bin")? && !has("trainer_state.json")?)
}

/// Whether an attempt at the same checkpoint would fail again.
fn is_permanent(error: &Error) -> bool {
    use merge::Error::{Checkpoint, Compute, Selection};
    match error {
        Error::Nameless(_) => true,
        Error::Merge(Selection(error)) => matches!(
            error,
            selection::Error::Layers { .. } | selection::Error::Unmergeable { .. }
        ),
        Error::Merge(Checkpoint(error)) => error.problem.is_lasting(),
        Error::Merge(Compute(compute::Error::Similarity { error, .. })) => {
            matches!(**error, similarity::Error::NonFinite { .. })
        }
        _ => false,
    }
}
