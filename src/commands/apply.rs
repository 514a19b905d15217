//! `apply PLAN IN OUT`: write what a plan says.

use std::time::Instant;

use crate::cli::{Apply, durability};
use crate::compute::ComputeOptions;
use crate::console::Console;
use crate::error::Error;
use crate::merge::{self, ApplyRequest};
use crate::meter::Meter;
use crate::plan::Plan;

use super::{Outcome, merged, outputs};

pub(super) fn run(
    args: &Apply,
    options: &ComputeOptions,
    console: &Console<'_>,
) -> Result<Outcome, Error> {
    let started = Instant::now();
    let source = match args.from.open(&args.input) {
        Ok(source) => source,
        Err(_) if Plan::is_at(&args.input) => {
            return Err(Error::PlanAsInput(args.input.clone()));
        }
        Err(error) => return Err(error.into()),
    };
    outputs::refuse_overwriting(&args.output, &[(Some(&args.plan), "plan")])?;
    let destination = outputs::destination(&source, &args.output, args.writing.force)?;
    let source = outputs::in_its_format(source, Some(&destination))?;
    let plan = merge::read_plan(&args.plan, args.prefix.as_deref(), &source)?;
    let momentum = args.momentum.of(&source)?;
    let is_written = !(plan.is_empty() && args.writing.require_merges);
    let request = ApplyRequest {
        source: &source,
        plan,
        plan_file: &args.plan,
        momentum: momentum.as_ref(),
        destination: is_written.then_some(&destination),
    };
    let meter = console.work_bar(options.cpu_precision());
    let mut merged = merge::apply(request, options, &meter)?;
    let outcome = merged::outcome(&mut merged, &args.writing);
    if outcome == Outcome::Done {
        merged.publish(durability(args.writing.no_sync), &meter)?;
    }
    meter.finish();
    merged::print(&merged, None, started.elapsed(), console)?;
    Ok(outcome)
}
