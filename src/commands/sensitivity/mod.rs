//! `sensitivity IN`, and its steps `plan`, `run` and `collect`: score variants of a checkpoint, and draw what they score.

mod bar;
mod collect;
mod folder;
mod measure;
mod plan;
mod run;
mod variant;

use crate::checkpoint::Checkpoint;
use crate::cli::{RunSweep, Sensitivity, SensitivityStep, SweepFlags};
use crate::error::Error;
use crate::sensitivity;

use super::{Outcome, Session};

pub(super) fn run(args: &Sensitivity, session: &mut Session<'_>) -> Result<Outcome, Error> {
    match (&args.step, &args.sweep) {
        (Some(SensitivityStep::Plan(flags)), _) => plan_only(flags, session),
        (Some(SensitivityStep::Run(args)), _) => run_share(args, session),
        (Some(SensitivityStep::Collect { folder }), _) => {
            let sweep = folder::sweep(folder)?;
            collect::collect(folder, sweep, session)
        }
        (None, Some(flags)) => all_at_once(flags, args, session),
        (None, None) => unreachable!("the command line asks for a checkpoint or a step"),
    }
}

fn all_at_once(
    flags: &SweepFlags,
    args: &Sensitivity,
    session: &mut Session<'_>,
) -> Result<Outcome, Error> {
    let source = Checkpoint::open(&flags.input)?;
    let (sweep, warnings) = plan::sweep(flags, &source)?;
    let path = plan::folder(flags, &source);
    folder::begin(&path, &sweep)?;
    session.warn(&warnings);
    run::run(&path, &source, &sweep, None, &args.running, session)?;
    collect::collect(&path, sweep, session)
}

fn plan_only(flags: &SweepFlags, session: &mut Session<'_>) -> Result<Outcome, Error> {
    let source = Checkpoint::open(&flags.input)?;
    let (sweep, warnings) = plan::sweep(flags, &source)?;
    let path = plan::folder(flags, &source);
    folder::begin(&path, &sweep)?;
    session.document(&sweep.to_json(), || {
        format!(
            "Planned {} points in {}; `inmerge-ckpt sensitivity run {} --shard I/N` works through a share of them.\n",
            sweep.points.len(),
            path.display(),
            path.display()
        )
    })?;
    session.warn(&warnings);
    Ok(Outcome::Done)
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
