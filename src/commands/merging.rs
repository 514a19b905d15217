//! Merging the layers of one checkpoint: what `merge`, `watch` and `sensitivity` do alike.

use rayon::ThreadPool;

use crate::apply::{Change, fill_for};
use crate::checkpoint::{Checkpoint, Draft, Fill, Sink};
use crate::error::Error;
use crate::layers::{Layer, Layers};
use crate::meter::Meter;
use crate::plan::{
    Decision, Parameters, Partner, Plan, PlannedLayer, Rules, SkippedLayer, SourceId, Task,
};
use crate::report::NothingMerged;
use crate::schedule::{Load, work_on_layers};
use crate::settings::Settings;
use crate::similarity::{self, Backend, Engine, LayerSize, Nearest, NonFinite};

use super::progress::Amount;
use super::selecting;

/// What computes.
pub(super) struct Machine {
    pub pool: ThreadPool,
    pub backend: Backend,
}

/// A checkpoint's layers to merge, and how.
pub(super) struct Job<'a> {
    source: &'a Checkpoint,
    tasks: Vec<Task<'a>>,
    rules: Rules,
}

/// What was decided on each layer, and what came of it.
pub(super) struct Merged {
    pub decisions: Vec<Decision>,
    pub changes: Vec<Change>,
}

impl Merged {
    /// Whether no kernel merges.
    pub fn is_nothing(&self) -> bool {
        let mut decisions = self.decisions.iter();
        decisions.all(|decision| decision.merges.is_empty())
    }

    /// Unordered pairs above the layers' thresholds; `None` where they were not counted.
    pub fn pairs_above_tau(&self) -> Option<u64> {
        let pairs = self.decisions.iter().map(|decision| decision.pairs_above);
        pairs.sum()
    }
}

impl<'a> Job<'a> {
    /// On some layers of a checkpoint.
    pub fn new(source: &'a Checkpoint, tasks: Vec<Task<'a>>, rules: Rules) -> Self {
        Self {
            source,
            tasks,
            rules,
        }
    }

    /// On the layers that take part, in depth order.
    ///
    /// # Errors
    ///
    /// Where one of them is too large to be compared.
    pub fn of_selected(
        source: &'a Checkpoint,
        layers: &Layers,
        settings: &Settings,
        non_finite: NonFinite,
    ) -> Result<Self, Error> {
        let task = |layer: &Layer| {
            let tensor = &source.tensors()[layer.tensor];
            let copies = layer.copy_tensors.iter();
            let copies = copies.map(|&copy| &source.tensors()[copy]).collect();
            Ok::<_, Error>(Task {
                weight: selecting::weight(source, layer, tensor)?.with_copies(copies),
                parameters: settings.for_layer(layer.names()),
            })
        };
        let tasks = layers.selected().map(task).collect::<Result<_, _>>()?;
        let rules = Rules {
            partner: settings.parameters.partner,
            rounds: settings.parameters.rounds,
            seed: settings.parameters.seed,
            non_finite,
        };
        Ok(Self::new(source, tasks, rules))
    }

    /// The sizes of the layers whose similarities are screened.
    pub fn sizes(&self) -> Vec<LayerSize> {
        let screened = self.tasks.iter();
        let screened = screened.filter(|task| task.is_screened(&self.rules));
        screened.map(|task| LayerSize::of(&task.weight)).collect()
    }

    /// The names of the layers.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.tasks.iter().map(|task| &task.weight.tensor().name[..])
    }

    /// The work ahead, given whether an output is written.
    pub fn amount(&self, is_written: bool) -> Amount {
        let weights = || self.tasks.iter().map(|task| &task.weight);
        let products = self.tasks.iter().map(|task| task.products(&self.rules));
        Amount {
            copied: match self.fill() {
                _ if !is_written => 0,
                Fill::First => self.source.size(),
                Fill::Between => {
                    let layers = weights().map(|weight| weight.bytes_with_copies() as u64);
                    self.source.size() - layers.sum::<u64>()
                }
            },
            layers: weights().map(|weight| weight.bytes() as u64).sum(),
            products: products.fold(0, u64::saturating_add),
        }
    }

    /// Decides on every layer and makes the draft the result, if there is one.
    ///
    /// # Errors
    ///
    /// Where the source cannot be read, kernels not be compared, or the draft not be written.
    pub fn merge(
        &self,
        draft: Option<&mut Draft<'_>>,
        machine: &Machine,
        meter: &dyn Meter,
    ) -> Result<Merged, Error> {
        let merged = self.work_on_layers(draft, machine, meter, |task, values, sink| {
            let decide = |engine: Engine<'_>| task.decide(values, &self.rules, engine, meter);
            let decision = match task.is_screened(&self.rules) {
                true => machine
                    .backend
                    .on_layer(LayerSize::of(&task.weight), decide)?,
                false => decide(Engine::Cpu(machine.backend.cpu()))?,
            };
            let recipe = task.recipe(&decision);
            let squares = Some(&decision.squares[..]);
            let change = recipe.apply(values, squares, sink, meter);
            Ok((decision, change))
        })?;
        let (decisions, changes) = merged.into_iter().unzip();
        Ok(Merged { decisions, changes })
    }

    /// For a run with these parameters in which nothing merged, of the layers `found`: why, and each layer's greatest
    /// similarity.
    ///
    /// # Errors
    ///
    /// Where the source cannot be read or kernels not be compared.
    pub fn explain(
        &self,
        parameters: Parameters,
        pairs_above_tau: Option<u64>,
        found: &Layers,
        machine: &Machine,
        meter: &dyn Meter,
    ) -> Result<(NothingMerged, Vec<Option<f64>>), Error> {
        let nearest = self.nearest(machine, meter)?;
        let greatest = nearest.iter().map(Nearest::greatest).collect();
        let layers: Vec<_> = self.names().zip(nearest).collect();
        Ok((
            NothingMerged::new(parameters, pairs_above_tau, &layers, found),
            greatest,
        ))
    }

    /// Every kernel's nearest neighbour.
    fn nearest(&self, machine: &Machine, meter: &dyn Meter) -> Result<Vec<Nearest>, Error> {
        self.work_on_layers(None, machine, meter, |task, values, _| {
            let size = LayerSize::of(&task.weight);
            let nearest = |engine: Engine<'_>| task.nearest(values, &self.rules, engine, &());
            machine.backend.on_layer(size, nearest)
        })
    }

    /// The decisions on the layers that take part, as a plan.
    pub fn plan(&self, layers: &Layers, settings: &Settings, decisions: Vec<Decision>) -> Plan {
        let planned = layers.selected().zip(&self.tasks).zip(decisions);
        let planned = planned.map(|((layer, task), decision)| PlannedLayer {
            name: layer.name.clone(),
            copies: layer.copies.clone(),
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
            SourceId::of(self.source),
            settings.parameters,
            planned.collect(),
            skipped.collect(),
        )
    }

    /// How an output is best filled, by the share of kernels that can be expected to merge at most.
    fn fill(&self) -> Fill {
        if self.rules.partner == Partner::Random {
            // A kernel drawn from all is rarely alike.
            return fill_for(0.1);
        }
        let probs = self.tasks.iter().map(|task| task.parameters.prob.get());
        let prob = probs.fold(0.0, f64::max);
        fill_for((prob * f64::from(self.rules.rounds.get())).min(1.0))
    }

    fn work_on_layers<R: Send + Sync>(
        &self,
        draft: Option<&mut Draft<'_>>,
        machine: &Machine,
        meter: &dyn Meter,
        work: impl Fn(&Task<'_>, &[u8], Option<&Sink<'_>>) -> Result<R, similarity::Error> + Sync,
    ) -> Result<Vec<R>, Error> {
        let draft = draft.map(|draft| (draft, self.fill()));
        let precision = machine.backend.cpu();
        let loads = self
            .tasks
            .iter()
            .map(|task| task.load(&self.rules, precision));
        let loads: Vec<Load<'_>> = loads.collect();
        let one_layer = |layer: usize, values: &[u8], sink: Option<&Sink<'_>>| {
            work(&self.tasks[layer], values, sink).map_err(|error| Error::Similarity {
                file: self.source.path().to_owned(),
                error,
            })
        };
        machine
            .pool
            .install(|| work_on_layers(self.source, draft, &loads, meter, one_layer))
    }
}
