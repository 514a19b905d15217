//! `merge IN OUT`: decide who merges with whom, and write the result.

use std::path::Path;
use std::time::Instant;

use rayon::ThreadPool;

use crate::checkpoint::{Checkpoint, Destination};
use crate::cli::Merge;
use crate::error::Error;
use crate::layers::Layers;
use crate::plan::{
    self, Decision, Plan, PlannedLayer, Recipe, Rules, SkippedLayer, SourceId, Task,
};
use crate::report::NothingMerged;
use crate::settings::Settings;
use crate::similarity;
use crate::weight::ConvWeight;

use super::writing::{self, Finished};
use super::{Outcome, Session, selecting};

pub(super) fn run(
    args: &Merge,
    session: &mut Session<'_>,
    pool: &ThreadPool,
) -> Result<Outcome, Error> {
    let started = Instant::now();
    let source = Checkpoint::open(&args.input)?;
    let output = args.output.as_deref().filter(|_| !args.dry_run);
    let destination = output
        .map(|output| writing::destination(&source, output, args.writing.force))
        .transpose()?;
    let plan_file = args
        .plan
        .as_deref()
        .map(|plan| plan_destination(plan, &source, output, args.writing.force))
        .transpose()?;

    let settings = selecting::settings(args.settings(), args.layers.config.as_deref(), &source)?;
    let layers = selecting::find(&source, &args.layers, &settings)?;
    let rules = Rules {
        partner: settings.parameters.partner,
        rounds: settings.parameters.rounds,
        seed: settings.parameters.seed,
        non_finite: args.merging.non_finite(),
    };
    let tasks = tasks(&source, &layers, &settings);
    let decisions = decide(&source, &tasks, &rules, session, pool)?;
    let pairs_above_tau = decisions.iter().map(|decision| decision.pairs_above).sum();
    let plan = document(&source, &settings, &layers, &tasks, decisions);

    let mut warnings = Vec::new();
    let nothing = plan.layers.iter().all(|layer| layer.merges.is_empty());
    if nothing {
        warnings.push(explain_nothing(&source, &settings, &tasks, &rules, pool)?);
    }
    let outcome = writing::outcome(nothing, &args.writing, &mut warnings);
    let destination = destination.filter(|_| outcome == Outcome::Done);

    let recipe = Recipe::check(&plan, &source).map_err(|problem| problem.of(&args.input))?;
    let durability = args.writing.durability();
    if let Some(file) = plan_file {
        file.write(&plan.to_json(), durability)?;
    }
    let changes = writing::follow(
        &source,
        &recipe,
        destination.as_ref(),
        durability,
        session,
        pool,
    )?;
    Finished {
        source: &source,
        output: destination.as_ref().map(Destination::path),
        plan: &plan,
        changes: &changes,
        pairs_above_tau,
        layer_warnings: layers.warnings.iter().map(ToString::to_string).collect(),
        run_warnings: warnings,
        outcome,
        started,
    }
    .report(session)
}

/// Checks that the plan may be written where the user wants it: in particular not over a checkpoint.
fn plan_destination(
    plan: &Path,
    source: &Checkpoint,
    output: Option<&Path>,
    force: bool,
) -> Result<Destination, Error> {
    let is = |role| Error::PlanIs {
        file: plan.to_owned(),
        role,
    };
    if source.is_at(plan) {
        return Err(is("input"));
    }
    if output.is_some_and(|output| same_place(output, plan)) {
        return Err(is("output"));
    }
    Ok(Destination::check(plan, force)?)
}

/// Whether two paths name one place, which need not exist yet.
fn same_place(a: &Path, b: &Path) -> bool {
    let place = |path: &Path| {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).canonicalize().ok()?;
        Some(folder.join(path.file_name()?))
    };
    a == b || place(a).is_some_and(|a| Some(a) == place(b))
}

/// The layers that take part, in depth order.
fn tasks<'a>(source: &'a Checkpoint, layers: &Layers, settings: &Settings) -> Vec<Task<'a>> {
    let selected = layers.layers.iter().filter(|layer| layer.selected());
    selected
        .filter_map(|layer| {
            let tensor = &source.tensors()[layer.tensor];
            Some(Task {
                weight: ConvWeight::new(tensor, layer.kind, layer.groups)?,
                parameters: settings.for_layer(&layer.name),
            })
        })
        .collect()
}

fn decide(
    source: &Checkpoint,
    tasks: &[Task<'_>],
    rules: &Rules,
    session: &Session<'_>,
    pool: &ThreadPool,
) -> Result<Vec<Decision>, Error> {
    let bar = session.bar("comparing", tasks.iter().map(|task| task.work(rules)).sum());
    let decisions = pool.install(|| plan::decide(source, tasks, rules, &|work| bar.inc(work)));
    bar.finish_and_clear();
    decisions.map_err(|error| failed(source, error))
}

fn failed(source: &Checkpoint, error: similarity::Error) -> Error {
    Error::Similarity {
        file: source.path().to_owned(),
        error,
    }
}

fn document(
    source: &Checkpoint,
    settings: &Settings,
    layers: &Layers,
    tasks: &[Task<'_>],
    decisions: Vec<Decision>,
) -> Plan {
    let selected = layers.layers.iter().filter(|layer| layer.selected());
    let planned = selected
        .zip(tasks)
        .zip(decisions)
        .map(|((layer, task), decision)| PlannedLayer {
            name: layer.name.clone(),
            depth: layer.depth,
            kind: layer.kind,
            shape: layer.shape.clone(),
            groups: layer.groups,
            kernels: layer.kernels,
            tau: Some(decision.tau),
            alpha: Some(task.parameters.alpha),
            prob: Some(task.parameters.prob),
            max_similarity: decision.max_similarity,
            merges: decision.merges,
        });
    let skipped = layers.layers.iter().filter_map(|layer| {
        layer.reason.map(|reason| SkippedLayer {
            name: layer.name.clone(),
            depth: layer.depth,
            reason,
        })
    });
    Plan::new(
        SourceId::of(source),
        settings.parameters,
        planned.collect(),
        skipped.collect(),
    )
}

/// What to say when nothing merged.
fn explain_nothing(
    source: &Checkpoint,
    settings: &Settings,
    tasks: &[Task<'_>],
    rules: &Rules,
    pool: &ThreadPool,
) -> Result<String, Error> {
    let nearest = pool
        .install(|| plan::nearest(source, tasks, rules.non_finite))
        .map_err(|error| failed(source, error))?;
    let names = tasks.iter().map(|task| task.weight.tensor().name.as_str());
    let layers: Vec<_> = names.zip(nearest).collect();
    Ok(NothingMerged::new(settings.parameters, &layers).to_string())
}
