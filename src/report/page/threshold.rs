//! Choosing τ: the bar that sets it, and what follows from it for the net.

use maud::{Markup, html};

use crate::analysis::{ThresholdHint, threshold};
use crate::plan::{Parameters, Threshold};
use crate::report::figures::{Figure, FigureKind};
use crate::report::redundancy::{Redundancy, ReportedLayer};
use crate::report::table::{count, counted};

use super::text::{decimals, percent};
use super::{chart, figure};

/// The initial τ, as an index of the curves: that of the merge, or else the program's default.
pub fn start(report: &Redundancy) -> usize {
    let of = |parameters: Parameters| match parameters.tau {
        Threshold::Similarity(tau) => Some(tau.get()),
        Threshold::Share(_) => None,
    };
    let tau = report.merging.and_then(of);
    let tau = tau.or_else(|| of(Parameters::default())).unwrap_or(0.0);
    // Rounded down, so that no fewer kernels have a partner; 1e-9 makes up for decimals that binary rounds down.
    ((tau.clamp(-1.0, 1.0) + 1.0) * 100.0 + 1e-9) as usize
}

/// τ at an index of the curves.
pub fn shown(place: usize) -> String {
    decimals(threshold(place), 2)
}

/// The bar that stays in sight; hidden until the script shows it.
pub fn bar(report: &Redundancy) -> Markup {
    let tau = format!("{:.2}", threshold(start(report)));
    html! {
        div.bar #bar role="group" aria-label="Threshold" hidden {
            label.tau for="tau-number" { "\u{3c4}" }
            input #tau-number type="number" min="-1" max="1" step="0.01" value=(tau) autocomplete="off";
            input #tau type="range" min="-1" max="1" step="0.01" value=(tau) autocomplete="off"
                aria-label="Threshold \u{3c4}";
            output for="tau tau-number" {
                b { span data-net="kernels" {} } " of " (count(report.net.kernels as u64)) " kernels can merge "
                span.share { "(" span data-net="share" {} "\u{a0}%)" }
            }
        }
    }
}

/// The section about the whole net. The page draws the curves of its threshold figure itself, so that τ can move along
/// them, and links to it.
pub fn section(report: &Redundancy, figures: &[Figure]) -> Markup {
    let net = &report.net;
    let defaults = Parameters::default();
    let place = start(report);
    let above = |counts: &[u64]| counts.get(place).copied().unwrap_or_default();
    let (kernels, pairs) = (
        above(net.kernels_above.above()),
        above(net.pairs_above.above()),
    );
    html! {
        section #threshold aria-labelledby="threshold-title" {
            h2 #threshold-title { "Choosing \u{3c4}" }
            p.lead {
                "A kernel can merge where another one of its layer is more similar to it than \u{3c4}. "
                @if report.skip_shallow > 0 {
                    "The first " (counted(report.skip_shallow as u64, "convolution")) " of the net "
                    @if report.skip_shallow == 1 { "is" } @else { "are" }
                    " left alone as shallow and not counted here."
                }
            }
            div.choosing {
                figure {
                    (chart::chart(net, "Shares of the kernels and of the pairs of the net above each threshold"))
                    figcaption {
                        "Shares of the net's kernels and pairs above \u{3c4}. "
                        span.scripted { "Drag on the chart or use the bar. " }
                        @if figures.iter().any(|figure| figure.kind == FigureKind::NetThresholds) {
                            (figure::links(&super::net_files(report, FigureKind::NetThresholds)))
                        }
                    }
                }
                div.outcome {
                    dl.numbers {
                        div { dt { "\u{3c4}" } dd data-net="tau" { (shown(place)) } }
                        div {
                            dt { "kernels that can merge" }
                            dd {
                                span data-net="kernels" { (count(kernels)) }
                                small { span data-net="share" { (percent(kernels as f64, net.kernels as f64)) } "\u{a0}%" }
                            }
                        }
                        div {
                            dt { "pairs above \u{3c4}" }
                            dd {
                                span data-net="pairs" { (count(pairs)) }
                                small { span data-net="pairs-share" { (percent(pairs as f64, net.pairs as f64)) } "\u{a0}%" }
                            }
                        }
                    }
                    (hints(&net.hints, "Thresholds for shares of the net's kernels"))
                }
            }
            div.command {
                code #command data-before=(command(report)) data-after=(flags(report)) {
                    (command(report)) " " (format!("{:.2}", threshold(place))) (flags(report))
                }
                button #copy type="button" hidden { "Copy" }
            }
            p.note {
                "Of these kernels each takes its turn with probability p = " (defaults.prob) " (" code { "--prob" }
                ") and keeps a share \u{3b1} = " (defaults.alpha) " of itself (" code { "--alpha" }
                "), unless told otherwise."
            }
        }
    }
}

fn command(report: &Redundancy) -> String {
    format!(
        "inmerge-ckpt merge {} OUT --tau",
        quoted_file(&report.source.file)
    )
}

/// The flags with which `merge` takes the same layers, after a space each.
fn flags(report: &Redundancy) -> String {
    let mut flags: String = report
        .selecting
        .iter()
        .map(|word| format!(" {}", quoted(word)))
        .collect();
    let is_broken = |layer: &ReportedLayer| {
        layer.facts.reason.is_none() && !layer.numbers.health.non_finite.is_empty()
    };
    if report.layers.iter().any(is_broken) {
        flags += " --allow-nonfinite";
    }
    flags
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/+=@,:".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A file name as a shell takes it; what would be an option is none.
fn quoted_file(file: &str) -> String {
    if file.starts_with('-') {
        quoted(&format!("./{file}"))
    } else {
        quoted(file)
    }
}

/// The table of the thresholds that merge a share of the kernels.
pub fn hints(hints: &[ThresholdHint], caption: &str) -> Markup {
    html! {
        @if hints.is_empty() {
            p.note { "No threshold gives 1\u{a0}% of the kernels a partner." }
        } @else {
            table.small.hints {
                caption { (caption) }
                thead { tr { th scope="col" { "share" } th scope="col" { "\u{3c4}" } th scope="col" { "kernels" } } }
                tbody {
                    @for hint in hints {
                        tr {
                            th scope="row" { (hint.percent) "\u{a0}%" }
                            td { (decimals(hint.tau, 4)) }
                            td { (count(hint.kernels as u64)) }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_quoted_for_a_shell() {
        assert_eq!(quoted("a-1.safetensors"), "a-1.safetensors");
        assert_eq!(quoted("it's $x"), r"'it'\''s $x'");
        assert_eq!(quoted_file("-rf"), "./-rf");
        assert_eq!(quoted(""), "''");
    }
}
