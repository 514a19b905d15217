//! Working through a sweep's points.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, Scope};
use std::time::Instant;

use serde::Serialize;

use crate::checkpoint::Checkpoint;
use crate::compute::{self, Compute, ComputeOptions};
use crate::files;
use crate::interrupted::Interrupted;
use crate::meter::{Level, Meter};
use crate::similarity::LayerSize;

use super::measure::measure;
use super::variant::{Original, weights};
use super::{
    Error, Evaluation, Evaluator, FinishedPoint, Hold, JournalPart, Point, PointOutcome, Shard,
    Sweep, read,
};

/// Which points of a sweep to make, and how many at a time.
#[derive(Debug)]
pub struct RunRequest<'a> {
    /// The sweep.
    pub sweep: &'a Sweep,
    /// Its checkpoint.
    pub source: &'a Checkpoint,
    /// The share of its points; `None` for all.
    pub shard: Option<Shard>,
    /// Variants that are made and scored at a time.
    pub jobs: u16,
    /// Whether points that failed before are made again.
    pub retry_failed: bool,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ran {
    /// Points of the sweep, or of its share.
    pub points: usize,
    /// Of these, those that were known before.
    pub known: usize,
    /// Of those that were not, those that failed.
    pub failed: usize,
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

/// Makes and scores the points of a sweep, or of a share of it, that its folder does not know yet, and appends each to the
/// folder's journal. The hold on the folder ends once the journal is open.
///
/// # Errors
///
/// Where variants cannot be made, the evaluator cannot be started or the journal cannot be written; or when interrupted. All
/// points that were finished are in the journal.
///
/// # Examples
///
/// ```
/// use inmerge_ckpt::checkpoint::Checkpoint;
/// use inmerge_ckpt::compute::ComputeOptions;
/// use inmerge_ckpt::interrupted::Interrupted;
/// use inmerge_ckpt::selection;
/// use inmerge_ckpt::sensitivity::{self, PlanRequest, RunRequest, Variations};
/// use inmerge_ckpt::settings::Settings;
/// use inmerge_ckpt::similarity::NonFinite;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let desk = tempfile::tempdir()?;
/// let source = Checkpoint::open("fixtures/checkpoints/demo.safetensors".as_ref())?;
/// let settings = Settings::default();
/// let layers = selection::find(&source, &settings, None)?;
/// let sweep = sensitivity::plan(PlanRequest {
///     source: &source,
///     layers: &layers,
///     settings: &settings,
///     variations: &Variations::check(vec!["tau=0.5,0.9".parse()?], None, 1)?,
///     evaluator: None,
///     non_finite: NonFinite::Refuse,
/// })?;
/// let hold = sensitivity::begin(&desk.path().join("sweep"), &sweep)?;
/// let request = RunRequest {
///     sweep: &sweep,
///     source: &source,
///     shard: None,
///     jobs: 1,
///     retry_failed: false,
/// };
/// let interrupted = Interrupted::listen()?;
/// let ran = sensitivity::run(&request, hold, &ComputeOptions::default(), &interrupted, &())?;
/// // The checkpoint as it is, and merged with each threshold.
/// assert_eq!(ran.points, 3);
/// # Ok(())
/// # }
/// ```
pub fn run(
    request: &RunRequest<'_>,
    hold: Hold,
    options: &ComputeOptions,
    interrupted: &Interrupted,
    meter: &dyn Meter,
) -> Result<Ran, Error> {
    let sweep = request.sweep;
    let mut part = JournalPart::open(&hold, request.shard, sweep.base())?;
    drop(hold);
    let share: Vec<&Point> = match request.shard {
        Some(shard) => shard.of(sweep.points.iter()).collect(),
        None => sweep.points.iter().collect(),
    };
    let points = share.len();
    let known = read(part.folder(), &sweep.base())?;
    let is_known = |point: &Point| {
        let mut known = known.iter();
        known.any(|one| one.point == *point && !(request.retry_failed && one.has_failed()))
    };
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
    let compute = start(request, options, meter)?;
    let original = Original::new(request.source, sweep, &compute)?;
    let work = Work {
        original: &original,
        compute: &compute,
        points: &to_do,
        next: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
        interrupted,
    };
    meter.point(0, to_do.len(), "");
    let done = thread::scope(|scope| {
        let finished = work.start(scope, request.jobs, scratch.path(), meter)?;
        let all = work.append(finished, &mut part, &mut ran, meter);
        work.is_over.store(true, Ordering::Relaxed);
        all
    });
    meter.finish();
    if let Some(warning) = compute.backend.warning() {
        meter.say(Level::Warning, &warning);
    }
    let done = done?;
    if done < to_do.len() {
        return Err(Error::Stopped {
            folder: part.folder().to_owned(),
            done: ran.known + done,
            all: points,
        });
    }
    Ok(ran)
}

fn start(
    request: &RunRequest<'_>,
    options: &ComputeOptions,
    meter: &dyn Meter,
) -> Result<Compute, Error> {
    let weights = weights(request.source, request.sweep)?;
    let sizes: Vec<LayerSize> = weights.iter().map(LayerSize::of).collect();
    // Measures of weights are taken in float32.
    let options = match request.sweep.evaluator {
        Some(_) => *options,
        None => options.for_drawing(),
    };
    Ok(options.start(&sizes, meter)?)
}

/// The points to make, which several threads take one by one.
struct Work<'a> {
    original: &'a Original<'a>,
    compute: &'a Compute,
    points: &'a [&'a Point],
    next: AtomicUsize,
    /// Whether another thread has failed.
    is_over: AtomicBool,
    interrupted: &'a Interrupted,
}

impl Work<'_> {
    /// Starts so many jobs, or as many as can be, which make all points between them, each with a folder of its own.
    fn start<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        jobs: u16,
        scratch: &Path,
        meter: &dyn Meter,
    ) -> Result<Receiver<Result<FinishedPoint, Error>>, Error> {
        let (sender, results) = mpsc::channel();
        for job in 0..usize::from(jobs).min(self.points.len()) {
            let sender = sender.clone();
            let folder = scratch.join(job.to_string());
            let go = move || self.go_through(&folder, &sender);
            let started = thread::Builder::new().spawn_scoped(scope, go);
            match (started, job) {
                (Ok(_), _) => (),
                (Err(error), 0) => return Err(compute::Error::Threads(error).into()),
                (Err(error), _) => {
                    let warning = format!("of --jobs {jobs} only {job} could be started ({error})");
                    meter.say(Level::Warning, &warning);
                    break;
                }
            }
        }
        Ok(results)
    }

    /// Appends each finished point to the journal. Returns how many there were.
    fn append(
        &self,
        results: Receiver<Result<FinishedPoint, Error>>,
        part: &mut JournalPart,
        ran: &mut Ran,
        meter: &dyn Meter,
    ) -> Result<usize, Error> {
        let mut done = 0;
        for finished in results {
            let finished = finished?;
            part.append(&finished)?;
            done += 1;
            ran.failed += usize::from(finished.has_failed());
            let evaluator = self.original.sweep.evaluator.as_ref();
            meter.point(done, self.points.len(), &describe(&finished, evaluator));
        }
        Ok(done)
    }

    fn is_to_end(&self) -> bool {
        self.is_over.load(Ordering::Relaxed) || self.interrupted.requested()
    }

    /// Takes points until there are no more, with a folder of its own for variants.
    fn go_through(&self, folder: &Path, results: &Sender<Result<FinishedPoint, Error>>) {
        let made = files::create_folder(folder);
        let mut error = made.err().map(|error| Error::File {
            file: folder.to_owned(),
            action: "cannot be made",
            error,
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
        let variant = self.original.variant(point, folder, self.compute)?;
        let sweep = self.original.sweep;
        let outcome = match &sweep.evaluator {
            Some(evaluator) => {
                let verdict = evaluator.score(&variant.path, &|| self.is_to_end())?;
                let Some(verdict) = verdict else {
                    return Ok(None);
                };
                match verdict {
                    Evaluation::Score(score) => PointOutcome::Scored { score },
                    Evaluation::Failure { why, output } => PointOutcome::Failed { why, output },
                }
            }
            None => measure(&variant.path, sweep, self.compute)?,
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
        PointOutcome::Scored { score } => format!("{} {score}", metric.unwrap_or("score")),
        PointOutcome::Measured { effective_rank, .. } => {
            format!("effective rank {:.1} %", 100.0 * effective_rank)
        }
        PointOutcome::Failed { why, .. } => format!("FAILED: {why}"),
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
