//! The table of the settings.

use maud::{Markup, html};

use crate::report::printable;
use crate::report::sensitivity::labels::{self, NumberFormat};
use crate::report::table::count;
use crate::sensitivity::{Measure, Results, Setting};

use super::super::table::{Sort, column, number};
use super::super::text::{name, with_minus};

/// One row a setting.
pub fn table(results: &Results) -> Markup {
    let shown: Vec<(Measure, NumberFormat)> = match results.measures() {
        [Measure::Score] => vec![Measure::Score, Measure::RelativeChange],
        measures => measures
            .iter()
            .copied()
            .filter(|m| *m != Measure::MergedShare)
            .collect(),
    }
    .into_iter()
    .map(|measure| (measure, NumberFormat::in_table(results, measure)))
    .collect();
    html! {
        section #settings aria-labelledby="settings-title" {
            h2 #settings-title { "Settings" }
            p.lead {
                span.scripted { "Click a header to sort. " }
                "Means over the repetitions that did not fail, and their sample standard deviations. Rows in grey merged nothing."
            }
            div.scroll role="region" aria-labelledby="settings-title" tabindex="0" {
                table.sortable #sweep-table {
                    thead {
                        tr {
                            (column("no.", "In the order of depth or of the number that varies", Sort::Row))
                            (column("setting", "What differs from the base settings", Sort::Text))
                            (column("series", "The curve or map that it belongs to", Sort::Text))
                            @for (measure, _) in &shown {
                                (column(&printable(&labels::measure(results, *measure)), "Mean over the repetitions", Sort::Number))
                                (column("\u{b1} sd", "Sample standard deviation", Sort::Number))
                            }
                            (column("runs", "Repetitions that did not fail", Sort::Number))
                            (column("failed", "Repetitions that failed", Sort::Number))
                            (column("kernels", "Kernels of the layers that take part", Sort::Number))
                            (column("merged", "Kernels that merged, as the mean of the repetitions; beside it, their share", Sort::Number))
                        }
                    }
                    tbody {
                        @for (place, setting) in results.all_settings().enumerate() { (row(place, &setting, &shown)) }
                    }
                }
            }
        }
    }
}

fn row(place: usize, setting: &Setting<'_>, shown: &[(Measure, NumberFormat)]) -> Markup {
    let failed = setting.failed().count();
    let runs = setting.points.len();
    let kernels = setting.points[0].merging.kernels;
    let merged = setting.mean_merged();
    let share = setting
        .average(Measure::MergedShare)
        .map_or(0.0, |share| share.mean);
    let whole = |value: f64| count(value as u64);
    html! {
        tr.left-alone[setting.merged_nothing()] {
            (number(Some(place as f64 + 1.0), whole))
            th scope="row" {
                (name(&labels::setting(setting.variation)))
                @if setting.merged_nothing() { " " span.reason { "nothing merged" } }
            }
            td { (setting.series) }
            @for (measure, written) in shown {
                @let average = setting.average(*measure);
                (number(average.map(|average| average.mean), |mean| with_minus(written.write(mean))))
                (number(average.and_then(|average| average.deviation), |spread| written.write_deviation(spread)))
            }
            (number(Some((runs - failed) as f64), whole))
            td.n data-v=(failed) { @if failed > 0 { span.mark { (failed) } } @else { "0" } }
            (number(Some(kernels as f64), whole))
            td.n data-v=(merged) {
                (if merged.fract() == 0.0 { count(merged as u64) } else { format!("{merged:.1}") })
                small { (format!("{:.1}", 100.0 * share)) "\u{a0}%" }
            }
        }
    }
}
