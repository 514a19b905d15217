//! `merge IN OUT`: decide who merges with whom, and write the result.

use std::collections::BTreeMap;
use std::time::Instant;

use rayon::ThreadPool;

use crate::apply::{Change, fill_for};
use crate::checkpoint::{Checkpoint, Destination, Draft, Fill, Sink};
use crate::cli::Merge;
use crate::error::Error;
use crate::layers::{Layer, Layers};
use crate::place::FileDestination;
use crate::plan::{Decision, Partner, Plan, PlannedLayer, Rules, SkippedLayer, SourceId, Task};
use crate::report::folder::ReportFolder;
use crate::report::redundancy::LayerMerges;
use crate::report::{FinishedRun, NothingMerged};
use crate::schedule::{Load, work_on_layers};
use crate::settings::Settings;
use crate::similarity::{self, Backend, Engine, LayerSize, Nearest};

use super::progress::{Amount, Progress};
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
    let tasks = tasks(&source, &layers, &settings)?;
    let rules = Rules {
        partner: settings.parameters.partner,
        rounds: settings.parameters.rounds,
        seed: settings.parameters.seed,
        non_finite: args.merging.non_finite(),
    };
    let pool = session.pool()?;
    let screened = tasks.iter().filter(|task| task.is_screened(&rules));
    let sizes: Vec<LayerSize> = screened.map(|task| LayerSize::of(&task.weight)).collect();
    let job = Job {
        source: &source,
        tasks,
        rules,
        backend: session.backend(&sizes, &pool)?,
        pool,
    };
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
    let fill = fill_for(job.expected_share());
    let amount = job.amount(draft.is_some().then_some(fill));
    let to_analyse = subject.iter().map(|(subject, _)| subject.amount());
    let progress = session.progress(
        "merging",
        to_analyse.chain([amount]).sum(),
        job.backend.processor(),
    );
    let (decisions, changes) = job.merge(draft.as_mut().map(|draft| (draft, fill)), &progress)?;

    let mut verdict = Verdict::new(
        decisions.iter().all(|decision| decision.merges.is_empty()),
        &args.writing,
    );
    let pairs_above_tau: Option<u64> = decisions.iter().map(|decision| decision.pairs_above).sum();
    let mut max_similarities: Vec<Option<f64>> = decisions
        .iter()
        .map(|decision| decision.max_similarity)
        .collect();
    if verdict.nothing_merges {
        let nearest = job.nearest(&progress)?;
        max_similarities = nearest.iter().map(Nearest::greatest).collect();
        let names = job.tasks.iter().map(|task| &task.weight.tensor().name[..]);
        let layers: Vec<_> = names.zip(nearest).collect();
        let explanation = NothingMerged::new(settings.parameters, pairs_above_tau, &layers);
        verdict.warn_first(explanation.to_string());
    }
    let plan = document(&source, &settings, &layers, &job.tasks, decisions);
    if let Some((subject, draft)) = &subject {
        progress.now("analysing");
        let about = About {
            skip_shallow: settings.parameters.skip_shallow,
            selecting: args.layers.words(),
            merging: Some((settings.parameters, merges_of(&plan))),
            warnings: layers.warnings.iter().map(ToString::to_string).collect(),
        };
        let report = reporting::analyse(subject, about, draft, &job.backend, &job.pool, &progress)?;
        reporting::write_rest(draft, &report, &job.pool)?;
    }
    let durability = args.writing.durability();
    if let Some(file) = plan_file {
        file.write(&plan.to_json(), durability)?;
    }
    let draft = draft.filter(|_| verdict.outcome == Outcome::Done);
    let is_written = draft.is_some();
    if let Some(draft) = draft {
        progress.now("saving");
        let warnings = job.pool.install(|| draft.publish(durability))?;
        verdict.warn_of_output(&warnings);
    }
    let mut report = None;
    if let Some(draft) = report_draft {
        match job.pool.install(|| draft.publish(durability)) {
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
    verdict.warnings.extend(job.backend.warning());
    session.note_times(&job.backend);
    let output = destination.as_ref().filter(|_| is_written);
    let run = FinishedRun {
        source: &source,
        output: output.map(Destination::path),
        plan: &plan,
        changes: &changes,
        report,
        max_similarities: &max_similarities,
        pairs_above_tau,
        backend: job.backend.name(),
        layer_warnings: layers.warnings.iter().map(ToString::to_string).collect(),
        run_warnings: verdict.warnings,
        seconds: started.elapsed().as_secs_f64(),
    };
    writing::report(&run, session)?;
    Ok(verdict.outcome)
}

/// The layers to merge, and how.
struct Job<'a> {
    source: &'a Checkpoint,
    tasks: Vec<Task<'a>>,
    rules: Rules,
    backend: Backend,
    pool: ThreadPool,
}

impl Job<'_> {
    /// The work ahead, given how the output is filled, if there is one.
    fn amount(&self, fill: Option<Fill>) -> Amount {
        let layers = self.tasks.iter().map(|task| task.weight.bytes() as u64);
        let layers = layers.sum();
        let products = self.tasks.iter().map(|task| task.products(&self.rules));
        Amount {
            copied: match fill {
                Some(Fill::First) => self.source.size(),
                Some(Fill::Between) => self.source.size() - layers,
                None => 0,
            },
            layers,
            products: products.fold(0, u64::saturating_add),
        }
    }

    /// Decides on every layer and hands what it becomes to the draft, if there is one.
    fn merge(
        &self,
        draft: Option<(&mut Draft<'_>, Fill)>,
        progress: &Progress,
    ) -> Result<(Vec<Decision>, Vec<Change>), Error> {
        let merged = self.work_on_layers(draft, progress, |task, values, sink| {
            let decide = |engine: Engine<'_>| task.decide(values, &self.rules, engine, progress);
            let decision = match task.is_screened(&self.rules) {
                true => self.backend.on_layer(LayerSize::of(&task.weight), decide)?,
                false => decide(Engine::Processor(self.backend.processor()))?,
            };
            let recipe = task.recipe(&decision);
            let squares = Some(&decision.squares[..]);
            let change = recipe.apply(values, squares, sink, progress);
            Ok((decision, change))
        })?;
        Ok(merged.into_iter().unzip())
    }

    /// The share of kernels that can be expected to merge at most.
    fn expected_share(&self) -> f64 {
        if self.rules.partner == Partner::Random {
            // A kernel drawn from all is rarely alike.
            return 0.1;
        }
        let probs = self.tasks.iter().map(|task| task.parameters.prob.get());
        let prob = probs.fold(0.0, f64::max);
        (prob * f64::from(self.rules.rounds.get())).min(1.0)
    }

    /// Every kernel's nearest neighbour, for a run in which nothing merged.
    fn nearest(&self, progress: &Progress) -> Result<Vec<Nearest>, Error> {
        progress.now("explaining");
        self.work_on_layers(None, progress, |task, values, _| {
            let size = LayerSize::of(&task.weight);
            let nearest = |engine: Engine<'_>| task.nearest(values, &self.rules, engine, &());
            self.backend.on_layer(size, nearest)
        })
    }

    fn work_on_layers<R: Send + Sync>(
        &self,
        draft: Option<(&mut Draft<'_>, Fill)>,
        progress: &Progress,
        work: impl Fn(&Task<'_>, &[u8], Option<&Sink<'_>>) -> Result<R, similarity::Error> + Sync,
    ) -> Result<Vec<R>, Error> {
        let loads = self
            .tasks
            .iter()
            .map(|task| task.load(&self.rules, self.backend.processor()));
        let loads: Vec<Load<'_>> = loads.collect();
        let one_layer = |layer: usize, values: &[u8], sink: Option<&Sink<'_>>| {
            work(&self.tasks[layer], values, sink).map_err(|error| Error::Similarity {
                file: self.source.path().to_owned(),
                error,
            })
        };
        self.pool
            .install(|| work_on_layers(self.source, draft, &loads, progress, one_layer))
    }
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

/// The layers that take part, in depth order.
fn tasks<'a>(
    source: &'a Checkpoint,
    layers: &Layers,
    settings: &Settings,
) -> Result<Vec<Task<'a>>, Error> {
    let task = |layer: &Layer| {
        let tensor = &source.tensors()[layer.tensor];
        Ok(Task {
            weight: selecting::weight(source, layer, tensor)?,
            parameters: settings.for_layer(&layer.name),
        })
    };
    layers.selected().map(task).collect()
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
