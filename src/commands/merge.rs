//! `merge IN OUT`: decide who merges with whom, and write the result.

use std::time::Instant;

use crate::analyze::{self, MarkedReport};
use crate::atomic::FileDestination;
use crate::checkpoint::{Checkpoint, Destination};
use crate::cli::{Merge, durability};
use crate::compute::ComputeOptions;
use crate::console::Console;
use crate::error::Error;
use crate::merge::{self, MergeRequest};
use crate::meter::Meter;
use crate::report::figures::Titles;
use crate::report::folder::ReportFolder;
use crate::selection;

use super::{Outcome, merged, outputs};

pub(super) fn run(
    args: &Merge,
    options: &ComputeOptions,
    console: &Console<'_>,
) -> Result<Outcome, Error> {
    let started = Instant::now();
    let source = args.from.open(&args.input)?;
    let destinations = Destinations::check(args, &source)?;
    let source = outputs::in_its_format(source, destinations.output.as_ref())?;
    let settings = args.merging.settings_for(&args.layers, source.path())?;
    let layers = selection::find(&source, &settings, args.layers.declaration()?.as_ref())?;
    let meter = console.work_bar(options.cpu_precision());
    let report = destinations.report.as_ref();
    let report = report.map(|folder| {
        let report = MarkedReport::begin(folder, &source, &layers, !args.no_spectrum)?;
        meter.expect(report.estimate());
        Ok::<_, analyze::Error>(report)
    });
    let report = report.transpose()?;
    let momentum = args.momentum.of(&source)?;
    let request = MergeRequest {
        source: &source,
        layers: &layers,
        settings: &settings,
        non_finite: args.merging.non_finite(),
        carry: args.carry.carry(),
        momentum: momentum.as_ref(),
        destination: destinations.output.as_ref(),
    };
    let mut merged = merge::run(&request, options, &meter)?;
    let outcome = merged::outcome(&mut merged, &args.writing);

    if let Some(report) = &report {
        let titles = Titles::unless(args.no_titles);
        report.draw(&merged, args.layers.words(), titles, &meter)?;
    }
    let durability = durability(args.writing.no_sync);
    if let Some(file) = destinations.plan {
        file.write(&merged.plan.to_json(), durability)?;
    }
    if outcome == Outcome::Done {
        merged.publish(durability, &meter)?;
    }
    let published = report.map(|report| report.publish(&merged, durability));
    let mut folder = destinations.report.as_ref().map(ReportFolder::path);
    match published.transpose() {
        Ok(warnings) => {
            let warnings = warnings.iter().flatten().map(ToString::to_string);
            merged.warnings.extend(warnings);
        }
        // The checkpoint is there: the run has done its work.
        Err(error) if merged.output().is_some() => {
            folder = None;
            merged.warnings.push(error.to_string());
        }
        Err(error) => return Err(error.into()),
    }
    meter.finish();
    merged.compute.say_times(&meter);
    merged.warnings.extend(merged.compute.backend.warning());
    merged::print(&merged, folder, started.elapsed(), console)?;
    Ok(outcome)
}

/// Where the run writes.
struct Destinations {
    output: Option<Destination>,
    plan: Option<FileDestination>,
    report: Option<ReportFolder>,
}

impl Destinations {
    /// Checks that everything may be written where the user wants it: not over anything that is read, nor over each other.
    fn check(args: &Merge, source: &Checkpoint) -> Result<Self, Error> {
        let force = args.writing.force;
        let read = [
            (args.layers.config.as_deref(), "configuration"),
            (args.layers.order.as_deref(), "order"),
            (args.layers.layers.as_deref(), "layers"),
        ];
        let path = args.output.as_deref().filter(|_| !args.dry_run);
        let output = path.map(|output| {
            outputs::refuse_overwriting(output, &read)?;
            outputs::destination(source, output, force)
        });
        let output = output.transpose()?;
        let plan = args.plan.as_deref().map(|plan| {
            let input = source.files().map(|file| (Some(file), "input"));
            let others: Vec<_> = read
                .into_iter()
                .chain(input)
                .chain([(path, "output")])
                .collect();
            outputs::refuse_overwriting(plan, &others)?;
            outputs::refuse_companion(plan, source)?;
            let folder = output.as_ref().and_then(Destination::replaced_folder);
            outputs::refuse_inside(plan, folder, "output")?;
            Ok::<_, Error>(FileDestination::check(plan, force)?)
        });
        let report = args.report.as_deref().map(|report| {
            for file in [path, args.plan.as_deref()].into_iter().flatten() {
                outputs::refuse_inside(file, Some(report), "report")?;
            }
            let folder = output.as_ref().and_then(Destination::folder);
            outputs::refuse_inside(report, folder, "output")?;
            Ok::<_, Error>(ReportFolder::check(report, force)?)
        });
        Ok(Self {
            plan: plan.transpose()?,
            report: report.transpose()?,
            output,
        })
    }
}
