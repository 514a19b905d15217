//! `merge IN OUT`: decide who merges with whom, and write the result.

use std::time::Instant;

use rayon::ThreadPool;

use crate::checkpoint::{Checkpoint, Destination};
use crate::cli::Merge;
use crate::error::Error;
use crate::layers::{Layer, Layers};
use crate::plan::{
    self, Decision, Plan, PlannedLayer, Recipe, Rules, SkippedLayer, SourceId, Task,
};
use crate::report::{FinishedRun, NothingMerged};
use crate::settings::Settings;
use crate::similarity::{self, Nearest};
use crate::weight::ConvWeight;

use super::writing::{self, Verdict};
use super::{Outcome, Session, selecting};

pub(super) fn run(args: &Merge, session: &mut Session<'_>) -> Result<Outcome, Error> {
    let started = Instant::now();
    let source = Checkpoint::open(&args.input)?;
    let (destination, plan_file) = destinations(args, &source)?;

    let settings = selecting::settings(args.settings(), args.layers.config.as_deref(), &source)?;
    let layers = selecting::find(&source, &args.layers, &settings)?;
    let tasks = tasks(&source, &layers, &settings)?;
    let rules = Rules {
        partner: settings.parameters.partner,
        rounds: settings.parameters.rounds,
        seed: settings.parameters.seed,
        non_finite: args.merging.non_finite(),
    };
    let pool = session.pool()?;
    let decisions = decide(&source, &tasks, &rules, session, &pool)?;
    let pairs_above_tau: Option<u64> = decisions.iter().map(|decision| decision.pairs_above).sum();
    let mut max_similarities: Vec<Option<f64>> = decisions
        .iter()
        .map(|decision| decision.max_similarity)
        .collect();
    let plan = document(&source, &settings, &layers, &tasks, decisions);
    let recipe = Recipe::check(&plan, &source).map_err(|problem| problem.of(&args.input))?;

    let mut verdict = Verdict::new(&recipe, &args.writing);
    if recipe.is_empty() {
        let nearest = nearest(&source, &tasks, &rules, session, &pool)?;
        max_similarities = nearest.iter().map(Nearest::greatest).collect();
        let names = tasks.iter().map(|task| task.weight.tensor().name.as_str());
        let layers: Vec<_> = names.zip(nearest).collect();
        let explanation = NothingMerged::new(settings.parameters, pairs_above_tau, &layers);
        verdict.warn_first(explanation.to_string());
    }
    let destination = destination.filter(|_| verdict.outcome == Outcome::Done);

    let durability = args.writing.durability();
    if let Some(file) = plan_file {
        file.write(&plan.to_json(), durability)?;
    }
    let target = destination.as_ref();
    let changes = writing::follow(&source, &recipe, target, durability, session, &pool)?;
    let run = FinishedRun {
        source: &source,
        output: target.map(Destination::path),
        plan: &plan,
        changes: &changes,
        max_similarities: &max_similarities,
        pairs_above_tau,
        layer_warnings: layers.warnings.iter().map(ToString::to_string).collect(),
        run_warnings: verdict.warnings,
        seconds: started.elapsed().as_secs_f64(),
    };
    writing::report(&run, session)?;
    Ok(verdict.outcome)
}

/// Checks that the checkpoint and the plan may be written where the user wants them: not over anything that is read.
fn destinations(
    args: &Merge,
    source: &Checkpoint,
) -> Result<(Option<Destination>, Option<Destination>), Error> {
    let force = args.writing.force;
    let read = [
        (args.layers.config.as_deref(), "configuration"),
        (args.layers.order.as_deref(), "order"),
    ];
    let output = args.output.as_deref().filter(|_| !args.dry_run);
    let destination = output.map(|output| {
        writing::refuse_overwriting(output, &read)?;
        writing::destination(source, output, force)
    });
    let plan_file = args.plan.as_deref().map(|plan| {
        let checkpoints = [(Some(source.path()), "input"), (output, "output")];
        writing::refuse_overwriting(plan, &[&read[..], &checkpoints].concat())?;
        Ok::<_, Error>(Destination::check(plan, force)?)
    });
    Ok((destination.transpose()?, plan_file.transpose()?))
}

/// The layers that take part, in depth order.
fn tasks<'a>(
    source: &'a Checkpoint,
    layers: &Layers,
    settings: &Settings,
) -> Result<Vec<Task<'a>>, Error> {
    let task = |layer: &Layer| {
        let tensor = &source.tensors()[layer.tensor];
        let weight = ConvWeight::new(tensor, layer.kind, layer.groups);
        Ok(Task {
            weight: weight.ok_or_else(|| Error::Unmergeable {
                file: source.path().to_owned(),
                layer: layer.name.clone(),
            })?,
            parameters: settings.for_layer(&layer.name),
        })
    };
    layers.selected().map(task).collect()
}

fn decide(
    source: &Checkpoint,
    tasks: &[Task<'_>],
    rules: &Rules,
    session: &Session<'_>,
    pool: &ThreadPool,
) -> Result<Vec<Decision>, Error> {
    let work = tasks.iter().map(|task| task.work(rules));
    let bar = session.bar("comparing", work.fold(0, u64::saturating_add));
    let decisions = pool.install(|| plan::decide(source, tasks, rules, &|work| bar.inc(work)));
    bar.finish_and_clear();
    decisions.map_err(|error| failed(source, error))
}

/// Every kernel's nearest neighbour, for a run in which nothing merged.
fn nearest(
    source: &Checkpoint,
    tasks: &[Task<'_>],
    rules: &Rules,
    session: &Session<'_>,
    pool: &ThreadPool,
) -> Result<Vec<Nearest>, Error> {
    let bar = session.bar("explaining", tasks.len() as u64);
    let nearest = pool.install(|| plan::nearest(source, tasks, rules.non_finite, &|| bar.inc(1)));
    bar.finish_and_clear();
    nearest.map_err(|error| failed(source, error))
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
    let planned = layers.selected().zip(tasks).zip(decisions);
    let planned = planned.map(|((layer, task), decision)| PlannedLayer {
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
