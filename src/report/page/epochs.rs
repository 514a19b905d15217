//! How the layers changed from epoch to epoch.

use maud::{Markup, html};

use crate::analysis::Evolution;
use crate::report::figures::{Figure, FigureKind};
use crate::report::printable;

use super::figure::{self, FigureFiles};
use super::table::{Sort, column, number};
use super::text::{decimals, name, percent, significant};

const CAPTIONS: [(FigureKind, &str); 5] = [
    (FigureKind::RedundancyOverEpochs, "Redundancy."),
    (
        FigureKind::UpperRedundancyOverEpochs,
        "The most redundant kernels, in which a merge of few shows.",
    ),
    (
        FigureKind::AboveChanceOverEpochs,
        "Kernels that are more alike than chance makes them.",
    ),
    (FigureKind::EffectiveRankOverEpochs, "Effective rank."),
    (FigureKind::WeightChangeOverEpochs, "Weight change."),
];

/// The figures, and one table with a row for each layer in each epoch.
pub fn section(
    evolution: &Evolution,
    figures: &[Figure],
    files: impl Fn(FigureKind) -> FigureFiles,
) -> Markup {
    let four = |value: f64| decimals(value, 4);
    html! {
        section #epochs aria-labelledby="epochs-title" {
            h2 #epochs-title { "Between epochs" }
            p.lead {
                "How redundancy, ranks and weights moved over "
                @for (place, epoch) in evolution.epochs.iter().enumerate() {
                    @if place > 0 { " \u{2192} " } bdi { (printable(epoch)) }
                }
                "."
            }
            (figure::drawings(figures, &CAPTIONS, files))
            div.scroll role="region" aria-labelledby="epochs-title" tabindex="0" {
                table.sortable #epoch-table {
                    thead {
                        tr {
                            (column("depth", "Place among the convolutions of the net", Sort::Row))
                            (column("layer", "Name of the weight", Sort::Text))
                            (column("epoch", "The checkpoint; sorted as they were given", Sort::Row))
                            (column("median nearest", "Median of the kernels' similarities to their nearest neighbours", Sort::Number))
                            (column("95 %", "95th percentile of the same", Sort::Number))
                            (column("max sim", "Greatest similarity of two kernels", Sort::Number))
                            (column("> chance", "Kernels with a partner above the \u{3c4} at which chance gives one to 1 %", Sort::Number))
                            (column("eff. rank", "Effective rank", Sort::Number))
                            (column("\u{2016}W\u{2016}", "Norm of the layer's weight", Sort::Number))
                            (column("change", "\u{2016}W \u{2212} W\u{2032}\u{2016} / \u{2016}W\u{2032}\u{2016} against the epoch before", Sort::Number))
                        }
                    }
                    tbody {
                        @for layer in &evolution.layers {
                            @for (epoch, point) in layer.points.iter().enumerate() {
                                tr.first[epoch == 0].left-alone[!layer.takes_part] {
                                    (number(layer.depth.map(|depth| depth as f64), |depth| depth.to_string()))
                                    th scope="row" { (name(&layer.name)) }
                                    td data-v=(epoch) {
                                        bdi { @if let Some(name) = evolution.epochs.get(epoch) { (printable(name)) } }
                                    }
                                    (number(point.nearest.map(|nearest| nearest.median), four))
                                    (number(point.nearest.map(|nearest| nearest.p95), four))
                                    (number(point.nearest.map(|nearest| nearest.max), four))
                                    (number(Some(point.above_chance), |share| format!("{}\u{a0}%", percent(share, 1.0))))
                                    (number(point.effective_rank, |rank| decimals(rank, 1)))
                                    (number(point.norm.is_finite().then_some(point.norm), significant))
                                    (number(point.relative_change, |change| format!("{}\u{a0}%", percent(change, 1.0))))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
