//! `sensitivity IN`, and its steps `plan`, `run` and `collect`: score variants of a checkpoint, and draw what they score.

mod bar;
mod collect;
mod folder;
mod measure;
mod plan;
mod run;
mod variant;

use std::path::{Path, PathBuf};

use crate::checkpoint::Checkpoint;
use crate::cli::{RunSweep, Sensitivity, SensitivityStep, SweepFlags};
use crate::error::Error;
use crate::sensitivity::{self, Point, Sweep, Variation};

use super::{Outcome, Session};

pub(super) fn run(args: &Sensitivity, session: &mut Session<'_>) -> Result<Outcome, Error> {
    match (&args.step, &args.input) {
        (Some(SensitivityStep::Plan(plan)), _) => plan_only(&plan.input, &plan.sweep, session),
        (Some(SensitivityStep::Run(args)), _) => run_share(args, session),
        (Some(SensitivityStep::Collect { folder }), _) => {
            let sweep = folder::sweep(folder)?;
            collect::collect(folder, sweep, session)
        }
        (None, Some(input)) => all_at_once(input, args, session),
        (None, None) => unreachable!("the command line asks for a checkpoint or a step"),
    }
}

fn all_at_once(
    input: &Path,
    args: &Sensitivity,
    session: &mut Session<'_>,
) -> Result<Outcome, Error> {
    let source = Checkpoint::open(input)?;
    let (path, sweep) = begin(&source, &args.sweep, session)?;
    run::run(&path, &source, &sweep, None, &args.running, session)?;
    collect::collect(&path, sweep, session)
}

fn plan_only(
    input: &Path,
    flags: &SweepFlags,
    session: &mut Session<'_>,
) -> Result<Outcome, Error> {
    let source = Checkpoint::open(input)?;
    let (path, sweep) = begin(&source, flags, session)?;
    session.document(&sweep.to_json(), || {
        format!(
            "Planned {} points in {}; `inmerge-ckpt sensitivity run {} --shard I/N` works through a share of them.\n",
            sweep.points.len(),
            path.display(),
            shell_words::quote(&path.to_string_lossy())
        )
    })?;
    Ok(Outcome::Done)
}

/// Makes a sweep's folder.
fn begin(
    source: &Checkpoint,
    flags: &SweepFlags,
    session: &mut Session<'_>,
) -> Result<(PathBuf, Sweep), Error> {
    let (sweep, mut warnings) = plan::sweep(flags, source)?;
    let base = Variation::default();
    let needs_base = |point: &Point| !point.variation.says_which_layers();
    if sweep.points.iter().skip(1).any(needs_base) && sweep.taking_part(&base).next().is_none() {
        warnings.push(format!(
            "no layer takes part: --skip-shallow {} and the flags that select layers leave none, so no point merges but those \
            that say which layers do",
            sweep.parameters.skip_shallow
        ));
    }
    let path = plan::folder(flags, source);
    folder::begin(&path, &sweep)?;
    session.warn(&warnings);
    Ok((path, sweep))
}

fn run_share(args: &RunSweep, session: &mut Session<'_>) -> Result<Outcome, Error> {
    let sweep = folder::sweep(&args.folder)?;
    let source = Checkpoint::open(&sweep.checkpoint)?;
    if plan::content_sha256(&source)? != sweep.content_sha256 {
        return Err(sensitivity::Error::OtherCheckpoint(sweep.checkpoint).into());
    }
    let ran = run::run(
        &args.folder,
        &source,
        &sweep,
        args.shard,
        &args.running,
        session,
    )?;
    session.result(&ran, |ran| ran.to_text())?;
    Ok(Outcome::Done)
}
