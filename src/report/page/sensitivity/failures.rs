//! Why points failed.

use maud::{Markup, html};

use crate::report::printable;
use crate::report::sensitivity::{RESULTS_TABLE, labels};
use crate::report::table::count;
use crate::sensitivity::{FinishedPoint, Results};

use super::super::text::name;

/// Failures that are shown with their output; of all there is the reason in `results.csv`.
pub const FAILURES: usize = 50;

/// Why points failed, with the end of what their evaluators printed.
pub fn failed(results: &Results, failures: usize) -> Markup {
    html! {
        section #failures aria-labelledby="failures-title" {
            h2 #failures-title { "Failures" }
            p.lead { "What the evaluator printed last, point by point." }
            @for (finished, why, output) in labels::failures(results).take(FAILURES) { (failure(finished, why, output)) }
            @if failures > FAILURES {
                p.note { (count((failures - FAILURES) as u64)) " more: why they failed stands in " a href=(RESULTS_TABLE) { (RESULTS_TABLE) } "." }
            }
        }
    }
}

fn failure(finished: &FinishedPoint, why: &str, output: &str) -> Markup {
    let point = &finished.point;
    // Progress bars return to the start of their line.
    let output = output
        .replace("\r\n", "\n")
        .replace('\r', "\n")
        .replace('\t', "    ");
    html! {
        div.failure {
            h4 { (point.series) ": " (name(&labels::setting(&point.variation))) }
            p { "repetition " (point.repeat + 1) ", seed " (point.seed) ": " (printable(why)) }
            @if !output.trim().is_empty() { pre tabindex="0" { (printable(output.trim_end())) } }
        }
    }
}
