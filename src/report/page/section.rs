//! One layer's part of the page.

use maud::{Markup, html};

use crate::analysis::{
    ByChance, CHANCE_PERCENT, Health, LayerDrawings, LayerNumbers, SimilarityMap,
};
use crate::layers::Layer;
use crate::report::FIGURES;
use crate::report::figures::{Figure, FigureKind, Formats, LayerStem};
use crate::report::redundancy::LayerMerges;
use crate::report::table::{count, counted, shape};

use super::figure::{self, FigureFiles};
use super::text::{anchor, decimals, name, percent, significant};
use super::{heatmap, threshold};

/// Kernels listed before a list is cut.
const LISTED: usize = 12;

/// The figures below a layer's numbers. Its similarity matrix stands beside them, as pictures of the page's own.
const CAPTIONS: [(FigureKind, &str); 4] = [
    (FigureKind::Thresholds, "Pairs and kernels above \u{3c4}."),
    (
        FigureKind::Nearest,
        "Similarity of the kernels to their nearest neighbours.",
    ),
    (
        FigureKind::Spectrum,
        "Eigenvalues of the kernels' Gram matrix.",
    ),
    (
        FigureKind::Kernels,
        "Kernels of similar, orthogonal and opposite pairs.",
    ),
];

/// A layer's section of the page, with small versions of its drawings. `figures` are the layer's, whose files begin with
/// `stem`, and are there in these formats.
pub fn section(
    layer: &Layer,
    numbers: &LayerNumbers,
    drawings: &LayerDrawings,
    merges: Option<&LayerMerges>,
    stem: &LayerStem,
    figures: &[Figure],
    formats: Formats,
) -> String {
    let files = |kind| FigureFiles {
        path: format!("{FIGURES}{}", stem.of(kind)),
        formats,
    };
    let complaints = complaints(&numbers.health);
    let markup = html! {
        details.layer.left-alone[layer.reason.is_some()] id=(anchor(&layer.name)) {
            summary {
                span.depth { @match layer.depth { Some(depth) => (depth), None => "\u{2013}" } }
                h4 { (name(&layer.name)) }
                span.gist {
                    span { (layer.kind) " " (shape(&layer.shape)) }
                    @if let Some(greatest) = numbers.nearest.greatest() { span { "max " (decimals(greatest, 3)) } }
                    @if let Some(merges) = merges { span.merged { (merges.kernels.len()) " merged" } }
                    @if !complaints.is_empty() { span.mark { (counted(complaints.len() as u64, "issue")) } }
                    @if let Some(reason) = layer.reason { span.reason { "left alone (" (reason) ")" } }
                }
            }
            div.body {
                (facts(layer, numbers, merges))
                div.beside {
                    (maps(drawings, &files(FigureKind::Similarity)))
                    div.tables {
                        (closest(numbers, merges))
                        (threshold::hints(&numbers.hints, "Thresholds for shares of this layer's kernels"))
                    }
                }
                (figure::drawings(figures, &CAPTIONS, files))
                (health(&numbers.health))
            }
        }
    };
    markup.into_string()
}

fn facts(layer: &Layer, numbers: &LayerNumbers, merges: Option<&LayerMerges>) -> Markup {
    let kernels = layer.kernels as f64;
    html! {
        p.now hidden {
            "At \u{3c4} = " b data-live="tau" {} ": " b data-live="kernels_above" {} " of "
            (counted(layer.kernels as u64, "kernel")) " (" span data-live="share" {} "\u{a0}%) can merge, by chance "
            b data-live="kernels_by_chance" {} " (" span data-live="share_by_chance" {} "\u{a0}%); "
            b data-live="pairs_above" {} " of " (counted(numbers.pairs, "pair")) " are above."
        }
        dl.facts {
            div { dt { "kernels" } dd { (count(layer.kernels as u64)) } }
            div { dt { "weight" } dd { (layer.dtype) " " (shape(&layer.shape)) } }
            @if layer.groups > 1 { div { dt { "groups" } dd { (count(layer.groups as u64)) } } }
            div { dt { "pairs" } dd { (count(numbers.pairs)) } }
            @if let Some(spread) = numbers.nearest_spread() {
                div {
                    dt { "nearest neighbour, quartiles" }
                    dd { (decimals(spread.q1, 3)) " \u{b7} " b { (decimals(spread.median, 3)) } " \u{b7} " (decimals(spread.q3, 3)) }
                }
                div { dt { "greatest" } dd { (decimals(spread.max, 4)) } }
                (by_chance(&numbers.by_chance, kernels))
            }
            @if let Some(spectrum) = &numbers.spectrum {
                div {
                    dt { "effective rank" }
                    dd { (decimals(spectrum.effective_rank, 1)) small { (percent(spectrum.effective_rank, kernels)) "\u{a0}%" } }
                }
                div { dt { "stable rank" } dd { (decimals(spectrum.stable_rank, 1)) } }
                div { dt { "participation ratio" } dd { (decimals(spectrum.participation_ratio, 1)) } }
                div {
                    dt { "for 90 / 99 % of the energy" }
                    dd {
                        (spectrum.for_90_percent) " / " (spectrum.for_99_percent)
                        small {
                            (percent(spectrum.for_90_percent as f64, kernels)) " / "
                            (percent(spectrum.for_99_percent as f64, kernels)) "\u{a0}%"
                        }
                    }
                }
            }
            @if let Some(merges) = merges {
                div.merged {
                    dt { "merged at \u{3c4} = " (decimals(merges.tau, 4)) }
                    dd {
                        (counted(merges.kernels.len() as u64, "kernel"))
                        small { (percent(merges.kernels.len() as f64, kernels)) "\u{a0}%" }
                    }
                }
            }
        }
    }
}

/// What random directions would give, and what is beyond.
fn by_chance(by_chance: &ByChance, kernels: f64) -> Markup {
    let share = 100.0 * by_chance.kernels as f64 / kernels;
    html! {
        div {
            dt { "above \u{3c4} = " (decimals(by_chance.tau, 4)) ", where chance gives " (CHANCE_PERCENT) "\u{a0}%" }
            dd {
                (counted(by_chance.kernels as u64, "kernel"))
                small { (decimals(share, 1)) "\u{a0}%" }
            }
        }
        div {
            dt { "dimension, effective" }
            dd {
                (count(by_chance.dimension as u64)) " \u{b7} "
                (by_chance.effective_dimension.map_or("\u{2013}".to_owned(), significant))
            }
        }
    }
}

/// Small similarity matrices, with links to the files of the figure at `path`.
fn maps(drawings: &LayerDrawings, files: &FigureFiles) -> Markup {
    let kernels = drawings.in_file_order.order.len();
    let map = |map: &SimilarityMap, order: &str| {
        html! {
            div.panel style={ "--cells:" (map.cells) } {
                (heatmap::image(map, &format!("Similarity matrix of the kernels, {order}")))
                span { (order) }
            }
        }
    };
    html! {
        figure.maps {
            div.panels {
                (map(&drawings.in_file_order, "in file order"))
                @if let Some(clustered) = &drawings.clustered { (map(clustered, "clustered")) }
            }
            div.scale aria-hidden="true" { i {} span { "\u{2212}1" } span { "0" } span { "1" } }
            figcaption {
                "Similarities of the kernels to each other. "
                @if heatmap::is_reduced(kernels) {
                    "A cell stands for several pairs: above the diagonal their maximum, so that single similar pairs show, "
                    "below it their mean. "
                }
                (figure::links(files))
            }
        }
    }
}

fn closest(numbers: &LayerNumbers, merges: Option<&LayerMerges>) -> Markup {
    html! {
        @if !numbers.closest.is_empty() {
            div.scroll tabindex="0" role="region" aria-label="Closest pairs" {
                table.small.pairs {
                    caption { "Closest pairs" }
                    thead {
                        tr {
                            th scope="col" { "kernels" }
                            th scope="col" { "similarity" }
                            th scope="col" { "norms" }
                            th scope="col" title="The lesser norm over the greater" { "ratio" }
                            @if merges.is_some() { th scope="col" { "merged" } }
                        }
                    }
                    tbody {
                        @for pair in &numbers.closest {
                            tr {
                                th scope="row" { (pair.kernels[0]) " \u{b7} " (pair.kernels[1]) }
                                td title=(pair.similarity) { (decimals(pair.similarity, 5)) }
                                td { (significant(pair.norms[0])) " \u{b7} " (significant(pair.norms[1])) }
                                td { (decimals(pair.norm_ratio(), 3)) }
                                @if let Some(merges) = merges {
                                    td { @if merges.join(pair.kernels) { span.merged { "merged" } } @else { "\u{2013}" } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Each problem in a few words.
pub fn complaints(health: &Health) -> Vec<String> {
    let Health {
        zero,
        near_dead,
        non_finite,
        duplicates,
        sign_flipped,
        near_duplicates,
        non_finite_numbers: _,
        subnormal_numbers,
    } = health;
    let numbers = [
        (zero.len() as u64, "zero"),
        (near_dead.len() as u64, "near-dead"),
        (non_finite.len() as u64, "not finite"),
        (duplicates.len() as u64, "duplicate"),
        (sign_flipped.len() as u64, "sign-flipped"),
        (near_duplicates.len() as u64, "near-duplicate"),
        (*subnormal_numbers, "subnormal"),
    ];
    numbers
        .into_iter()
        .filter(|&(number, _)| number > 0)
        .map(|(number, what)| format!("{} {what}", count(number)))
        .collect()
}

fn health(health: &Health) -> Markup {
    let kernels = |label: &str, kernels: &[usize]| {
        listed(label, kernels.iter().map(usize::to_string).collect())
    };
    let pairs = |label: &str, pairs: &[(usize, usize)]| {
        let pairs = pairs
            .iter()
            .map(|(kernel, first)| format!("{kernel} of {first}"));
        listed(label, pairs.collect())
    };
    html! {
        @if !health.is_good() {
            div.complaints {
                h5 { "Health" }
                dl {
                    (kernels("norm below 1e-8", &health.zero))
                    (kernels("near-dead: norm below 1 % of the median", &health.near_dead))
                    (kernels("with NaN or infinity", &health.non_finite))
                    (pairs("exact duplicates", &health.duplicates))
                    (pairs("sign-flipped duplicates", &health.sign_flipped))
                    (pairs("near duplicates: similarity above 0.9999", &health.near_duplicates))
                    @if health.non_finite_numbers > 0 { dt { "NaN or infinite numbers" } dd { (count(health.non_finite_numbers)) } }
                    @if health.subnormal_numbers > 0 { dt { "subnormal numbers" } dd { (count(health.subnormal_numbers)) } }
                }
            }
        }
    }
}

fn listed(label: &str, items: Vec<String>) -> Markup {
    html! {
        @if !items.is_empty() {
            dt { (label) }
            dd {
                (counted(items.len() as u64, "kernel")) ": " (items[..items.len().min(LISTED)].join(", "))
                @if items.len() > LISTED { ", \u{2026}" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;
    use crate::layers::Kind;

    fn section_of(change: impl FnOnce(&mut LayerNumbers)) -> String {
        let (mut numbers, drawings) = sample::layer(16, 3);
        change(&mut numbers);
        let facts = Layer {
            depth: Some(12),
            ..Layer::sample("a.b", Kind::Conv, &[16, 3, 3, 3])
        };
        let pair = numbers.closest[0].kernels;
        let merges = LayerMerges {
            tau: 0.5,
            kernels: [pair[1]].into(),
            pairs: [(pair[1], pair[0])].into(),
        };
        let stem = LayerStem::new(1, &facts.name);
        section(
            &facts,
            &numbers,
            &drawings,
            Some(&merges),
            &stem,
            &[],
            Formats::ALL,
        )
    }

    #[test]
    fn only_merged_pairs_are_marked() {
        let section = section_of(|_| {});
        assert_eq!(section.matches("<span class=\"merged\">merged").count(), 1);
        assert!(section.contains("1 kernel<small>6.2"));
    }

    #[test]
    fn complaints_are_listed_and_cut() {
        assert!(!section_of(|_| {}).contains("Health"));
        let section = section_of(|numbers| {
            numbers.health.zero = (0..14).collect();
            numbers.health.duplicates = vec![(9, 2)];
        });
        assert!(section.contains("14 kernels: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, \u{2026}"));
        assert!(section.contains("1 kernel: 9 of 2"));
        assert!(section.contains("2 issues"));
    }

    #[test]
    fn exact_similarities_are_at_hand() {
        let (numbers, _) = sample::layer(16, 3);
        let similarity = numbers.closest[0].similarity;
        assert!(section_of(|_| {}).contains(&format!("title=\"{similarity}\"")));
    }
}
