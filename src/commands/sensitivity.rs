//! `sensitivity IN`, and its steps `plan`, `run` and `collect`: score variants of a checkpoint, and draw what they score.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::checkpoint::Checkpoint;
use crate::cli::{RunSweep, Running, Sensitivity, SensitivityStep, SweepFlags};
use crate::compute::ComputeOptions;
use crate::console::Console;
use crate::error::Error;
use crate::interrupted::Interrupted;
use crate::report::figures::Titles;
use crate::report::sensitivity::{SensitivitySummary, write};
use crate::selection;
use crate::sensitivity::{
    self, FinishedPoint, FolderLock, PlanRequest, Results, RunRequest, RunSummary, Shard, Sweep,
    remove_abandoned_scratch,
};

use super::{Outcome, analyze};

pub(super) fn run(
    args: &Sensitivity,
    options: &ComputeOptions,
    console: &Console<'_>,
) -> Result<Outcome, Error> {
    match (&args.step, &args.input) {
        (Some(SensitivityStep::Plan(args)), _) => plan_only(&args.input, &args.sweep, console)?,
        (Some(SensitivityStep::Run(args)), _) => run_share(args, options, console)?,
        (Some(SensitivityStep::Collect { folder, no_titles }), _) => {
            let sweep = sensitivity::sweep_of(folder)?;
            let titles = Titles::unless(*no_titles);
            collect(folder, sweep, titles, options, console)?;
        }
        (None, Some(input)) => {
            let source = args.sweep.from.open(input)?;
            let (lock, sweep) = begin(&source, &args.sweep, console)?;
            let folder = lock.folder().to_owned();
            make(&source, &sweep, lock, None, &args.running, options, console)?;
            collect(
                &folder,
                sweep,
                Titles::unless(args.no_titles),
                options,
                console,
            )?;
        }
        (None, None) => unreachable!("the command line asks for a checkpoint or a step"),
    }
    Ok(Outcome::Done)
}

fn plan_only(input: &Path, flags: &SweepFlags, console: &Console<'_>) -> Result<(), Error> {
    let source = flags.from.open(input)?;
    let (lock, sweep) = begin(&source, flags, console)?;
    let path = lock.folder();
    console.document(&sweep.to_json(), || {
        format!(
            "Planned {} points in {}; `inmerge-ckpt sensitivity run {} --shard I/N` works through a share of them.\n",
            sweep.points.len(),
            path.display(),
            shell_words::quote(&path.to_string_lossy())
        )
    })?;
    Ok(())
}

/// Plans a sweep and makes its folder, which is held as long as the lock that is returned.
fn begin(
    source: &Checkpoint,
    flags: &SweepFlags,
    console: &Console<'_>,
) -> Result<(FolderLock, Sweep), Error> {
    let settings = flags.merging.settings_for(&flags.layers, source.path())?;
    let layers = selection::find(source, &settings, flags.layers.declaration()?.as_ref())?;
    let sweep = sensitivity::plan(PlanRequest {
        source,
        layers: &layers,
        settings: &settings,
        variations: &flags.variations().map_err(sensitivity::Error::from)?,
        evaluator: flags.evaluator().map_err(sensitivity::Error::from)?,
        non_finite: flags.merging.non_finite(),
    })?;
    let lock = sensitivity::begin(&folder(flags, source), &sweep)?;
    let warnings = layers.warnings.iter().map(ToString::to_string);
    console.warn(&warnings.chain(sweep.warning()).collect::<Vec<_>>());
    Ok((lock, sweep))
}

/// Where a sweep goes.
fn folder(flags: &SweepFlags, source: &Checkpoint) -> PathBuf {
    let default = || {
        let analysis = analyze::default_folder(source);
        let name = analysis.file_name().unwrap_or(OsStr::new("checkpoint"));
        let mut name = name.to_owned();
        name.push("-sensitivity");
        Path::new("reports").join(name)
    };
    flags.report.clone().unwrap_or_else(default)
}

fn run_share(
    args: &RunSweep,
    options: &ComputeOptions,
    console: &Console<'_>,
) -> Result<(), Error> {
    let sweep = sensitivity::sweep_of(&args.folder)?;
    let source = sweep.open_checkpoint()?;
    let lock = FolderLock::acquire(&args.folder);
    remove_abandoned_scratch(&lock);
    let (shard, running) = (args.shard, &args.running);
    let summary = make(&source, &sweep, lock, shard, running, options, console)?;
    console.result(&summary, |summary| summary.to_text())?;
    // Those of this share alone: another may fare better.
    let points = sensitivity::read(&args.folder, &sweep.base())?;
    let is_made = |point: &FinishedPoint| match args.shard {
        Some(shard) => shard.of(sweep.points.iter()).any(|own| *own == point.point),
        None => true,
    };
    let made: Vec<FinishedPoint> = points.into_iter().filter(is_made).collect();
    Ok(Results::new(sweep, made).check()?)
}

fn make(
    source: &Checkpoint,
    sweep: &Sweep,
    lock: FolderLock,
    shard: Option<Shard>,
    running: &Running,
    options: &ComputeOptions,
    console: &Console<'_>,
) -> Result<RunSummary, Error> {
    let interrupted = Interrupted::listen()?;
    let request = RunRequest {
        sweep,
        source,
        shard,
        jobs: running.jobs,
        retry_failed: running.retry_failed,
    };
    let meter = console.points_bar();
    Ok(sensitivity::run(
        &request,
        lock,
        options,
        &interrupted,
        &meter,
    )?)
}

/// Draws all points of a sweep's folder that are known, and writes the report beside them.
fn collect(
    folder: &Path,
    sweep: Sweep,
    titles: Titles,
    options: &ComputeOptions,
    console: &Console<'_>,
) -> Result<(), Error> {
    remove_abandoned_scratch(&FolderLock::acquire(folder));
    let points = sensitivity::read(folder, &sweep.base())?;
    let results = Results::new(sweep, points);
    let pool = options.start_threads(console)?;
    let json = write(folder, &results, titles, &pool)?;
    console.document(&json, || {
        SensitivitySummary::new(&results, folder).to_text(console.columns())
    })?;
    Ok(results.check()?)
}
