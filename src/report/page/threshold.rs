//! Choosing τ: the bar that sets it, and what follows from it for the net.

use maud::{Markup, html};

use crate::analysis::{ThresholdHint, threshold};
use crate::plan::{Parameters, Threshold};
use crate::report::figures::{Figure, FigureKind};
use crate::report::redundancy::{Redundancy, ReportedLayer};
use crate::report::table::{count, counted};

use super::text::{decimals, percent};
use super::{chart, figure};

/// The initial τ, as an index of the curves: that of the merge, or else the program's default. For a share of each layer's kernels
/// it is where at most that share of the net's kernels has a partner, in fact or by chance.
pub fn start(report: &Redundancy) -> usize {
    match report.merging.unwrap_or_default().tau {
        // Rounded down, so that no fewer kernels have a partner; 1e-9 makes up for decimals that binary rounds down.
        Threshold::Similarity(tau) => ((tau.get() + 1.0) * 100.0 + 1e-9) as usize,
        Threshold::Share(share) => {
            let above = report.net.kernels_above.above();
            let most = share.of(report.net.kernels) as u64;
            let place = above.iter().position(|&kernels| kernels <= most);
            place.unwrap_or_default()
        }
        Threshold::Chance(percent) => {
            let above = &report.net.by_chance.kernels_above;
            let most = percent.get() / 100.0 * report.net.kernels as f64;
            let place = above.iter().position(|&kernels| kernels <= most);
            place.unwrap_or_default()
        }
    }
}

/// τ as the command has it at first: as it was given for the merge.
fn given(report: &Redundancy) -> String {
    match report.merging.unwrap_or_default().tau {
        Threshold::Similarity(_) => format!("{:.2}", threshold(start(report))),
        by_layer @ (Threshold::Share(_) | Threshold::Chance(_)) => by_layer.to_string(),
    }
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
    let parameters = report.merging.unwrap_or_default();
    let place = start(report);
    let above = |counts: &[u64]| counts.get(place).copied().unwrap_or_default();
    let (kernels, pairs) = (
        above(net.kernels_above.above()),
        above(net.pairs_above.above()),
    );
    let by_chance = net
        .by_chance
        .kernels_above
        .get(place)
        .copied()
        .unwrap_or_default();
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
                            dt { "by chance" }
                            dd {
                                span data-net="by-chance" { (count(by_chance.round() as u64)) }
                                small { span data-net="by-chance-share" { (percent(by_chance, net.kernels as f64)) } "\u{a0}%" }
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
                code #command data-before=(command(report)) data-first=(given(report)) data-after=(flags(report)) {
                    (command(report)) " " (given(report)) (flags(report))
                }
                button #copy type="button" hidden { "Copy" }
            }
            p.note {
                "Of these kernels each takes its turn with probability p = " (parameters.prob) " (" code { "--prob" }
                ") and keeps a share \u{3b1} = " (parameters.alpha) " of itself (" code { "--alpha" }
                "), unless told otherwise."
            }
            p.note {
                "By chance: as many of so many kernels would have such a partner if their directions were independent and uniform, as "
                "they are before training (isotropic). Narrow layers of few numbers reach high similarities that way: there, a "
                "\u{3c4} that is one number for all layers merges what is alike by chance only. "
                code { "--tau chance=1%" }
                " gives each layer the threshold at which chance would give a partner to 1\u{a0}% of its kernels. Where the effective "
                "dimension of a layer is below its dimension, its kernels share directions and chance gives more than that."
            }
        }
    }
}

/// The command up to τ, for the folder in which the report was made; of a path that is no text there is the file's name.
fn command(report: &Redundancy) -> String {
    let input = report.input.to_str().unwrap_or(&report.source.file);
    format!("inmerge-ckpt merge {} OUT --tau", quoted_file(input))
}

/// The flags with which `merge` takes the same layers and merges them in the same way, after a space each.
fn flags(report: &Redundancy) -> String {
    let mut flags: String = report
        .selecting
        .iter()
        .map(|word| format!(" {}", quoted(word)))
        .collect();
    for (flag, value, default) in report.merging.iter().flat_map(of_merge) {
        if value != default {
            flags += &format!(" {flag} {value}");
        }
    }
    let is_broken = |layer: &ReportedLayer| {
        layer.facts.reason.is_none() && !layer.numbers.health.non_finite.is_empty()
    };
    if report.layers.iter().any(is_broken) {
        flags += " --allow-nonfinite";
    }
    flags
}

/// The flags of a merge other than τ and those that select layers, each with its value and its default.
fn of_merge(merging: &Parameters) -> [(&'static str, String, String); 5] {
    let values = |parameters: &Parameters| {
        let Parameters {
            alpha,
            prob,
            partner,
            rounds,
            seed,
            ..
        } = parameters;
        [
            alpha.to_string(),
            prob.to_string(),
            partner.to_string(),
            rounds.to_string(),
            seed.to_string(),
        ]
    };
    let [alpha, prob, partner, rounds, seed] = values(merging);
    let [alpha_0, prob_0, partner_0, rounds_0, seed_0] = values(&Parameters::default());
    [
        ("--alpha", alpha, alpha_0),
        ("--prob", prob, prob_0),
        ("--partner", partner, partner_0),
        ("--rounds", rounds, rounds_0),
        ("--seed", seed, seed_0),
    ]
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
            p.note { "No threshold gives at most these shares of the kernels a partner: there are too few." }
        } @else {
            table.small.hints {
                caption { (caption) }
                thead { tr { th scope="col" { "at most" } th scope="col" { "\u{3c4}" } th scope="col" { "kernels" } } }
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
    use crate::report::sample;

    #[test]
    fn the_command_is_that_of_the_merge() {
        let mut report = sample::full();
        report.selecting = Vec::new();
        report.merging = None;
        assert_eq!((given(&report), start(&report)), ("0.30".to_owned(), 130));
        assert_eq!(flags(&report), "");
        assert_eq!(
            command(&report),
            "inmerge-ckpt merge 'runs/a b/model.safetensors' OUT --tau"
        );

        report.merging = Some(Parameters {
            tau: "20%".parse().unwrap(),
            alpha: "0.5".parse().unwrap(),
            seed: 7,
            ..Parameters::default()
        });
        assert_eq!(given(&report), "20%");
        assert_eq!(flags(&report), " --alpha 0.5 --seed 7");
        let above = report.net.kernels_above.above();
        let (at, most) = (start(&report), report.net.kernels as u64 / 5);
        assert!(above[at] <= most && above[at - 1] > most);
    }

    #[test]
    fn files_are_quoted_for_a_shell() {
        assert_eq!(quoted("a-1.safetensors"), "a-1.safetensors");
        assert_eq!(quoted("it's $x"), r"'it'\''s $x'");
        assert_eq!(quoted_file("-rf"), "./-rf");
        assert_eq!(quoted(""), "''");
    }
}
