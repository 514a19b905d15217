//! The table of the layers, and what all sortable tables share.

use maud::{Markup, html};

use crate::report::redundancy::{Redundancy, ReportedLayer};
use crate::report::table::{count, shape};

use super::section::complaints;
use super::text::{anchor, decimals, name, percent};
use super::threshold;

/// How a column is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// By its cells' `data-v`, which are numbers; the greatest first.
    Number,
    /// The same, the least first.
    Row,
    /// By its cells' text.
    Text,
    /// By the counts at the present τ.
    Live,
}

/// A header that sorts. The script makes it a button.
pub fn column(label: &str, explained: &str, sort: Sort) -> Markup {
    let sort = match sort {
        Sort::Number => "number",
        Sort::Row => "place",
        Sort::Text => "text",
        Sort::Live => "live",
    };
    html! { th scope="col" data-sort=(sort) title=(explained) { (label) } }
}

/// A cell that holds a number, or nothing.
pub fn number(value: Option<f64>, write: impl Fn(f64) -> String) -> Markup {
    html! {
        @match value {
            Some(value) => td.n data-v=(value) { (write(value)) },
            None => td.n.none data-v="" { "\u{2013}" },
        }
    }
}

/// One row a layer.
pub fn layers(report: &Redundancy) -> Markup {
    let spectra = report
        .layers
        .iter()
        .any(|layer| layer.numbers.spectrum.is_some());
    let merging = report.merging.is_some();
    let place = threshold::start(report);
    if report.layers.is_empty() {
        return html! { p.note { "No layer was analysed." } };
    }
    html! {
        p.lead {
            span.scripted { "Click a header to sort. " }
            "The columns \u{201c}> \u{3c4}\u{201d} are at \u{3c4} = " span data-net="tau" { (threshold::shown(place)) } "."
            @if !spectra { " Analysed without spectra." }
        }
        p.tools hidden {
            label for="filter" { "Filter by name" }
            input #filter type="search" autocomplete="off" spellcheck="false";
            span #filtered role="status" {}
        }
        div.scroll role="region" aria-labelledby="layers-title" tabindex="0" {
            table.sortable #layer-table {
                thead {
                    tr {
                        (column("depth", "Place among the convolutions of the net", Sort::Row))
                        (column("layer", "Name of the weight; leads to its section", Sort::Text))
                        (column("kind", "Sort of layer", Sort::Text))
                        (column("shape", "Shape of the weight; sorted by its number of elements", Sort::Number))
                        (column("kernels", "Number of kernels", Sort::Number))
                        (column("max sim", "Greatest similarity of two kernels", Sort::Number))
                        (column("median nearest", "Median of the kernels' similarities to their nearest neighbours", Sort::Number))
                        (column("kernels > \u{3c4}", "Kernels that can merge at the present \u{3c4}", Sort::Live))
                        (column("by chance", "As many kernels of random directions can merge at the present \u{3c4}, on average", Sort::Live))
                        (column("pairs > \u{3c4}", "Pairs above the present \u{3c4}", Sort::Live))
                        (column("\u{3c4} for 5\u{a0}%", "Threshold at which at most 5 % of the layer's kernels can merge", Sort::Number))
                        (column("chance \u{3c4}", "Threshold at which 1 % of kernels of random directions can merge; below it the share of this layer's", Sort::Number))
                        @if spectra {
                            (column("eff. rank", "Effective rank; below it as a share of the number of kernels", Sort::Number))
                            (column("stable rank", "Stable rank", Sort::Number))
                        }
                        (column("health", "What is wrong with kernels; sorted by the number of complaints", Sort::Number))
                        @if merging { (column("merged", "Kernels that were merged", Sort::Number)) }
                    }
                }
                tbody { @for layer in &report.layers { (row(layer, place, spectra, merging)) } }
            }
        }
    }
}

fn row(layer: &ReportedLayer, place: usize, spectra: bool, merging: bool) -> Markup {
    let (facts, numbers) = (&layer.facts, &layer.numbers);
    let four = |value: f64| decimals(value, 4);
    let spectrum = numbers.spectrum.as_ref();
    let complaints = complaints(&numbers.health);
    let five = numbers.hints.iter().find(|hint| hint.percent == 5.0);
    let whole = |value: f64| count(value as u64);
    html! {
        tr.left-alone[facts.reason.is_some()] {
            (number(facts.depth.map(|depth| depth as f64), whole))
            th scope="row" {
                a href={ "#" (anchor(&facts.name)) } { (name(&facts.name)) }
                @if let Some(reason) = facts.reason { " " span.reason { "left alone (" (reason) ")" } }
            }
            td { (facts.kind) }
            td.n data-v=(facts.shape.iter().product::<usize>()) { (shape(&facts.shape)) }
            (number(Some(facts.kernels as f64), whole))
            (number(numbers.nearest.greatest(), four))
            (number(numbers.nearest_spread().map(|spread| spread.median), four))
            (live("kernels_above", at(numbers.kernels_above.above(), place)))
            td.n.live data-live="kernels_by_chance" {
                (decimals(at(&numbers.by_chance.expected.kernels_above, place), 1))
            }
            (live("pairs_above", at(numbers.pairs_above.above(), place)))
            (number(five.map(|hint| hint.tau), four))
            td.n data-v=(numbers.by_chance.tau) {
                (four(numbers.by_chance.tau))
                small { (percent(numbers.by_chance.kernels as f64, facts.kernels as f64)) "\u{a0}%" }
            }
            @if spectra {
                @match spectrum {
                    Some(spectrum) => {
                        td.n data-v=(spectrum.effective_rank) {
                            (decimals(spectrum.effective_rank, 1))
                            small { (percent(spectrum.effective_rank, facts.kernels as f64)) "\u{a0}%" }
                        }
                    }
                    None => td.n.none data-v="" { "\u{2013}" },
                }
                (number(spectrum.map(|spectrum| spectrum.stable_rank), |rank| decimals(rank, 1)))
            }
            td.health data-v=(complaints.len()) {
                @if complaints.is_empty() { span.good { "good" } }
                @for complaint in &complaints { span.mark { (complaint) } " " }
            }
            @if merging {
                (number(layer.merges.as_ref().map(|merges| merges.kernels.len() as f64), whole))
            }
        }
    }
}

/// A count that follows τ, as it is at first.
fn live(key: &str, number: u64) -> Markup {
    html! { td.n.live data-live=(key) { (count(number)) } }
}

/// What a curve has at a threshold.
fn at<T: Copy + Default>(curve: &[T], place: usize) -> T {
    curve.get(place).copied().unwrap_or_default()
}
