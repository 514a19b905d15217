//! What the page's script reads.

use serde::Serialize;

use crate::analysis::Curve;
use crate::report::redundancy::Redundancy;

use super::text::anchor;

#[derive(Serialize)]
struct Data<'a> {
    net: Counts<'a>,
    /// In the order of the table's rows.
    layers: Vec<LayerCounts<'a>>,
}

#[derive(Serialize)]
struct Counts<'a> {
    kernels: usize,
    pairs: u64,
    kernels_above: &'a Curve,
    pairs_above: &'a Curve,
}

#[derive(Serialize)]
struct LayerCounts<'a> {
    id: String,
    #[serde(flatten)]
    counts: Counts<'a>,
}

/// The counts above every threshold, of the net and of its layers, as JSON that can stand inside a script element.
pub fn json(report: &Redundancy) -> String {
    let data = Data {
        net: Counts {
            kernels: report.net.kernels,
            pairs: report.net.pairs,
            kernels_above: &report.net.kernels_above,
            pairs_above: &report.net.pairs_above,
        },
        layers: report
            .layers
            .iter()
            .map(|layer| LayerCounts {
                id: anchor(&layer.facts.name),
                counts: Counts {
                    kernels: layer.facts.kernels,
                    pairs: layer.numbers.pairs,
                    kernels_above: &layer.numbers.kernels_above,
                    pairs_above: &layer.numbers.pairs_above,
                },
            })
            .collect(),
    };
    // Within a script `</` and `<!--` would be read as HTML; in JSON `<` occurs within strings only.
    serde_json::to_string(&data)
        .expect("keys are strings")
        .replace('<', "\\u003c")
}
