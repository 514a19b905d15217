//! What `analyze` and `merge --report` have in common: analysing layers, and writing the report on them.

use std::collections::BTreeMap;

use rayon::ThreadPool;
use rayon::prelude::*;

use crate::analysis::{LayerDrawings, LayerNumbers, LayerTask, NetNumbers};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::error::Error;
use crate::layers::{Layer, Layers, Reason};
use crate::plan::{Parameters, SourceId};
use crate::report::figures::{self, Figure, LayerStem};
use crate::report::folder::ReportDraft;
use crate::report::page;
use crate::report::redundancy::{LayerFacts, LayerMerges, Redundancy, ReportedLayer};
use crate::report::tables;
use crate::report::{self, document};
use crate::schedule::{Load, work_on_layers};
use crate::similarity::LayerSize;

use super::merging::Machine;
use super::progress::{Amount, Progress};
use super::selecting;

/// The layers of a checkpoint that are to be analysed: those that take part, and those that are left alone for their depth
/// only, as that is what the report is to help to choose.
pub(super) struct Subject<'a> {
    pub source: &'a Checkpoint,
    pub layers: Vec<(&'a Layer, LayerTask<'a>)>,
}

impl<'a> Subject<'a> {
    pub fn new(source: &'a Checkpoint, layers: &'a Layers, spectrum: bool) -> Result<Self, Error> {
        let is_wanted = |layer: &&Layer| layer.selected() || layer.reason == Some(Reason::Shallow);
        let task = |layer: &'a Layer| {
            let tensor = &source.tensors()[layer.tensor];
            Ok((layer, task(source, layer, tensor, spectrum)?))
        };
        Ok(Self {
            source,
            layers: layers
                .layers
                .iter()
                .filter(is_wanted)
                .map(task)
                .collect::<Result<_, Error>>()?,
        })
    }

    /// The same layers of another checkpoint, of which nothing is to be drawn.
    ///
    /// # Errors
    ///
    /// Where it has not the same layers.
    pub fn counterpart(&self, source: &'a Checkpoint) -> Result<Self, Error> {
        let tensors: BTreeMap<&str, &Tensor> = source
            .tensors()
            .iter()
            .map(|tensor| (tensor.name.as_str(), tensor))
            .collect();
        let counterpart = |&(layer, ref own): &(&'a Layer, LayerTask<'a>)| {
            let is_alike = |tensor: &&Tensor| {
                let own = own.weight.tensor();
                tensor.shape == own.shape && tensor.dtype == own.dtype
            };
            let tensor = tensors.get(layer.name.as_str()).copied();
            let tensor = tensor.filter(is_alike).ok_or_else(|| Error::OtherRun {
                file: source.path().to_owned(),
                layer: layer.name.clone(),
                dtype: own.weight.tensor().dtype.to_string(),
                shape: layer.shape.clone(),
                other: self.source.path().to_owned(),
            })?;
            let mut task = task(source, layer, tensor, own.spectrum)?;
            task.drawings = false;
            Ok((layer, task))
        };
        Ok(Self {
            source,
            layers: self
                .layers
                .iter()
                .map(counterpart)
                .collect::<Result<_, Error>>()?,
        })
    }

    /// The work ahead.
    pub fn amount(&self) -> Amount {
        let products = self.layers.iter().map(|(_, task)| task.products());
        Amount {
            products: products.fold(0, u64::saturating_add),
            ..Amount::default()
        }
    }

    /// The sizes of its layers.
    pub fn sizes(&self) -> Vec<LayerSize> {
        let weights = self.layers.iter().map(|(_, task)| &task.weight);
        weights.map(LayerSize::of).collect()
    }

    /// Analyses every layer, and has `finish` make something of each while its drawings are at hand.
    pub fn analyse<R: Send + Sync>(
        &self,
        machine: &Machine,
        progress: &Progress,
        finish: impl Fn(usize, LayerNumbers, Option<LayerDrawings>) -> Result<R, Error> + Sync,
    ) -> Result<Vec<R>, Error> {
        let loads: Vec<Load<'_>> = self.layers.iter().map(|(_, task)| task.load()).collect();
        machine.pool.install(|| {
            work_on_layers(self.source, None, &loads, progress, |layer, values, _| {
                let task = &self.layers[layer].1;
                let size = LayerSize::of(&task.weight);
                let analysed = machine
                    .backend
                    .on_layer(size, |engine| task.analyse(values, engine, progress));
                let (numbers, drawings) = analysed.map_err(|error| Error::Similarity {
                    file: self.source.path().to_owned(),
                    error,
                })?;
                finish(layer, numbers, drawings)
            })
        })
    }
}

fn task<'a>(
    source: &Checkpoint,
    layer: &Layer,
    tensor: &'a Tensor,
    spectrum: bool,
) -> Result<LayerTask<'a>, Error> {
    Ok(LayerTask {
        weight: selecting::weight(source, layer, tensor)?,
        spectrum,
        drawings: true,
    })
}

/// What a report says beyond what the analysis finds out.
pub(super) struct About {
    pub skip_shallow: usize,
    /// The flags that selected the layers, word by word.
    pub selecting: Vec<String>,
    /// Where the report is part of a merge, its parameters and what was merged, by the layer's name.
    pub merging: Option<(Parameters, BTreeMap<String, LayerMerges>)>,
    /// Of the layers as they were found.
    pub warnings: Vec<String>,
}

/// Analyses a checkpoint and draws its layers into the report.
pub(super) fn analyse(
    subject: &Subject<'_>,
    about: About,
    draft: &ReportDraft<'_>,
    machine: &Machine,
    progress: &Progress,
) -> Result<Redundancy, Error> {
    let About {
        skip_shallow,
        selecting,
        merging,
        mut warnings,
    } = about;
    let layers = subject.analyse(machine, progress, |place, numbers, drawings| {
        let (layer, task) = &subject.layers[place];
        let facts = LayerFacts {
            name: layer.name.clone(),
            depth: layer.depth,
            kind: layer.kind,
            groups: layer.groups,
            shape: layer.shape.clone(),
            dtype: task.weight.tensor().dtype.to_string(),
            kernels: layer.kernels,
            reason: layer.reason,
        };
        let merges = merging
            .as_ref()
            .and_then(|(_, merges)| merges.get(&layer.name));
        let drawings = drawings.expect("drawings are asked for");
        report_layer(
            draft,
            LayerStem::new(place + 1, &layer.name),
            facts,
            numbers,
            &drawings,
            merges,
        )
    })?;
    warnings.extend(layers.iter().filter_map(warning));
    let taking_part = || layers.iter().filter(|layer| layer.facts.reason.is_none());
    if taking_part().next().is_none() {
        let mut warning =
            "no layer takes part in merging; `inmerge-ckpt inspect` gives each one's reason"
                .to_owned();
        if !layers.is_empty() {
            warning += &format!(
                ", and those left alone as shallow take part with a --skip-shallow below {skip_shallow}"
            );
        }
        warnings.push(warning);
    }
    Ok(Redundancy {
        source: SourceId::of(subject.source),
        skip_shallow,
        selecting,
        net: NetNumbers::of(taking_part().map(|layer| &layer.numbers)),
        layers,
        merging: merging.map(|(parameters, _)| parameters),
        evolution: None,
        warnings,
    })
}

/// Draws a layer into the report and makes its section of the page.
fn report_layer(
    draft: &ReportDraft<'_>,
    stem: LayerStem,
    facts: LayerFacts,
    numbers: LayerNumbers,
    drawings: &LayerDrawings,
    merges: Option<&LayerMerges>,
) -> Result<ReportedLayer, Error> {
    let figures = figures::of_layer(&facts, &numbers, drawings, merges);
    figures
        .par_iter()
        .try_for_each(|figure| write_figure(draft, &stem.of(figure.kind), figure))?;
    let section = page::section(&facts, &numbers, drawings, merges, &stem, &figures);
    Ok(ReportedLayer {
        facts,
        numbers,
        merges: merges.cloned(),
        stem,
        figures: figures.iter().map(|figure| figure.kind).collect(),
        section,
    })
}

/// Adds all that is not about a single layer. The report as JSON.
pub(super) fn write_rest(
    draft: &ReportDraft<'_>,
    report: &Redundancy,
    pool: &ThreadPool,
) -> Result<Vec<u8>, Error> {
    let overviews = figures::overviews(report);
    pool.install(|| {
        overviews
            .par_iter()
            .try_for_each(|figure| write_figure(draft, &figure.kind.stem(), figure))
    })?;
    let json = document::json(report, &overviews);
    draft.write(report::DOCUMENT, &json)?;
    draft.write(report::LAYERS, &tables::layers(report))?;
    draft.write(report::PAIRS, &tables::pairs(report))?;
    draft.write(report::PAGE, page::page(report, &overviews).as_bytes())?;
    Ok(json)
}

fn write_figure(draft: &ReportDraft<'_>, stem: &str, figure: &Figure) -> Result<(), Error> {
    let path = format!("{}{stem}", report::FIGURES);
    draft.write(&format!("{path}.svg"), figure.svg().as_bytes())?;
    draft.write(&format!("{path}.png"), &figure.png())?;
    Ok(())
}

/// What to say of a layer that is not well.
fn warning(layer: &ReportedLayer) -> Option<String> {
    let count = layer.numbers.health.non_finite.len();
    (count > 0).then(|| {
        format!(
            "layer `{}`: {count} of {} kernels hold a NaN, an infinity or numbers beyond 1e150; they are left out of all numbers, and merge \
             refuses the layer without --allow-nonfinite",
            layer.facts.name, layer.facts.kernels
        )
    })
}
