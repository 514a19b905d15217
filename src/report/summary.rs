//! What `analyze` prints.

use std::path::Path;

use crate::analysis::Spread;

use super::redundancy::{Redundancy, ReportedLayer};
use super::table::{Align, count, counted, optional, table};

/// The report in a terminal: a line for each layer, and where the rest is.
#[derive(Debug)]
pub struct AnalysisSummary<'a> {
    report: &'a Redundancy,
    folder: &'a Path,
}

impl<'a> AnalysisSummary<'a> {
    /// Of a report that is in this folder.
    pub fn new(report: &'a Redundancy, folder: &'a Path) -> Self {
        Self { report, folder }
    }

    pub fn to_text(&self) -> String {
        let columns = [
            ("depth", Align::Right),
            ("layer", Align::Left),
            ("kernels", Align::Right),
            ("max sim", Align::Right),
            ("median nearest", Align::Right),
            ("tau for 5 %", Align::Right),
            ("eff. rank", Align::Right),
            ("", Align::Left),
        ];
        let layers = &self.report.layers;
        let mut text = table(&columns, layers.iter().map(row));
        text.push('\n');
        text.push_str(&self.net());
        text.push_str(&format!(
            "Wrote {}: open index.html there.\n",
            self.folder.display()
        ));
        text
    }

    /// What holds for the layers that take part together.
    fn net(&self) -> String {
        let net = &self.report.net;
        let layers = &self.report.layers;
        let taking_part = layers.iter().filter(|layer| layer.facts.reason.is_none());
        let mut text = format!(
            "{} and {} in {} that take part.\n",
            counted(net.kernels as u64, "kernel"),
            counted(net.pairs, "pair"),
            counted(taking_part.count() as u64, "layer"),
        );
        let hints = net.hints.iter().map(|hint| {
            let kernels = count(hint.kernels as u64);
            format!("{} % above tau {} ({kernels})", hint.percent, hint.tau)
        });
        let hints: Vec<String> = hints.collect();
        if !hints.is_empty() {
            text += &format!("Kernels with a partner: {}.\n", hints.join(", "));
        }
        text
    }
}

fn row(layer: &ReportedLayer) -> Vec<String> {
    let (facts, numbers) = (&layer.facts, &layer.numbers);
    let spread = numbers.nearest_spread();
    let of_nearest = |part: fn(Spread) -> f64| optional(spread.map(part), |s| format!("{s:.4}"));
    let hint = numbers.hints.iter().find(|hint| hint.percent == 5.0);
    let rank = numbers.spectrum.as_ref().map(|s| s.effective_rank);
    vec![
        optional(facts.depth, |depth| depth.to_string()),
        facts.name.clone(),
        count(facts.kernels as u64),
        of_nearest(|spread| spread.max),
        of_nearest(|spread| spread.median),
        optional(hint, |hint| format!("{:.4}", hint.tau)),
        optional(rank, |rank| format!("{rank:.1}")),
        optional(facts.reason, |reason| reason.to_string()).replace('-', ""),
    ]
}
