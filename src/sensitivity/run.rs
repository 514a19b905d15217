//! Running a sweep: making and scoring its points.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, Scope};
use std::time::Instant;

use serde::Serialize;

use crate::analysis::to_digits;
use crate::checkpoint::Checkpoint;
use crate::compute::{self, Compute, ComputeOptions};
use crate::files;
use crate::interrupted::Interrupted;
use crate::meter::{Level, Meter};
use crate::similarity::LayerSize;

use super::measure::measure;
use super::variant::{Original, weights};
use super::{
    Error, Evaluation, Evaluator, FinishedPoint, FolderLock, JournalPart, Point, PointOutcome,
    Series, Shard, Sweep, read,
};

/// The points of a sweep to make, and how.
#[derive(Debug)]
pub struct RunRequest<'a> {
    /// The sweep to run.
    pub sweep: &'a Sweep,
    /// The sweep's checkpoint.
    pub source: &'a Checkpoint,
    /// The shard of its points to make; `None` for all points.
    pub shard: Option<Shard>,
    /// Number of variants to make and score at the same time.
    pub jobs: u16,
    /// Whether to make points again that failed before.
    pub retry_failed: bool,
}

/// How many points a run made: what `sensitivity run --json` prints.
#[derive(Clone, Copy, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RunSummary {
    /// Points of the sweep, or of the shard.
    pub points: usize,
    /// Those that were finished before this run.
    pub known: usize,
    /// Those that this run made and that failed.
    pub failed: usize,
}

impl RunSummary {
    /// The summary as a line of text.
    pub fn to_text(self) -> String {
        let Self {
            points,
            known,
            failed,
        } = self;
        let new = points - known;
        format!("{points} points: {new} made now ({failed} failed), {known} made before.\n")
    }
}

/// Makes and scores the points of a sweep, or of a shard, that are not in its folder's journal yet, and appends each to the
/// journal. Releases the lock on the folder once the journal is open.
///
/// # Errors
///
/// If variants cannot be made, the evaluator cannot be started, the journal cannot be written, or the run is interrupted. All
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
/// let lock = sensitivity::begin(&desk.path().join("sweep"), &sweep)?;
/// let request = RunRequest {
///     sweep: &sweep,
///     source: &source,
///     shard: None,
///     jobs: 1,
///     retry_failed: false,
/// };
/// let interrupted = Interrupted::listen()?;
/// let summary = sensitivity::run(&request, lock, &ComputeOptions::default(), &interrupted, &())?;
/// // The unmerged checkpoint, and one variant for each threshold.
/// assert_eq!(summary.points, 3);
/// # Ok(())
/// # }
/// ```
pub fn run(
    request: &RunRequest<'_>,
    lock: FolderLock,
    options: &ComputeOptions,
    interrupted: &Interrupted,
    meter: &dyn Meter,
) -> Result<RunSummary, Error> {
    let sweep = request.sweep;
    let mut part = JournalPart::open(&lock, request.shard, sweep.base())?;
    drop(lock);
    let share: Vec<&Point> = match request.shard {
        Some(shard) => shard.of(sweep.points.iter()).collect(),
        None => sweep.points.iter().collect(),
    };
    let points = share.len();
    let known = read(part.folder(), &sweep.base())?;
    // Without the unmerged checkpoint, nothing can be compared.
    let is_made_again =
        |one: &FinishedPoint| one.has_failed() && (request.retry_failed || one.is_baseline());
    let is_known = |point: &Point| {
        let mut known = known.iter();
        known.any(|one| one.point == *point && !is_made_again(one))
    };
    let to_do: Vec<&Point> = share.into_iter().filter(|point| !is_known(point)).collect();
    let mut summary = RunSummary {
        points,
        known: points - to_do.len(),
        failed: 0,
    };
    // Even if there is nothing to do, this removes what a killed run left.
    let scratch = part.scratch()?;
    if to_do.is_empty() {
        return Ok(summary);
    }
    let compute = start(request, options, meter)?;
    let original = Original::new(request.source, sweep, &compute)?;
    let unmerged = known
        .iter()
        .find(|one| one.is_baseline() && !one.has_failed());
    let mut work = Work {
        original: &original,
        compute: &compute,
        points: &to_do,
        next: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
        interrupted,
        unmerged: unmerged.map(|one| one.outcome.clone()),
    };
    // Evaluators may run in another current folder.
    let scratch = files::canonical(scratch.path()).map_err(|error| Error::File {
        file: scratch.path().to_owned(),
        action: "cannot be found again",
        error,
    })?;
    meter.point(0, to_do.len(), "");
    let done = work.make(request.jobs, &scratch, &mut part, &mut summary, meter);
    meter.finish();
    if let Some(warning) = compute.backend.warning() {
        meter.say(Level::Warning, &warning);
    }
    let done = done?;
    if done < to_do.len() {
        return Err(Error::Stopped {
            folder: part.folder().to_owned(),
            done: summary.known + done,
            all: points,
        });
    }
    Ok(summary)
}

fn start(
    request: &RunRequest<'_>,
    options: &ComputeOptions,
    meter: &dyn Meter,
) -> Result<Compute, Error> {
    let weights = weights(request.source, request.sweep)?;
    let sizes: Vec<LayerSize> = weights.iter().map(LayerSize::of).collect();
    // Weights are measured in float32.
    let options = match request.sweep.evaluator {
        Some(_) => *options,
        None => options.for_drawing(),
    };
    Ok(options.start(&sizes, meter)?)
}

/// The points to make, shared by several threads.
struct Work<'a> {
    original: &'a Original<'a>,
    compute: &'a Compute,
    points: &'a [&'a Point],
    next: AtomicUsize,
    /// Whether another thread has failed.
    is_over: AtomicBool,
    interrupted: &'a Interrupted,
    /// The outcome of the unmerged checkpoint, if it is known: that of every variant that merges nothing.
    unmerged: Option<PointOutcome>,
}

impl Work<'_> {
    /// Makes all points, the unmerged checkpoint before the others, and appends each to the journal. Returns their number.
    fn make(
        &mut self,
        jobs: u16,
        scratch: &Path,
        part: &mut JournalPart,
        summary: &mut RunSummary,
        meter: &dyn Meter,
    ) -> Result<usize, Error> {
        let mut done = 0;
        if self.points[0].series == Series::Baseline {
            let Some(baseline) = self.first(scratch)? else {
                return Ok(0);
            };
            *self.next.get_mut() = 1;
            done = self.append_one(&baseline, 0, part, summary, meter)?;
            if let PointOutcome::Failed { why, output } = baseline.outcome {
                return Err(Error::Unscorable { why, output });
            }
            self.unmerged = Some(baseline.outcome);
        }
        let work = &*self;
        thread::scope(|scope| {
            let finished = work.start(scope, jobs, scratch, meter)?;
            let all = work.append(finished, done, part, summary, meter);
            work.is_over.store(true, Ordering::Relaxed);
            all
        })
    }

    /// Makes the first point.
    fn first(&self, scratch: &Path) -> Result<Option<FinishedPoint>, Error> {
        if self.must_stop() {
            return Ok(None);
        }
        let folder = scratch.join("0");
        create(&folder)?;
        self.finish(self.points[0], &folder)
    }

    /// Starts up to `jobs` threads, fewer if the system starts no more, that make all points. Each has its own folder.
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
            let go = move || self.make_points(&folder, &sender);
            let started = thread::Builder::new().spawn_scoped(scope, go);
            match (started, job) {
                (Ok(_), _) => (),
                (Err(error), 0) => return Err(compute::Error::Threads(error).into()),
                (Err(error), _) => {
                    let warning = format!("only {job} of --jobs {jobs} could be started ({error})");
                    meter.say(Level::Warning, &warning);
                    break;
                }
            }
        }
        Ok(results)
    }

    /// Appends each finished point to the journal, after so many others; their number with those.
    fn append(
        &self,
        results: Receiver<Result<FinishedPoint, Error>>,
        mut done: usize,
        part: &mut JournalPart,
        summary: &mut RunSummary,
        meter: &dyn Meter,
    ) -> Result<usize, Error> {
        for finished in results {
            done = self.append_one(&finished?, done, part, summary, meter)?;
        }
        Ok(done)
    }

    /// Appends a point to the journal, after so many others; the number with it.
    fn append_one(
        &self,
        finished: &FinishedPoint,
        before: usize,
        part: &mut JournalPart,
        summary: &mut RunSummary,
        meter: &dyn Meter,
    ) -> Result<usize, Error> {
        part.append(finished)?;
        summary.failed += usize::from(finished.has_failed());
        let evaluator = self.original.sweep.evaluator.as_ref();
        let done = before + 1;
        meter.point(done, self.points.len(), &describe(finished, evaluator));
        Ok(done)
    }

    fn must_stop(&self) -> bool {
        self.is_over.load(Ordering::Relaxed) || self.interrupted.requested()
    }

    /// Makes points in this folder, until there are no more.
    fn make_points(&self, folder: &Path, results: &Sender<Result<FinishedPoint, Error>>) {
        let mut error = create(folder).err();
        while error.is_none() && !self.must_stop() {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(point) = self.points.get(index) else {
                return;
            };
            match self.finish(point, folder) {
                // The receiver is gone once another thread has failed.
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

    /// Makes and scores a point; `None` if the run was stopped meanwhile.
    fn finish(&self, point: &Point, folder: &Path) -> Result<Option<FinishedPoint>, Error> {
        let started = Instant::now();
        let variant = self.original.variant(point, folder, self.compute)?;
        let sweep = self.original.sweep;
        let is_unmerged = variant.merging.merged == 0 && point.series != Series::Baseline;
        let known = self.unmerged.as_ref().filter(|_| is_unmerged);
        let outcome = match (known, &sweep.evaluator) {
            (Some(unmerged), _) => unmerged.clone(),
            (None, Some(evaluator)) => {
                let evaluation = evaluator.score(&variant.path, &|| self.must_stop())?;
                let Some(evaluation) = evaluation else {
                    return Ok(None);
                };
                match evaluation {
                    Evaluation::Score(score, stderr) => PointOutcome::Scored { score, stderr },
                    Evaluation::Failure { why, output } => PointOutcome::Failed { why, output },
                }
            }
            (None, None) => measure(&variant.path, sweep, self.compute)?,
        };
        Ok(Some(FinishedPoint {
            point: point.clone(),
            merging: variant.merging,
            outcome,
            seconds: started.elapsed().as_secs_f64(),
        }))
    }
}

/// Creates a folder for variants, unless it is there.
fn create(folder: &Path) -> Result<(), Error> {
    files::create_folders(folder).map_err(|error| Error::File {
        file: folder.to_owned(),
        action: "cannot be made",
        error,
    })
}

/// Digits of a score in the progress output.
const SHOWN: usize = 6;

/// The line about a finished point in the progress output.
fn describe(finished: &FinishedPoint, evaluator: Option<&Evaluator>) -> String {
    let metric = evaluator.and_then(|evaluator| evaluator.metric.as_deref());
    let outcome = match &finished.outcome {
        PointOutcome::Scored { score, .. } => {
            format!("{} {}", metric.unwrap_or("score"), to_digits(*score, SHOWN))
        }
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
