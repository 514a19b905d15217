//! What the page's script reads.

use serde::Serialize;

use crate::analysis::{Curve, Expected};
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
    /// To one decimal.
    kernels_by_chance: Vec<f64>,
}

/// The numbers of kernels, as the page shows them.
fn one_decimal(expected: &Expected) -> Vec<f64> {
    let kernels = expected.kernels_above.iter();
    kernels
        .map(|kernels| (kernels * 10.0).round() / 10.0)
        .collect()
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
            kernels_by_chance: one_decimal(&report.net.by_chance),
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
                    kernels_by_chance: one_decimal(&layer.numbers.by_chance.expected),
                },
            })
            .collect(),
    };
    // Within a script `</` and `<!--` would be read as HTML; in JSON `<` occurs within strings only.
    serde_json::to_string(&data)
        .expect("keys are strings")
        .replace('<', "\\u003c")
}
