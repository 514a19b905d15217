//! `watch DIR --out DIR2`: merge each new checkpoint that a trainer saves.

use crate::cli::{MomentumPolicy, Watch, durability};
use crate::compute::ComputeOptions;
use crate::console::Console;
use crate::error::Error;
use crate::interrupted::Interrupted;
use crate::report::MergeReport;
use crate::watch::{self, WatchRequest};

use super::Outcome;

pub(super) fn run(
    args: &Watch,
    options: &ComputeOptions,
    console: &Console<'_>,
) -> Result<Outcome, Error> {
    let interrupted = Interrupted::listen()?;
    let request = WatchRequest {
        input: args.input.clone(),
        out: args.out.clone(),
        once: args.once,
        poll: args.poll,
        state_dict: args.from.state_dict.clone(),
        carry: args.carry.carry(),
        merges_momentum: args.momentum.momentum == MomentumPolicy::Merge,
        settings: args.merging.settings_for(&args.layers, &args.input)?,
        // Read now; later changes to the file mean nothing.
        declaration: args.layers.declaration()?,
        non_finite: args.merging.non_finite(),
        durability: durability(args.no_sync),
    };
    let meter = console.work_bar(options.cpu_precision());
    watch::run(
        &request,
        options,
        &interrupted,
        &meter,
        &mut |merged, time| {
            let report = MergeReport::new(merged, None, time);
            console.line(&report, MergeReport::to_line)
        },
    )?;
    Ok(Outcome::Done)
}
