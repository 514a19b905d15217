//! `sensitivity IN`, and its steps `plan`, `run` and `collect`: score variants of a checkpoint, and draw what they score.

mod bar;
mod collect;
mod folder;
mod measure;
mod plan;
mod run;
mod variant;

use std::path::Path;

use crate::checkpoint::Checkpoint;
use crate::cli::{RunSweep, Sensitivity, SensitivityStep, SweepFlags};
use crate::error::Error;
use crate::sensitivity::{self, Hold, Part, Point, Sweep, Variation, remove_abandoned_scratch};

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
    let (hold, sweep) = begin(&source, &args.sweep, session)?;
    let folder = hold.folder().to_owned();
    let part = Part::open(&hold, None, sweep.base())?;
    drop(hold);
    run::run(part, &source, &sweep, &args.running, session)?;
    collect::collect(&folder, sweep, session)
}

fn plan_only(
    input: &Path,
    flags: &SweepFlags,
    session: &mut Session<'_>,
) -> Result<Outcome, Error> {
    let source = Checkpoint::open(input)?;
    let (hold, sweep) = begin(&source, flags, session)?;
    let path = hold.folder();
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

/// Makes a sweep's folder, which is held as long as the hold that is returned.
fn begin(
    source: &Checkpoint,
    flags: &SweepFlags,
    session: &mut Session<'_>,
) -> Result<(Hold, Sweep), Error> {
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
    let hold = folder::begin(&plan::folder(flags, source), &sweep)?;
    session.warn(&warnings);
    Ok((hold, sweep))
}

fn run_share(args: &RunSweep, session: &mut Session<'_>) -> Result<Outcome, Error> {
    let sweep = folder::sweep(&args.folder)?;
    let source = Checkpoint::open(&sweep.checkpoint)?;
    if plan::content_sha256(&source)? != sweep.content_sha256 {
        return Err(sensitivity::Error::OtherCheckpoint(sweep.checkpoint).into());
    }
    let hold = Hold::on(&args.folder);
    remove_abandoned_scratch(&hold);
    let part = Part::open(&hold, args.shard, sweep.base())?;
    drop(hold);
    let ran = run::run(part, &source, &sweep, &args.running, session)?;
    session.result(&ran, |ran| ran.to_text())?;
    Ok(Outcome::Done)
}
