//! `merge IN OUT`: decide who merges with whom, and write the result.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::atomic::FileDestination;
use crate::checkpoint::{Checkpoint, Destination, Draft};
use crate::cli::Merge;
use crate::error::Error;
use crate::plan::{Plan, PlannedLayer};
use crate::report::FinishedRun;
use crate::report::folder::ReportFolder;
use crate::report::redundancy::LayerMerges;

use super::merging::{Job, Machine, Merged};
use super::reporting::{self, About, Subject};
use super::writing::{self, Verdict};
use super::{Outcome, Session, selecting};

pub(super) fn run(args: &Merge, session: &mut Session<'_>) -> Result<Outcome, Error> {
    let started = Instant::now();
    let source = Checkpoint::open(&args.input)?;
    let Destinations {
        output: destination,
        plan: plan_file,
        report: report_folder,
    } = Destinations::check(args, &source)?;

    let settings = selecting::settings(args.settings(), args.layers.config.as_deref(), &source)?;
    let layers = selecting::find(&source, &args.layers, &settings)?;
    let job = Job::of_selected(&source, &layers, &settings, args.merging.non_finite())?;
    let pool = session.pool_with_blas()?;
    let backend = session.backend(&job.sizes(), &pool)?;
    let machine = Machine { pool, backend };
    let draft = destination.as_ref();
    let mut draft = draft
        .map(|destination| Draft::begin(&source, destination))
        .transpose()?;
    let report_draft = report_folder
        .as_ref()
        .map(ReportFolder::begin)
        .transpose()?;
    let subject = report_draft.as_ref().map(|draft| {
        let subject = Subject::new(&source, &layers, !args.no_spectrum)?;
        Ok::<_, Error>((subject, draft))
    });
    let subject = subject.transpose()?;
    let to_analyse = subject.iter().map(|(subject, _)| subject.amount());
    let progress = session.progress(
        "merging",
        to_analyse.chain([job.amount(draft.is_some())]).sum(),
        machine.backend.cpu(),
    );
    let merged = job.merge(draft.as_mut(), &machine, &progress)?;

    let mut verdict = Verdict::new(merged.is_nothing(), &args.writing);
    let pairs_above_tau = merged.pairs_above_tau();
    let Merged { decisions, changes } = merged;
    let mut max_similarities: Vec<Option<f64>> = decisions
        .iter()
        .map(|decision| decision.max_similarity)
        .collect();
    if verdict.nothing_merges {
        progress.now("explaining");
        let (why, greatest) = job.explain(
            settings.parameters,
            pairs_above_tau,
            &layers,
            &machine,
            &progress,
        )?;
        max_similarities = greatest;
        verdict.warn_first(why.to_string());
    }
    let plan = job.plan(&layers, &settings, decisions);
    if let Some((subject, draft)) = &subject {
        progress.now("analysing");
        let about = About {
            skip_shallow: settings.parameters.skip_shallow,
            selecting: args.layers.words(),
            merging: Some((settings.parameters, merges_of(&plan))),
            warnings: layers.warnings.iter().map(ToString::to_string).collect(),
        };
        let report = reporting::analyse(subject, about, draft, &machine, &progress)?;
        reporting::write_rest(draft, &report, &machine.pool)?;
    }
    let durability = args.writing.durability();
    if let Some(file) = plan_file {
        file.write(&plan.to_json(), durability)?;
    }
    let draft = draft.filter(|_| verdict.outcome == Outcome::Done);
    let is_written = draft.is_some();
    if let Some(draft) = draft {
        progress.now("saving");
        let warnings = machine.pool.install(|| draft.publish(durability))?;
        verdict.warn_of_output(&warnings);
    }
    let mut report = None;
    if let Some(draft) = report_draft {
        match machine.pool.install(|| draft.publish(durability)) {
            Ok(warnings) => {
                report = report_folder.as_ref().map(ReportFolder::path);
                verdict.warn_of_output(&warnings);
            }
            // The checkpoint is there: the run has done its work.
            Err(error) if is_written => verdict.warnings.push(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    progress.finish();
    verdict.warnings.extend(machine.backend.warning());
    session.note_times(&machine.backend);
    let output = destination.as_ref().filter(|_| is_written);
    let run = FinishedRun {
        source: &source,
        output: output.map(Destination::path),
        plan: &plan,
        changes: &changes,
        report,
        max_similarities: &max_similarities,
        pairs_above_tau,
        backend: machine.backend.name(),
        layer_warnings: layers.warnings.iter().map(ToString::to_string).collect(),
        run_warnings: verdict.warnings,
        seconds: started.elapsed().as_secs_f64(),
    };
    writing::report(&run, session)?;
    Ok(verdict.outcome)
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
            writing::refuse_overwriting(output, &read)?;
            writing::destination(source, output, force)
        });
        let output = output.transpose()?;
        let plan = args.plan.as_deref().map(|plan| {
            let input = source.files().map(|file| (Some(file), "input"));
            let others: Vec<_> = read
                .into_iter()
                .chain(input)
                .chain([(path, "output")])
                .collect();
            writing::refuse_overwriting(plan, &others)?;
            let folder = output.as_ref().and_then(Destination::replaced_folder);
            writing::refuse_inside(plan, folder, "output")?;
            Ok::<_, Error>(FileDestination::check(plan, force)?)
        });
        let report = args.report.as_deref().map(|report| {
            for file in [path, args.plan.as_deref()].into_iter().flatten() {
                writing::refuse_inside(file, Some(report), "report")?;
            }
            let folder = output.as_ref().and_then(Destination::folder);
            writing::refuse_inside(report, folder, "output")?;
            Ok::<_, Error>(ReportFolder::check(report, force)?)
        });
        Ok(Self {
            plan: plan.transpose()?,
            report: report.transpose()?,
            output,
        })
    }
}

/// What a plan merges, by layer.
fn merges_of(plan: &Plan) -> BTreeMap<String, LayerMerges> {
    let merges = |layer: &PlannedLayer| {
        let pairs = layer.merges.iter();
        let merges = LayerMerges {
            tau: layer.tau.unwrap_or(f64::NAN),
            kernels: pairs.clone().map(|merge| merge.kernel).collect(),
            pairs: pairs.map(|merge| (merge.kernel, merge.partner)).collect(),
        };
        (layer.name.clone(), merges)
    };
    plan.layers.iter().map(merges).collect()
}
