//! Deciding the merges of one checkpoint, and applying them.

use crate::apply::{Change, copied_bytes, fill_for};
use crate::checkpoint::{Checkpoint, Draft, Fill, Sink};
use crate::compute::{self, Compute};
use crate::layers::{Layer, Layers};
use crate::meter::{Meter, WorkEstimate};
use crate::plan::{
    Carry, Decision, Partner, Plan, PlannedLayer, Rules, SkippedLayer, SourceId, Task,
};
use crate::schedule::{Load, for_each_layer};
use crate::selection;
use crate::settings::Settings;
use crate::similarity::{self, Engine, LayerSize, Nearest, NonFinite};

use super::{Error, chance, narrow};

/// The layers of a checkpoint to merge, and the settings to merge them with.
#[derive(Debug)]
pub struct Job<'a> {
    source: &'a Checkpoint,
    tasks: Vec<Task<'a>>,
    rules: Rules,
}

/// The decisions on the layers, and the changes they made; both by layer.
#[derive(Debug)]
pub struct Decided {
    pub decisions: Vec<Decision>,
    pub changes: Vec<Change>,
}

impl Decided {
    /// Unordered pairs above the layers' thresholds; `None` if they were not counted.
    pub fn pairs_above_tau(&self) -> Option<u64> {
        let pairs = self.decisions.iter().map(|decision| decision.pairs_above);
        pairs.sum()
    }
}

impl<'a> Job<'a> {
    /// A job for some layers of a checkpoint.
    pub fn new(source: &'a Checkpoint, tasks: Vec<Task<'a>>, rules: Rules) -> Self {
        Self {
            source,
            tasks,
            rules,
        }
    }

    /// A job for the selected layers, in depth order.
    ///
    /// # Errors
    ///
    /// If one of them is too large to be compared.
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
                weight: selection::weight(source, layer, tensor)?.with_copies(copies),
                parameters: settings.for_layer(layer.names()),
            })
        };
        let tasks = layers.selected().map(task).collect::<Result<_, _>>()?;
        let rules = Rules {
            partner: settings.parameters.partner,
            rounds: settings.parameters.rounds,
            seed: settings.parameters.seed,
            non_finite,
            control: None,
        };
        Ok(Self::new(source, tasks, rules))
    }

    /// The sizes of the layers whose similarities are screened.
    pub fn sizes(&self) -> Vec<LayerSize> {
        let screened = self.tasks.iter();
        let screened = screened.filter(|task| task.is_screened(&self.rules));
        screened.map(|task| LayerSize::of(&task.weight)).collect()
    }

    /// The expected work, which includes copying if an output is written.
    pub fn estimate(&self, is_written: bool) -> WorkEstimate {
        let weights = || self.tasks.iter().map(|task| &task.weight);
        let products = self.tasks.iter().map(|task| task.products(&self.rules));
        WorkEstimate {
            copied: if is_written {
                copied_bytes(self.fill(), self.source, weights())
            } else {
                0
            },
            layers: weights().map(|weight| weight.bytes() as u64).sum(),
            products: products.fold(0, u64::saturating_add),
        }
    }

    /// Decides the merges of every layer, and writes the result to the draft, if there is one.
    ///
    /// # Errors
    ///
    /// If the source cannot be read, kernels cannot be compared, or the draft cannot be written.
    pub fn merge(
        &self,
        draft: Option<&mut Draft<'_>>,
        compute: &Compute,
        meter: &dyn Meter,
    ) -> Result<Decided, Error> {
        let merged = self.for_each_layer(draft, compute, meter, |task, values, sink| {
            let decide = |engine: Engine<'_>| task.decide(values, &self.rules, engine, meter);
            let decision = if task.is_screened(&self.rules) {
                let size = LayerSize::of(&task.weight);
                compute.backend.on_layer(size, decide)?
            } else {
                decide(Engine::Cpu(compute.backend.cpu()))?
            };
            let recipe = task.recipe(&decision, &self.rules);
            let squares = Some(&decision.squares[..]);
            let change = recipe.apply(values, squares, sink, meter);
            Ok((decision, change))
        })?;
        let (decisions, changes) = merged.into_iter().unzip();
        Ok(Decided { decisions, changes })
    }

    /// What the user should know of its layers' thresholds.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        let narrow = narrow::warning(&self.tasks);
        let chance = chance::warning(&self.tasks, self.rules.partner);
        narrow.into_iter().chain(chance)
    }

    /// The multiply-adds that comparing all pairs of kernels takes.
    pub fn pairs_products(&self) -> u64 {
        let products = self.tasks.iter().map(|task| task.weight.pairs_products());
        products.fold(0, u64::saturating_add)
    }

    /// The nearest neighbours of each layer's kernels; those that are not known are looked for.
    ///
    /// # Errors
    ///
    /// If the source cannot be read or kernels cannot be compared.
    pub fn nearest(
        &self,
        known: Vec<Option<Nearest>>,
        compute: &Compute,
        meter: &dyn Meter,
    ) -> Result<Vec<Nearest>, Error> {
        let unknown = self.tasks.iter().zip(&known);
        let unknown = unknown.filter(|(_, known)| known.is_none());
        let unknown = unknown.map(|(task, _)| task.clone()).collect();
        let unknown = Self::new(self.source, unknown, self.rules);
        let found = unknown.for_each_layer(None, compute, meter, |task, values, _| {
            let size = LayerSize::of(&task.weight);
            let nearest = |engine: Engine<'_>| task.nearest(values, &self.rules, engine, &());
            compute.backend.on_layer(size, nearest)
        })?;
        let mut found = found.into_iter();
        let known = known.into_iter();
        Ok(known
            .filter_map(|known| known.or_else(|| found.next()))
            .collect())
    }

    /// The plan with these decisions on the selected layers.
    pub fn plan(
        &self,
        layers: &Layers,
        settings: &Settings,
        carry: Carry,
        decisions: Vec<Decision>,
    ) -> Plan {
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
            carried: carry.of(layer, self.source.tensors()),
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

    /// The fastest way to fill an output, from an upper estimate of the share of kernels that merge.
    fn fill(&self) -> Fill {
        if self.rules.partner == Partner::Random {
            // A partner drawn from all kernels is rarely similar enough.
            return fill_for(0.1);
        }
        let probs = self.tasks.iter().map(|task| task.parameters.prob.get());
        let prob = probs.fold(0.0, f64::max);
        fill_for((prob * f64::from(self.rules.rounds.get())).min(1.0))
    }

    fn for_each_layer<R: Send + Sync>(
        &self,
        draft: Option<&mut Draft<'_>>,
        compute: &Compute,
        meter: &dyn Meter,
        work: impl Fn(&Task<'_>, &[u8], Option<&Sink<'_>>) -> Result<R, similarity::Error> + Sync,
    ) -> Result<Vec<R>, Error> {
        let draft = draft.map(|draft| (draft, self.fill()));
        let precision = compute.backend.cpu();
        let loads = self
            .tasks
            .iter()
            .map(|task| task.load(&self.rules, precision));
        let loads: Vec<Load<'_>> = loads.collect();
        let one_layer = |layer: usize, values: &[u8], sink: Option<&Sink<'_>>| {
            work(&self.tasks[layer], values, sink)
                .map_err(|error| compute::Error::of_similarity(error, self.source.path()).into())
        };
        compute
            .pool
            .install(|| for_each_layer(self.source, draft, &loads, meter, one_layer))
    }
}
