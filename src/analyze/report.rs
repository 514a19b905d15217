//! Analysing a checkpoint into a report: every layer is drawn while its values are at hand.

use std::collections::BTreeMap;

use rayon::ThreadPool;
use rayon::prelude::*;

use crate::analysis::{LayerDrawings, LayerNumbers, NetNumbers};
use crate::compute::Compute;
use crate::meter::Meter;
use crate::plan::{Parameters, Plan, PlannedLayer, SourceId};
use crate::report::figures::{self, DepthPoint, Figure};
use crate::report::folder::ReportDraft;
use crate::report::page;
use crate::report::redundancy::{FigureKind, LayerFacts, LayerMerges, Redundancy, ReportedLayer};
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
        mut warnings,
    } = about;
    let layers = subject.analyse(compute, meter, |place, numbers, drawings| {
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
            stem(place + 1, &layer.name),
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
    stem: String,
    facts: LayerFacts,
    numbers: LayerNumbers,
    drawings: &LayerDrawings,
    merges: Option<&LayerMerges>,
) -> Result<ReportedLayer, Error> {
    let mut drawn = vec![
        (
            FigureKind::Similarity,
            figures::similarity(&facts, drawings, merges),
        ),
        (
            FigureKind::Thresholds,
            figures::layer_thresholds(&facts, &numbers, merges),
        ),
        (
            FigureKind::Nearest,
            figures::nearest(&facts, &numbers.nearest),
        ),
    ];
    if let Some(spectrum) = &numbers.spectrum {
        drawn.push((FigureKind::Spectrum, figures::spectrum(&facts, spectrum)));
    }
    if !drawings.pairs.is_empty() {
        drawn.push((
            FigureKind::Kernels,
            figures::kernels(&facts, &drawings.pairs),
        ));
    }
    let figures: Vec<(FigureKind, String, Figure)> = drawn
        .into_iter()
        .map(|(kind, figure)| (kind, format!("{stem}.{}", kind.name()), figure))
        .collect();
    figures
        .par_iter()
        .try_for_each(|(_, stem, figure)| write_figure(draft, stem, figure))?;
    let section = page::section(&facts, &numbers, drawings, merges, &figures);
    let figures = figures.into_iter().map(|(kind, stem, _)| (kind, stem));
    Ok(ReportedLayer {
        facts,
        numbers,
        merges: merges.cloned(),
        figures: figures.collect(),
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
    let points: Vec<DepthPoint<'_>> = report
        .layers
        .iter()
        .map(|layer| DepthPoint {
            facts: &layer.facts,
            numbers: &layer.numbers,
        })
        .collect();
    let cut = report.skip_shallow;
    let mut overviews = vec![
        (
            page::NEAREST_OVER_DEPTH,
            figures::nearest_over_depth(&points, cut),
        ),
        (page::NET_THRESHOLDS, figures::net_thresholds(&report.net)),
    ];
    overviews.extend(figures::ranks_over_depth(&points, cut).map(|f| (page::RANKS_OVER_DEPTH, f)));
    overviews.extend(report.evolution.iter().flat_map(figures::evolution));
    pool.install(|| {
        overviews
            .par_iter()
            .try_for_each(|(stem, figure)| write_figure(draft, stem, figure))
    })?;
    let stems: Vec<&str> = overviews.iter().map(|&(stem, _)| stem).collect();
    let json = document::json(report, &stems);
    draft.write(report::DOCUMENT, &json)?;
    draft.write(report::LAYERS, &tables::layers(report))?;
    draft.write(report::PAIRS, &tables::pairs(report))?;
    draft.write(report::PAGE, page::page(report, &overviews).as_bytes())?;
    Ok(json)
}

fn write_figure(draft: &ReportDraft<'_>, stem: &str, figure: &Figure) -> Result<(), Error> {
    draft.write(&format!("figures/{stem}.svg"), figure.svg().as_bytes())?;
    draft.write(&format!("figures/{stem}.png"), &figure.png())?;
    Ok(())
}

/// Most characters of a layer's name in the name of a file.
const STEM_LENGTH: usize = 80;

/// The beginning of the names of a layer's figures: its place, which keeps names apart and sorts them, and its own name as
/// far as every file system takes it.
fn stem(place: usize, name: &str) -> String {
    let name = name.strip_suffix(".weight").unwrap_or(name);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let plain = name.chars().map(|c| if is_plain(c) { c } else { '_' });
    let plain: String = plain.take(STEM_LENGTH).collect();
    format!("{place:03}-{plain}")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_named_so_that_every_file_system_takes_it() {
        assert_eq!(stem(7, "layer1.0.conv1.weight"), "007-layer1.0.conv1");
        assert_eq!(stem(12, "a/b c\u{202e}\\:*.weight"), "012-a_b_c____");
        assert_eq!(stem(1, &"x".repeat(500)).len(), 4 + STEM_LENGTH);
    }
}
