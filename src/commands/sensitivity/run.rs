//! Working through a sweep's points.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Instant;

use serde::Serialize;

use crate::checkpoint::Checkpoint;
use crate::cli::Running;
use crate::error::Error;
use crate::files;
use crate::sensitivity::{
    self, Evaluator, FinishedPoint, Outcome, Part, Point, Sweep, Verdict, read,
};
use crate::similarity::LayerSize;

use super::super::Session;
use super::super::merging::Machine;
use super::super::signals::Interrupted;
use super::bar::Bar;
use super::measure::measure;
use super::variant::{Original, weights};

/// What a run came to.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Ran {
    /// Points of the sweep, or of its share.
    points: usize,
    /// Of these, those that were known before.
    known: usize,
    /// Of those that were not, those that failed.
    failed: usize,
}

impl Ran {
    /// For a terminal.
    pub fn to_text(self) -> String {
        let Self {
            points,
            known,
            failed,
        } = self;
        let new = points - known;
        format!(
            "{points} points: {new} made now, of which {failed} failed; {known} known before.\n"
        )
    }
}

/// Makes and scores the points of a sweep, or of the share of it that a part is for, which its folder does not know yet.
///
/// # Errors
///
/// Where variants cannot be made, the evaluator not be started or the journal not be written; or when the user wants it to
/// end. All points finished before are in the journal.
pub(super) fn run(
    mut part: Part,
    source: &Checkpoint,
    sweep: &Sweep,
    running: &Running,
    session: &mut Session<'_>,
) -> Result<Ran, Error> {
    let interrupted = Interrupted::listen()?;
    let folder = part.folder().to_owned();
    let known = read(&folder, &sweep.base())?;
    let is_known = |point: &Point| {
        let mut known = known.iter();
        known.any(|one| one.point == *point && !(running.retry_failed && one.has_failed()))
    };
    let share: Vec<&Point> = match part.shard() {
        Some(shard) => shard.of(sweep.points.iter()).collect(),
        None => sweep.points.iter().collect(),
    };
    let points = share.len();
    let to_do: Vec<&Point> = share.into_iter().filter(|point| !is_known(point)).collect();
    let mut ran = Ran {
        points,
        known: points - to_do.len(),
        failed: 0,
    };
    // What a dead run left of it goes, even if there is nothing to do.
    let scratch = part.scratch()?;
    if to_do.is_empty() {
        return Ok(ran);
    }
    let machine = machine(source, sweep, session)?;
    let original = Original::new(source, sweep, &machine)?;
    let work = Work {
        original: &original,
        machine: &machine,
        points: &to_do,
        next: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
        interrupted: &interrupted,
    };
    let bar = Bar::new(to_do.len(), session.has_bars());
    let done = thread::scope(|scope| {
        let (sender, results) = mpsc::channel();
        for job in 0..usize::from(running.jobs).min(to_do.len()) {
            let (sender, work) = (sender.clone(), &work);
            let folder = scratch.path().join(job.to_string());
            let go = move || work.go_through(&folder, &sender);
            let started = thread::Builder::new().spawn_scoped(scope, go);
            match (started, job) {
                (Ok(_), _) => (),
                (Err(error), 0) => return Err(Error::Threads(error)),
                // The jobs that there are make all points.
                (Err(error), _) => {
                    session.warn(&[format!(
                        "of --jobs {} only {job} could be started ({error})",
                        running.jobs
                    )]);
                    break;
                }
            }
        }
        drop(sender);
        let mut done = 0;
        let all = results.into_iter().try_for_each(|finished| {
            let finished: FinishedPoint = finished?;
            part.append(&finished)?;
            done += 1;
            ran.failed += usize::from(finished.has_failed());
            let line = describe(&finished, sweep.evaluator.as_ref());
            if !session.has_bars() {
                session.tell(&format!("{done}/{}  {line}", to_do.len()));
            }
            bar.finished(line);
            Ok::<_, Error>(())
        });
        work.is_over.store(true, Ordering::Relaxed);
        all.map(|()| done)
    });
    drop(bar);
    session.warn(&machine.backend.warning().into_iter().collect::<Vec<_>>());
    let done = done?;
    if done < to_do.len() {
        return Err(sensitivity::Error::Stopped {
            folder,
            done: ran.known + done,
            all: points,
        }
        .into());
    }
    Ok(ran)
}

fn machine(
    source: &Checkpoint,
    sweep: &Sweep,
    session: &mut Session<'_>,
) -> Result<Machine, Error> {
    let weights = weights(source, sweep)?;
    let sizes: Vec<LayerSize> = weights.iter().map(LayerSize::of).collect();
    let pool = session.pool_with_blas()?;
    // Measures of weights are taken in float32.
    let backend = match sweep.evaluator {
        Some(_) => session.backend(&sizes, &pool)?,
        None => session.drawing_backend(&sizes, &pool)?,
    };
    Ok(Machine { pool, backend })
}

/// The points to make, which several threads take one by one.
struct Work<'a> {
    original: &'a Original<'a>,
    machine: &'a Machine,
    points: &'a [&'a Point],
    next: AtomicUsize,
    /// Whether another thread has failed.
    is_over: AtomicBool,
    interrupted: &'a Interrupted,
}

impl Work<'_> {
    fn is_to_end(&self) -> bool {
        self.is_over.load(Ordering::Relaxed) || self.interrupted.requested()
    }

    /// Takes points until there are no more, with a folder of its own for variants.
    fn go_through(&self, folder: &Path, results: &Sender<Result<FinishedPoint, Error>>) {
        let made = files::create_folder(folder);
        let mut error = made.err().map(|error| {
            Error::from(sensitivity::Error::File {
                file: folder.to_owned(),
                action: "cannot be made",
                error,
            })
        });
        while error.is_none() && !self.is_to_end() {
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(point) = self.points.get(place) else {
                return;
            };
            match self.finish(point, folder) {
                // Nobody listens any more once something else has failed.
                Ok(Some(finished)) => drop(results.send(Ok(finished))),
                Ok(None) => return,
                Err(failed) => error = Some(failed),
            }
        }
        if let Some(error) = error {
            self.is_over.store(true, Ordering::Relaxed);
            let _ = results.send(Err(error));
        }
    }

    /// Makes and scores a point; `None` where that was called off.
    fn finish(&self, point: &Point, folder: &Path) -> Result<Option<FinishedPoint>, Error> {
        let started = Instant::now();
        let variant = self.original.variant(point, folder, self.machine)?;
        let sweep = self.original.sweep;
        let outcome = match &sweep.evaluator {
            Some(evaluator) => {
                let verdict = evaluator.score(&variant.path, &|| self.is_to_end())?;
                let Some(verdict) = verdict else {
                    return Ok(None);
                };
                match verdict {
                    Verdict::Score(score) => Outcome::Scored { score },
                    Verdict::Failure { why, output } => Outcome::Failed { why, output },
                }
            }
            None => measure(&variant.path, sweep, self.machine)?,
        };
        Ok(Some(FinishedPoint {
            point: point.clone(),
            merging: variant.merging,
            outcome,
            seconds: started.elapsed().as_secs_f64(),
        }))
    }
}

/// A point in a line.
fn describe(finished: &FinishedPoint, evaluator: Option<&Evaluator>) -> String {
    let metric = evaluator.and_then(|evaluator| evaluator.metric.as_deref());
    let outcome = match &finished.outcome {
        Outcome::Scored { score } => format!("{} {score}", metric.unwrap_or("score")),
        Outcome::Measured { effective_rank, .. } => {
            format!("effective rank {:.1} %", 100.0 * effective_rank)
        }
        Outcome::Failed { why, .. } => format!("FAILED: {why}"),
    };
    let (point, merging) = (&finished.point, &finished.merging);
    let repeat = match point.repeat {
        0 => String::new(),
        repeat => format!(" (repetition {})", repeat + 1),
    };
    format!(
        "{}{repeat}: {outcome}; {} of {} kernels merged, {:.1} s",
        point.variation, merging.merged, merging.kernels, finished.seconds
    )
}
