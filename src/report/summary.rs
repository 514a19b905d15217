//! What `analyze` prints.

use std::path::Path;

use crate::analysis::CHANCE_PERCENT;

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

    pub fn to_text(&self, width: usize) -> String {
        let columns = [
            ("depth", Align::Right),
            ("layer", Align::Name),
            ("kernels", Align::Right),
            ("max sim", Align::Right),
            ("5 % tau", Align::Right),
            ("chance", Align::Right),
            ("rank", Align::Right),
            ("", Align::Left),
        ];
        let layers = &self.report.layers;
        let mut text = table(&columns, layers.iter().map(row), width);
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
            format!(
                "{kernels} above tau {} (at most {} %)",
                hint.tau, hint.percent
            )
        });
        let hints: Vec<String> = hints.collect();
        if !hints.is_empty() {
            text += &format!("Kernels with a partner: {}.\n", hints.join(", "));
        }
        text += &format!(
            "5 % tau: the layer's threshold for --tau 5%. chance: kernels above that for --tau chance={CHANCE_PERCENT}%, \
            where random directions give a partner to {CHANCE_PERCENT} %. rank: effective rank.\n"
        );
        text
    }
}

fn row(layer: &ReportedLayer) -> Vec<String> {
    let (facts, numbers) = (&layer.facts, &layer.numbers);
    let by_chance = &numbers.by_chance;
    let hint = numbers.hints.iter().find(|hint| hint.percent == 5.0);
    let rank = numbers.spectrum.as_ref().map(|s| s.effective_rank);
    vec![
        optional(facts.depth, |depth| depth.to_string()),
        facts.name.clone(),
        count(facts.kernels as u64),
        optional(numbers.nearest.greatest(), |greatest| {
            format!("{greatest:.4}")
        }),
        optional(hint, |hint| format!("{:.4}", hint.tau)),
        format!(
            "{:.0} %",
            100.0 * by_chance.kernels as f64 / facts.kernels as f64
        ),
        optional(rank, |rank| format!("{rank:.1}")),
        optional(facts.reason, |reason| reason.to_string()).replace('-', ""),
    ]
}
