//! `watch DIR --out DIR2`: merge each new checkpoint that a trainer saves.

mod merging;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::atomic::{self, Durability, or_here, remove_abandoned};
use crate::checkpoint::{self, Checkpoint};
use crate::cli::Watch;
use crate::error::Error;
use crate::files;
use crate::layers::Declared;
use crate::settings::Settings;
use crate::similarity;
use crate::watch::{self, LOOKS_BEFORE_A_WARNING, Looks, Record, Stamp, Unchanged};

use super::signals::Interrupted;
use super::{Outcome, Session, selecting};

pub(super) fn run(args: &Watch, session: &mut Session<'_>) -> Result<Outcome, Error> {
    let interrupted = Interrupted::listen()?;
    let mut watcher = Watcher::begin(args)?;
    let mut looks = Looks::at(&args.input);
    let first = looks.look().map_err(|error| unlistable(args, error))?;
    session.tell(&format!(
        "watching {} for checkpoints; merged ones go to {}",
        args.input.display(),
        args.out.display()
    ));
    // A file that could be seen at the second look only cannot be told from one that is being written.
    let mut unreachable = first.unreachable;
    while !interrupted.sleep(args.poll) {
        match looks.look() {
            Ok(found) => {
                unreachable.extend(found.unreachable);
                watcher.miss(unreachable.drain(..), &found.dangling, session);
                for file in found.unchanged {
                    if interrupted.requested() {
                        break;
                    }
                    watcher.see(&file, &mut looks, session);
                }
            }
            Err(error) if args.once => return Err(unlistable(args, error).into()),
            // Of a folder on another machine, which may be back soon.
            Err(error) => watcher.warn_once(unlistable(args, error).to_string(), session),
        }
        if args.once {
            break;
        }
    }
    match (args.once, watcher.failed) {
        (true, 1..) => Err(Error::Watch(watch::Error::Failed {
            folder: args.input.clone(),
            failed: watcher.failed,
            seen: watcher.failed + watcher.merged,
        })),
        _ => Ok(Outcome::Done),
    }
}

fn unlistable(args: &Watch, error: io::Error) -> watch::Error {
    watch::Error::Unlistable {
        folder: args.input.clone(),
        error,
    }
}

/// A watch at work.
struct Watcher<'a> {
    args: &'a Watch,
    settings: Settings,
    /// What the user says of the layers.
    declared: Option<Declared>,
    record: Record,
    merged: usize,
    failed: usize,
    /// Warnings that were said and need not be said again.
    said: HashSet<String>,
}

/// What became of a file that was looked at.
enum Seen {
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
    /// Sees to the folders and opens the record. Files that the flags name are read now; later changes to them mean nothing.
    fn begin(args: &'a Watch) -> Result<Self, Error> {
        let config = args.layers.config.as_deref();
        let flags = args.merging.settings(&args.layers);
        let settings = selecting::settings_for(flags, config, &args.input)?;
        let declared = selecting::declared(&args.layers)?;
        let mut description = settings.description();
        description["allow_nonfinite"] = json!(args.merging.allow_nonfinite);
        description["order"] = Value::Null;
        if let Some(declared) = &declared {
            let flag = if args.layers.order.is_some() {
                "order"
            } else {
                "layers"
            };
            description[flag] = json!(declared);
        }
        see_to_folders(args)?;
        let record = Record::open(&args.out, &description, args.durability())?;
        if record.is_locked() {
            remove_abandoned(&args.out);
        }
        Ok(Self {
            args,
            settings,
            declared,
            record,
            merged: 0,
            failed: 0,
            said: HashSet::new(),
        })
    }

    /// Says what could not be looked at, and what is not there. The watch goes on, and looks at it again.
    fn miss(
        &mut self,
        unreachable: impl Iterator<Item = (PathBuf, watch::Error)>,
        dangling: &[watch::Error],
        session: &mut Session<'_>,
    ) {
        let unreachable: HashMap<PathBuf, watch::Error> = unreachable.collect();
        self.failed += unreachable.len();
        let warnings = unreachable.values().chain(dangling);
        let mut warnings: Vec<String> = warnings.map(ToString::to_string).collect();
        warnings.sort();
        for warning in warnings {
            self.warn_once(warning, session);
        }
    }

    /// Does what is to be done with a file. Nothing that is wrong with it ends the watch.
    fn see(&mut self, file: &Unchanged, looks: &mut Looks, session: &mut Session<'_>) {
        match self.try_see(file, session) {
            Ok(Seen::Merged) => {
                self.merged += 1;
                looks.settle(file);
            }
            Ok(Seen::MergedBefore) => looks.settle(file),
            Ok(Seen::Changing) => {}
            Ok(Seen::Incomplete(error)) => self.wait_for(file, &error, session),
            Ok(Seen::Shard(error)) => {
                session.warn(&[format!("left alone: {error}")]);
                looks.settle(file);
            }
            Err(error) => {
                self.failed += 1;
                if lasts(&error) {
                    session.warn(&[error.to_string()]);
                    looks.settle(file);
                } else {
                    self.warn_once(error.to_string(), session);
                    looks.put_off(file);
                }
            }
        }
    }

    fn try_see(&mut self, file: &Unchanged, session: &mut Session<'_>) -> Result<Seen, Error> {
        let nameless = || watch::Error::Nameless(file.path.clone());
        let name = file.name.to_str().ok_or_else(nameless)?;
        let source = file.status.stamp;
        if self.record.is_done(name, source) {
            return Ok(Seen::MergedBefore);
        }
        self.record.see_in_place()?;
        let output = self.args.out.join(name);
        let standing = standing(&output)?;
        if let Some(standing) = standing {
            if let Some(entry) = self.record.published(name, source, standing) {
                self.record.done(&entry)?;
                session.note(&format!(
                    "{name} was merged already, before the watch ended"
                ));
                return Ok(Seen::MergedBefore);
            }
            if !self.record.is_own(name, standing) {
                return Err(watch::Error::Foreign(output).into());
            }
        }
        let checkpoint = match Checkpoint::open(&file.path) {
            Ok(checkpoint) if file.is_still_so()? => checkpoint,
            Ok(_) => return Ok(Seen::Changing),
            Err(error) if error.problem.is_lone_shard() => return Ok(Seen::Shard(error)),
            Err(error) => match *error.problem {
                // It is gone again, or its link leads nowhere.
                checkpoint::Problem::Missing | checkpoint::Problem::Dangling(_) => {
                    return Ok(Seen::Changing);
                }
                // Which says nothing of whether it is complete.
                checkpoint::Problem::Unreadable(_) | checkpoint::Problem::TooManyOpen => {
                    return Err(error.into());
                }
                _ => return Ok(Seen::Incomplete(error)),
            },
        };
        match self.merge(&checkpoint, name, source, standing, session) {
            Err(Error::Checkpoint(error))
                if matches!(*error.problem, checkpoint::Problem::ChangedMeanwhile) =>
            {
                Ok(Seen::Changing)
            }
            merged => merged.map(|()| Seen::Merged),
        }
    }

    /// Says that a file is no checkpoint, when it has been left like that.
    fn wait_for(&self, file: &Unchanged, error: &checkpoint::Error, session: &mut Session<'_>) {
        if self.args.once || file.looks == LOOKS_BEFORE_A_WARNING {
            session.warn(&[format!(
                "{error} (nothing has been written to it for {} s; it is merged once it is complete)",
                (self.args.poll * file.looks).as_secs_f64()
            )]);
        } else if file.looks == 1 {
            session.note(&format!("not complete yet: {error}"));
        }
    }

    fn warn_once(&mut self, warning: String, session: &mut Session<'_>) {
        if !self.said.contains(&warning) {
            session.warn(std::slice::from_ref(&warning));
            self.said.insert(warning);
        }
    }
}

/// Whether nothing but another checkpoint would help.
fn lasts(error: &Error) -> bool {
    matches!(
        error,
        Error::Layers { .. }
            | Error::Similarity {
                error: similarity::Error::NonFinite { .. },
                ..
            }
            | Error::Unmergeable { .. }
            | Error::Watch(watch::Error::Nameless(_))
    )
}

/// What stands in an output's place: nothing or a file; anything else is not this program's.
fn standing(output: &Path) -> Result<Option<Stamp>, watch::Error> {
    match files::entry(output) {
        Ok(Some(status)) if status.is_file() => Ok(Some(Stamp::of(&status))),
        Ok(Some(_)) => Err(watch::Error::Foreign(output.to_owned())),
        Ok(None) => Ok(None),
        Err(error) => Err(watch::Error::Unreachable {
            file: output.to_owned(),
            error,
        }),
    }
}

/// Makes the folder for the outputs if there is none, and refuses the watched one.
fn see_to_folders(args: &Watch) -> Result<(), Error> {
    let (input, out) = (&args.input, &args.out);
    let input_status = match files::target(input) {
        Ok(Some(status)) if status.is_dir() => status,
        Ok(_) => return Err(watch::Error::NotAFolder(input.clone()).into()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(watch::Error::NotAFolder(input.clone()).into());
        }
        Err(error) => return Err(unlistable(args, error).into()),
    };
    let look = || {
        let problem = |error: io::Error| match error.kind() {
            io::ErrorKind::NotADirectory => {
                atomic::Problem::NotInFolder(or_here(out.parent()).to_owned())
            }
            _ => atomic::Problem::Unwritable(error),
        };
        files::target(out).map_err(|error| problem(error).of(out))
    };
    let status = match look()? {
        Some(status) => Some(status),
        None => {
            make_folder(out, args.durability()).map_err(|problem| problem.of(out))?;
            look()?
        }
    };
    // What cannot be made and is not there is a link to nothing.
    let status = status.filter(fs::Metadata::is_dir);
    let status = status.ok_or_else(|| watch::Error::OutputIsNoFolder(out.clone()))?;
    if (status.dev(), status.ino()) == (input_status.dev(), input_status.ino()) {
        return Err(watch::Error::OutputIsInput(out.clone()).into());
    }
    Ok(())
}

fn make_folder(folder: &Path, durability: Durability) -> Result<(), atomic::Problem> {
    let parent = or_here(folder.parent());
    match files::create_folder(folder) {
        // By another process, since.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            atomic::refuse_deleted_here(folder)?;
            Err(atomic::Problem::FolderMissing(parent.to_owned()))
        }
        Err(error) => Err(atomic::Problem::Unwritable(error)),
        Ok(()) => durability.sync_at(parent),
    }
}
