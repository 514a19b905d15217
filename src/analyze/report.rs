//! Analysing a checkpoint into a report: every layer is drawn while its values are at hand.

use std::collections::BTreeMap;

use rayon::ThreadPool;
use rayon::prelude::*;

use crate::analysis::{LayerDrawings, LayerNumbers, NetNumbers};
use crate::compute::Compute;
use crate::layers::Layer;
use crate::meter::Meter;
use crate::plan::{Parameters, Plan, PlannedLayer, SourceId};
use crate::report::figures::{self, Figure, FormatSets, Formats, LayerStem, Titles};
use crate::report::folder::ReportDraft;
use crate::report::page;
use crate::report::redundancy::{LayerMerges, Redundancy, ReportedLayer};
use crate::report::tables;
use crate::report::{self, document};

use super::{Error, Subject};

/// What a report says beyond what the analysis finds out.
#[derive(Debug, Default)]
pub struct About {
    /// `--skip-shallow`.
    pub skip_shallow: usize,
    /// The flags that selected the layers, word by word.
    pub selecting: Vec<String>,
    /// Where the report is part of a merge, its parameters and what was merged, by the layer's name.
    pub merging: Option<(Parameters, BTreeMap<String, LayerMerges>)>,
    /// Which figures are written in other formats than SVG too.
    pub formats: FormatSets,
    /// Whether the figures' files have titles.
    pub titles: Titles,
    /// Of the layers as they were found.
    pub warnings: Vec<String>,
}

/// What a plan merges, by layer.
pub(super) fn merges_of(plan: &Plan) -> BTreeMap<String, LayerMerges> {
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

/// Analyses a checkpoint and draws its layers into the report.
///
/// # Errors
///
/// Where the checkpoint cannot be read, kernels cannot be compared, or the report cannot be written.
pub(super) fn draw_layers(
    subject: &Subject<'_>,
    about: About,
    draft: &ReportDraft<'_>,
    compute: &Compute,
    meter: &dyn Meter,
) -> Result<Redundancy, Error> {
    let About {
        skip_shallow,
        selecting,
        merging,
        formats,
        titles,
        mut warnings,
    } = about;
    let layers = subject.analyse(compute, meter, |place, numbers, drawings| {
        let layer = subject.layers[place].0;
        let merges = merging
            .as_ref()
            .and_then(|(_, merges)| merges.get(&layer.name));
        let drawings = drawings.expect("drawings are asked for");
        report_layer(
            draft,
            LayerStem::new(place + 1, &layer.name),
            layer.clone(),
            numbers,
            &drawings,
            merges,
            Written {
                formats: formats.of_layers(),
                titles,
            },
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
        input: subject.source.path().to_owned(),
        skip_shallow,
        selecting,
        net: NetNumbers::of(taking_part().map(|layer| &layer.numbers)),
        layers,
        merging: merging.map(|(parameters, _)| parameters),
        evolution: None,
        formats,
        titles,
        warnings,
    })
}

/// Draws a layer into the report and makes its section of the page.
fn report_layer(
    draft: &ReportDraft<'_>,
    stem: LayerStem,
    facts: Layer,
    numbers: LayerNumbers,
    drawings: &LayerDrawings,
    merges: Option<&LayerMerges>,
    written: Written,
) -> Result<ReportedLayer, Error> {
    let figures = figures::of_layer(&facts, &numbers, drawings, merges);
    figures
        .par_iter()
        .try_for_each(|figure| write_figure(draft, &stem.of(figure.kind), figure, written))?;
    let formats = written.formats;
    let section = page::section(&facts, &numbers, drawings, merges, &stem, &figures, formats);
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
///
/// # Errors
///
/// Where it cannot be written.
pub(super) fn write_rest(
    draft: &ReportDraft<'_>,
    report: &Redundancy,
    pool: &ThreadPool,
) -> Result<Vec<u8>, Error> {
    let overviews = figures::overviews(report);
    let written = Written {
        formats: report.formats.of_net(),
        titles: report.titles,
    };
    pool.install(|| {
        overviews
            .par_iter()
            .try_for_each(|figure| write_figure(draft, &figure.kind.stem(), figure, written))
    })?;
    let json = document::json(report, &overviews);
    draft.write(report::DOCUMENT, &json)?;
    draft.write(report::LAYERS, &tables::layers(report))?;
    draft.write(report::PAIRS, &tables::pairs(report))?;
    draft.write(report::PAGE, page::page(report, &overviews).as_bytes())?;
    Ok(json)
}

/// How figures become files.
#[derive(Clone, Copy)]
struct Written {
    formats: Formats,
    titles: Titles,
}

fn write_figure(
    draft: &ReportDraft<'_>,
    stem: &str,
    figure: &Figure,
    Written { formats, titles }: Written,
) -> Result<(), Error> {
    let path = format!("{}{stem}", report::FIGURES);
    draft.write(&format!("{path}.svg"), figure.svg(titles).as_bytes())?;
    if formats.png {
        draft.write(&format!("{path}.png"), &figure.png(titles))?;
    }
    if formats.pdf {
        draft.write(&format!("{path}.pdf"), &figure.pdf(titles))?;
    }
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
