//! The head of the page: which checkpoint it is about, and the most important numbers.

use maud::{Markup, html};

use crate::plan::Parameters;
use crate::report::printable;
use crate::report::redundancy::{Redundancy, ReportedLayer};
use crate::report::table::{bytes, count, counted};

use super::text;

fn taking_part(report: &Redundancy) -> impl Iterator<Item = &ReportedLayer> {
    report
        .layers
        .iter()
        .filter(|layer| layer.facts.reason.is_none())
}

/// The file, how it was analysed, and links to the sections.
pub fn header(report: &Redundancy, depth: bool) -> Markup {
    html! {
        header {
            p.overline { "Kernel redundancy" span.tool { (crate::report::TOOL) } }
            h1 { (text::name(&report.source.file)) }
            ul.facts {
                li { (bytes(report.source.bytes)) }
                li { (counted(report.layers.len() as u64, "layer")) " analysed" }
                li title="Convolutions left alone at the start of the net (--skip-shallow)" {
                    "L" sub { "s" } " = " (report.skip_shallow)
                }
                li title=(report.source.header_sha256) { "header " code { (report.source.header_sha256.get(..12).unwrap_or_default()) } }
            }
            @if let Some(evolution) = &report.evolution {
                p.mode {
                    "From " (counted(evolution.epochs.len() as u64, "checkpoint")) " of one run: this is the analysis of the last"
                    @if let Some(last) = evolution.epochs.last() { ", " bdi { b { (printable(last)) } } }
                    ". What became of the layers until then stands under " a href="#epochs" { "Between epochs" } "."
                }
            }
            @if let Some(merging) = &report.merging { (merge(merging)) }
            @if !report.warnings.is_empty() {
                ul.warnings aria-label="Warnings" {
                    @for warning in &report.warnings { li { (printable(warning)) } }
                }
            }
            nav aria-label="Contents" {
                a href="#threshold" { "Choosing \u{3c4}" }
                @if depth { a href="#depth" { "Over depth" } }
                a href="#layers" { "Layers" }
                @if report.evolution.is_some() { a href="#epochs" { "Between epochs" } }
                a href="#definitions" { "How to read this" }
            }
        }
    }
}

fn merge(merging: &Parameters) -> Markup {
    let rounds = counted(merging.rounds.get().into(), "round");
    html! {
        p.mode {
            "The report of a merge: what was merged is marked. The numbers are of the kernels before it. Parameters: "
            "\u{3c4}\u{a0}" b { (merging.tau) } ", \u{3b1}\u{a0}" b { (merging.alpha) } ", p\u{a0}" b { (merging.prob) } ", "
            b { (merging.partner) } " partners, " (rounds) ", seed\u{a0}" b { (merging.seed) } "."
        }
    }
}

/// One of the most important numbers, and what is said beside it.
pub fn tile(label: &str, value: &str, beside: Markup) -> Markup {
    html! {
        div.tile {
            dt { (label) }
            dd { b { (value) } span { (beside) } }
        }
    }
}

/// The most important numbers.
pub fn tiles(report: &Redundancy) -> Markup {
    let net = &report.net;
    let part = taking_part(report).count();
    let greatest = taking_part(report)
        .filter_map(|layer| Some((layer, layer.numbers.nearest.greatest()?)))
        .reduce(|best, other| if other.1 > best.1 { other } else { best });
    let mut nearest: Vec<f64> = taking_part(report)
        .flat_map(|layer| layer.numbers.nearest.by_kernel().iter().flatten())
        .map(|neighbour| neighbour.similarity)
        .collect();
    nearest.sort_unstable_by(f64::total_cmp);
    let unwell: Vec<usize> = report
        .layers
        .iter()
        .map(|layer| super::section::complaints(&layer.numbers.health).len())
        .filter(|&complaints| complaints > 0)
        .collect();
    html! {
        section.summary aria-label="Summary" {
            dl.tiles {
                (tile("Layers taking part", &count(part as u64), html! { "of " (report.layers.len()) " analysed" }))
                (tile("Kernels", &count(net.kernels as u64), html! { "in these layers" }))
                (tile("Pairs compared", &count(net.pairs), html! { "within layers and groups" }))
                (tile(
                    "Greatest similarity",
                    &greatest.map_or_else(|| "\u{2013}".to_owned(), |(_, similarity)| text::decimals(similarity, 4)),
                    html! {
                        @if let Some((layer, _)) = greatest {
                            a href={ "#" (text::anchor(&layer.facts.name)) } { (text::name(&layer.facts.name)) }
                        } @else { "no two kernels can be compared" }
                    },
                ))
                (tile(
                    "Median nearest",
                    &median(&nearest).map_or_else(|| "\u{2013}".to_owned(), |median| text::decimals(median, 4)),
                    html! { "similarity of a kernel to its nearest neighbour" },
                ))
                (tile(
                    "Health",
                    &match unwell.iter().sum::<usize>() {
                        0 => "good".to_owned(),
                        issues => counted(issues as u64, "issue"),
                    },
                    html! {
                        @match unwell.len() {
                            0 => "no dead, broken or duplicate kernels",
                            layers => { "in " (counted(layers as u64, "layer")) },
                        }
                    },
                ))
                @if report.merging.is_some() {
                    (tile(
                        "Merged",
                        &count(report.layers.iter().flat_map(|l| &l.merges).map(|m| m.kernels.len() as u64).sum()),
                        html! { "kernels changed" },
                    ))
                }
            }
        }
    }
}

fn median(rising: &[f64]) -> Option<f64> {
    let upper = *rising.get(rising.len() / 2)?;
    Some(match rising.len() % 2 {
        1 => upper,
        _ => (rising[rising.len() / 2 - 1] + upper) / 2.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_between_the_middle_two() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[1.0]), Some(1.0));
        assert_eq!(median(&[1.0, 2.0]), Some(1.5));
        assert_eq!(median(&[1.0, 2.0, 9.0]), Some(2.0));
    }
}
