//! The result of `merge` and `apply`.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::apply::Change;
use crate::layers::{Kind, Reason};
use crate::merge::Merged;
use crate::plan::{Parameters, PlannedLayer};

use super::table::{Align, bytes, count, counted, name_with_copies, optional, table};

/// What `merge --json` and `apply --json` print, and `watch --json` on a line for each checkpoint.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MergeReport {
    /// The checkpoint read.
    pub input: String,
    /// The checkpoint written; none after a dry run, and where nothing merged and merges were required.
    pub output: Option<String>,
    /// The folder of the report, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// Where similarities were computed: `cpu`, or `cuda:N`.
    #[cfg_attr(test, schemars(regex(pattern = super::BACKEND)))]
    pub backend: String,
    /// The parameters of the merge.
    pub parameters: Parameters,
    /// The layers that took part.
    pub layers: Vec<MergedLayer>,
    /// Sums over these layers.
    pub totals: Totals,
    /// How many biases and tensors of BatchNorms changed along, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carried: Option<usize>,
    /// How many tensors of the optimizer's momentum changed along, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<usize>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Time taken, in seconds.
    #[cfg_attr(test, schemars(range(min = 0)))]
    pub seconds: f64,
    #[serde(skip)]
    skipped: Vec<(Reason, usize)>,
    #[serde(skip)]
    input_bytes: u64,
}

/// A layer that took part.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MergedLayer {
    /// Name of the weight.
    pub name: String,
    /// Its other names, which got the same bytes.
    pub copies: Vec<String>,
    /// Place among the convolutions, from 1; none if it is not one.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub depth: Option<usize>,
    /// Its kind.
    pub kind: Kind,
    /// Shape of the weight.
    pub shape: Vec<usize>,
    /// Number of kernels.
    pub kernels: usize,
    /// Kernels merged, in one round or several.
    pub merged: usize,
    /// The greatest similarity of two kernels before merging.
    pub max_similarity: Option<f64>,
    /// Its threshold as a number.
    pub tau: Option<f64>,
    /// ‖ΔW‖ / ‖W‖ of its weight; none where that is no finite number.
    pub relative_change: Option<f64>,
}

/// Sums over the layers that took part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Totals {
    /// How many layers.
    pub layers: usize,
    /// Their kernels.
    pub kernels: usize,
    /// Kernels merged.
    pub merged: usize,
    /// Unordered pairs above the threshold; none where they were not counted.
    pub pairs_above_tau: Option<u64>,
}

impl Totals {
    /// The share of kernels that merged, in percent.
    fn merged_percent(&self) -> f64 {
        100.0 * self.merged as f64 / self.kernels.max(1) as f64
    }
}

impl MergeReport {
    /// On a checkpoint that was merged, the folder of the report on it if there is one, and the time that all took.
    pub fn new(merged: &Merged<'_>, report: Option<&Path>, time: Duration) -> Self {
        let results = merged.changes.iter().zip(&merged.max_similarities);
        let layers = merged.plan.layers.iter().zip(results);
        let layers: Vec<MergedLayer> = layers
            .map(|(layer, (change, &greatest))| MergedLayer::new(layer, change, greatest))
            .collect();
        let mut skipped: Vec<(Reason, usize)> = Vec::new();
        for layer in &merged.plan.skipped {
            match skipped
                .iter_mut()
                .find(|(reason, _)| *reason == layer.reason)
            {
                Some((_, layers)) => *layers += 1,
                None => skipped.push((layer.reason, 1)),
            }
        }
        let name = |path: &Path| path.display().to_string();
        Self {
            input: name(merged.source.path()),
            output: merged.output().map(name),
            report: report.map(name),
            backend: merged.compute.backend.name(),
            parameters: merged.plan.parameters,
            totals: Totals {
                layers: layers.len(),
                kernels: layers.iter().map(|layer| layer.kernels).sum(),
                merged: layers.iter().map(|layer| layer.merged).sum(),
                pairs_above_tau: merged.pairs_above_tau,
            },
            layers,
            carried: merged.carried,
            momentum: merged.momentum,
            warnings: [&merged.layer_warnings[..], &merged.warnings].concat(),
            seconds: time.as_secs_f64(),
            skipped,
            input_bytes: merged.source.size(),
        }
    }

    /// The sums, on one line.
    pub fn to_line(&self) -> String {
        let totals = &self.totals;
        format!(
            "{}: {} of {} merged ({:.1} %) in {}, seed {}; {} in {:.2} s\n",
            self.input,
            count(totals.merged as u64),
            counted(totals.kernels as u64, "kernel"),
            totals.merged_percent(),
            counted(totals.layers as u64, "layer"),
            self.parameters.seed,
            match &self.output {
                Some(output) => format!("wrote {output}"),
                None => "wrote nothing".to_owned(),
            },
            self.seconds
        )
    }

    /// A table of the layers, and the sums.
    pub fn to_text(&self, width: usize) -> String {
        let columns = [
            ("depth", Align::Right),
            ("layer", Align::Name),
            ("kernels", Align::Right),
            ("merged", Align::Right),
            ("max sim", Align::Right),
            ("tau", Align::Right),
            ("change", Align::Right),
        ];
        let rows = self.layers.iter().map(|layer| {
            vec![
                optional(layer.depth, |depth| depth.to_string()),
                name_with_copies(&layer.name, &layer.copies),
                count(layer.kernels as u64),
                count(layer.merged as u64),
                optional(layer.max_similarity, |similarity| {
                    format!("{similarity:.4}")
                }),
                optional(layer.tau, |tau| format!("{tau:.4}")),
                optional(layer.relative_change, |change| {
                    format!("{:.2} %", 100.0 * change)
                }),
            ]
        });
        let mut text = table(&columns, rows, width);
        text.push('\n');
        text += &self.summary();
        text
    }

    fn summary(&self) -> String {
        let totals = &self.totals;
        let mut text = format!(
            "{} of {} merged ({:.1} %) in {}",
            count(totals.merged as u64),
            counted(totals.kernels as u64, "kernel"),
            totals.merged_percent(),
            counted(totals.layers as u64, "layer"),
        );
        if let Some(pairs) = totals.pairs_above_tau {
            text += &format!("; {} above tau", counted(pairs, "pair"));
        }
        text += &format!(" ({}).\n", self.parameters);
        if !self.skipped.is_empty() {
            let reasons: Vec<String> = self
                .skipped
                .iter()
                .map(|(reason, layers)| format!("{layers} {reason}"))
                .collect();
            let layers: usize = self.skipped.iter().map(|(_, layers)| layers).sum();
            text += &format!(
                "{} left alone: {}.\n",
                counted(layers as u64, "layer"),
                reasons.join(", ")
            );
        }
        if let Some(tensors) = self.carried {
            let tensors = counted(tensors as u64, "tensor");
            text += &format!("{tensors} of biases and BatchNorms carried along.\n");
        }
        if let Some(tensors) = self.momentum {
            let tensors = counted(tensors as u64, "tensor");
            text += &format!("{tensors} of the optimizer's momentum merged along.\n");
        }
        text += &match &self.output {
            Some(output) => format!("Wrote {} ({})", output, bytes(self.input_bytes)),
            None => "No checkpoint written".to_owned(),
        };
        text += &format!(" in {:.2} s.\n", self.seconds);
        if let Some(report) = &self.report {
            text += &format!("The report is in {report}: open index.html there.\n");
        }
        text
    }
}

impl MergedLayer {
    fn new(layer: &PlannedLayer, change: &Change, max_similarity: Option<f64>) -> Self {
        Self {
            name: layer.name.clone(),
            copies: layer.copies.clone(),
            depth: layer.depth,
            kind: layer.kind,
            shape: layer.shape.clone(),
            kernels: layer.kernels,
            merged: change.merged,
            max_similarity,
            tau: layer.tau,
            relative_change: change.relative_change,
        }
    }
}
