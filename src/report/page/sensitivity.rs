//! A sensitivity sweep as one self-contained page, in the look of the report of an analysis.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::report::figures::Figure;
use crate::report::sensitivity::words::{self, Written};
use crate::report::sensitivity::{RESULTS, RESULTS_TABLE};
use crate::report::table::{bytes, count, counted};
use crate::report::{TOOL, printable};
use crate::sensitivity::{FinishedPoint, Measure, Outcome, Results, Series, Setting};

use super::figure;
use super::summary::tile;
use super::table::{Sort, column, number};
use super::text::{name, with_minus};
use super::{STYLE, policy};

const SCRIPT: &str = concat!(include_str!("sort.js"), include_str!("sweep.js"));

/// Failures that are shown with their output; of all there is the reason in `results.csv`.
const FAILURES: usize = 50;

/// Figures that are wider than this, in pixels, have a row of the page for themselves.
const WIDE: u32 = 760;

/// Figures that belong together.
struct Part {
    id: &'static str,
    title: &'static str,
    lead: &'static str,
    series: &'static [Series],
}

const PARTS: [Part; 4] = [
    Part {
        id: "which",
        title: "Which layers merge",
        lead: "Some layers merge while all others are left as they are (the paper\u{2019}s Figure 3a).",
        series: &[Series::Layer, Series::Stage, Series::Past],
    },
    Part {
        id: "tau",
        title: "Threshold \u{3c4}",
        lead: "The higher \u{3c4} is, the more similar a partner must be, and the fewer kernels merge (the paper\u{2019}s Figure 3b).",
        series: &[Series::Tau],
    },
    Part {
        id: "alpha-p",
        title: "\u{3b1} and p",
        lead: "A merged kernel keeps a share \u{3b1} of itself, and each kernel takes its turn with probability p (the \
               paper\u{2019}s Figure 2).",
        series: &[Series::Alpha, Series::Prob, Series::Grid],
    },
    Part {
        id: "shallow",
        title: "Layers left alone",
        lead: "The first L_s convolutions never merge.",
        series: &[Series::SkipShallow],
    },
];

/// `index.html`, with the figures of [`crate::report::figures::sensitivity`], whose files lie beside it.
pub fn sensitivity_page(results: &Results, figures: &[(String, Figure)]) -> String {
    let parts: Vec<(&Part, Vec<&(String, Figure)>)> = PARTS
        .iter()
        .map(|part| {
            let belongs = |(stem, _): &&(String, Figure)| {
                series_of(stem).is_some_and(|series| part.series.contains(&series))
            };
            (part, figures.iter().filter(belongs).collect())
        })
        .filter(|(_, figures): &(_, Vec<_>)| !figures.is_empty())
        .collect();
    let failures = words::failed(results);
    let body = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy(SCRIPT));
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content=(TOOL);
                title { "Sensitivity to merging of " (printable(&results.sweep.source.file)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#settings" { "Skip to the settings" }
                header {
                    (facts(results))
                    (warnings(results, failures))
                    nav aria-label="Contents" {
                        @for (part, _) in &parts { a href={ "#" (part.id) } { (part.title) } }
                        a href="#settings" { "Settings" }
                        @if failures > 0 { a href="#failures" { "Failures" } }
                        a href="#definitions" { "How to read this" }
                    }
                }
                main {
                    (tiles(results, failures))
                    @for (part, figures) in &parts { (drawings(results, part, figures)) }
                    (table(results))
                    @if failures > 0 { (failed(results, failures)) }
                    (definitions())
                }
                footer {
                    p {
                        "Made by " (TOOL) ". All numbers: " a href=(RESULTS) { (RESULTS) } ", "
                        a href=(RESULTS_TABLE) { (RESULTS_TABLE) } "."
                    }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    body.into_string()
}

/// The series that a figure is of.
fn series_of(stem: &str) -> Option<Series> {
    let is_of = |series: &Series| stem.starts_with(&format!("{series}-"));
    Series::ALL.into_iter().find(is_of)
}

/// The checkpoint, the base settings, and how variants are scored.
fn facts(results: &Results) -> Markup {
    let sweep = &results.sweep;
    let base = words::base(results, &[]);
    html! {
        p.overline { "Sensitivity to merging" span.tool { (TOOL) } }
        h1 { (name(&sweep.source.file)) }
        ul.facts {
            li { (bytes(sweep.source.bytes)) }
            li { (counted(sweep.layers.len() as u64, "layer")) " that can take part" }
            li title=(sweep.content_sha256) { "content " code { (sweep.content_sha256.get(..12).unwrap_or_default()) } }
        }
        p.mode {
            "Base settings: "
            @for (place, setting) in base.iter().enumerate() { @if place > 0 { ", " } b { (setting) } }
            ", seed\u{a0}" b { (sweep.parameters.seed) } ". Each point varies what its figure is over; the rest stays."
        }
        @match &sweep.evaluator {
            Some(evaluator) => p.mode {
                "Scored by " code { (printable(&evaluator.command)) }
                @if let Some(metric) = &evaluator.metric { ", which prints " b { (printable(metric)) } }
                ", within " (counted(evaluator.seconds, "second")) " each. Whether more is better is the evaluator\u{2019}s to say."
            },
            None => p.mode {
                "No evaluator was given (" code { "--eval" } "): measures of the weights stand in for a score. They say how much \
                 changed, not what that does to the net."
            },
        }
    }
}

/// What must not be overlooked.
fn warnings(results: &Results, failures: usize) -> Markup {
    let settings: Vec<Setting<'_>> = words::settings(results).collect();
    let hollow: Vec<String> = settings
        .iter()
        .filter(|setting| setting.merged_nothing())
        .map(|setting| words::setting(setting.variation))
        .collect();
    let mut warnings = Vec::new();
    if results.missing > 0 {
        warnings.push(format!(
            "The sweep is not finished: {} still to come. The same command goes on with them.",
            counted(results.missing as u64, "point")
        ));
    }
    if !hollow.is_empty() && hollow.len() == settings.len() {
        warnings.push(
            "Nothing merged at any setting: this sweep does not show that the net is robust to merging. Lower --tau, or give \
             it as a share such as 20%."
                .to_owned(),
        );
    } else if !hollow.is_empty() {
        warnings.push(format!(
            "Nothing merged at {} of {}, which figures show hollow: {}. What comes of them says nothing about merging.",
            hollow.len(),
            counted(settings.len() as u64, "setting"),
            words::listed(&hollow, 12)
        ));
    }
    if failures > 0 {
        warnings.push(format!(
            "{} failed and {} left out of the means: see Failures below.",
            counted(failures as u64, "point"),
            if failures == 1 { "is" } else { "are" }
        ));
    }
    if results
        .measures()
        .iter()
        .all(|measure| results.baseline(*measure).is_none())
    {
        warnings.push("What the unmerged checkpoint comes to is not known.".to_owned());
    }
    html! {
        @if !warnings.is_empty() {
            ul.warnings aria-label="Warnings" {
                @for warning in &warnings { li { (printable(warning)) } }
            }
        }
    }
}

fn tiles(results: &Results, failures: usize) -> Markup {
    let total = results.points.len() + results.missing;
    let settings = words::settings(results);
    let hollow = settings.filter(Setting::merged_nothing).count();
    let kernels: usize = results.sweep.layers.iter().map(|layer| layer.kernels).sum();
    html! {
        section.summary aria-label="Summary" {
            dl.tiles {
                (tile("Points finished", &count(results.points.len() as u64), html! { "of " (count(total as u64)) }))
                @for &measure in results.measures().iter().filter(|measure| is_telling(**measure)) {
                    @let baseline = results.baseline(measure);
                    @let written = Written::of(measure, baseline);
                    (tile(
                        "Unmerged",
                        &baseline.map_or_else(|| "\u{2013}".to_owned(), |level| with_minus(written.write(level))),
                        html! { (printable(&words::measure(results, measure))) },
                    ))
                }
                (tile("Settings", &count(words::settings(results).count() as u64), html! { "beside the unmerged checkpoint" }))
                (tile("Merged nothing", &count(hollow as u64), html! { "of these settings" }))
                (tile("Failed", &count(failures as u64), html! { "of the points" }))
                (tile("Kernels", &count(kernels as u64), html! { "in " (counted(results.sweep.layers.len() as u64, "layer")) }))
            }
        }
    }
}

/// Whether a measure of the unmerged checkpoint is other than 0 by what it is.
fn is_telling(measure: Measure) -> bool {
    !matches!(measure, Measure::MergedShare | Measure::RelativeChange)
}

fn drawings(results: &Results, part: &Part, figures: &[&(String, Figure)]) -> Markup {
    html! {
        section #(part.id) aria-labelledby={ (part.id) "-title" } {
            h2 id={ (part.id) "-title" } { (part.title) }
            p.lead { (part.lead) }
            div.drawings {
                @for (stem, drawn) in figures {
                    @let drawing = figure::with_links("", stem, drawn, &caption(results, stem));
                    @match drawn.width() {
                        width if width > WIDE => div.wide style={ "--width:" (width) "px" } { (drawing) },
                        _ => (drawing),
                    }
                }
            }
        }
    }
}

/// What a figure shows, by its stem.
fn caption(results: &Results, stem: &str) -> String {
    let measure = Measure::ALL
        .into_iter()
        .find(|measure| stem.ends_with(measure.name()));
    let measured = measure.map_or_else(String::new, |measure| words::title(results, measure));
    let varied = match series_of(stem) {
        Some(Series::Layer) => "with each layer merged alone",
        Some(Series::Stage) => "with each stage merged alone",
        Some(Series::Past) => "with all layers past a depth merged",
        Some(Series::Tau) => "over the threshold \u{3c4}, and the share of kernels that merged",
        Some(Series::Alpha) => "over \u{3b1}",
        Some(Series::Prob) => "over p, and the share of kernels that merged",
        Some(Series::SkipShallow) => "over L_s, and the share of kernels that merged",
        Some(Series::Grid) => "over two parameters at once",
        Some(Series::Baseline) | None => "",
    };
    format!("{} {varied}.", printable(&measured))
}

/// One row a setting.
fn table(results: &Results) -> Markup {
    let settings = || {
        Series::ALL
            .into_iter()
            .flat_map(|series| results.settings(series))
    };
    let shown: Vec<(Measure, Written)> = match results.measures() {
        [Measure::Score] => vec![Measure::Score, Measure::RelativeChange],
        measures => measures
            .iter()
            .copied()
            .filter(|m| *m != Measure::MergedShare)
            .collect(),
    }
    .into_iter()
    .map(|measure| (measure, Written::in_table(results, measure)))
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
                            (column("no.", "In the order of depth or of the number that varies", Sort::Place))
                            (column("setting", "What differs from the base settings", Sort::Text))
                            (column("series", "The curve or map that it belongs to", Sort::Text))
                            @for (measure, _) in &shown {
                                (column(&printable(&words::measure(results, *measure)), "Mean over the repetitions", Sort::Number))
                                (column("\u{b1} sd", "Sample standard deviation", Sort::Number))
                            }
                            (column("runs", "Repetitions that did not fail", Sort::Number))
                            (column("failed", "Repetitions that failed", Sort::Number))
                            (column("kernels", "Kernels of the layers that take part", Sort::Number))
                            (column("merged", "Kernels that merged, as the mean of the repetitions; beside it, their share", Sort::Number))
                        }
                    }
                    tbody {
                        @for (place, setting) in settings().enumerate() { (row(place, &setting, &shown)) }
                    }
                }
            }
        }
    }
}

fn row(place: usize, setting: &Setting<'_>, shown: &[(Measure, Written)]) -> Markup {
    let failed = setting.failed().count();
    let runs = setting.points.len();
    let kernels = setting.points[0].merging.kernels;
    let merged: usize = setting
        .points
        .iter()
        .map(|point| point.merging.merged)
        .sum();
    let merged = merged as f64 / runs as f64;
    let share = setting
        .average(Measure::MergedShare)
        .map_or(0.0, |share| share.mean);
    let whole = |value: f64| count(value as u64);
    html! {
        tr.left-alone[setting.merged_nothing()] {
            (number(Some(place as f64 + 1.0), whole))
            th scope="row" {
                (name(&words::setting(setting.variation)))
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

/// Why points failed, with the end of what their evaluators printed.
fn failed(results: &Results, failures: usize) -> Markup {
    let points = results
        .points
        .iter()
        .filter_map(|finished| match &finished.outcome {
            Outcome::Failed { why, output } => Some((finished, why, output)),
            _ => None,
        });
    html! {
        section #failures aria-labelledby="failures-title" {
            h2 #failures-title { "Failures" }
            p.lead { "What the evaluator printed last, point by point." }
            @for (finished, why, output) in points.take(FAILURES) { (failure(finished, why, output)) }
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
            h4 { (point.series) ": " (name(&words::setting(&point.variation))) }
            p { "repetition " (point.repeat + 1) ", seed " (point.seed) ": " (printable(why)) }
            @if !output.trim().is_empty() { pre tabindex="0" { (printable(output.trim_end())) } }
        }
    }
}

fn definitions() -> Markup {
    let terms = [
        (
            "Hollow points",
            "Nothing merged there, so the variant is the checkpoint itself. A level line of hollow points does not show that the \
             net is robust to merging.",
        ),
        (
            "Crosses",
            "The evaluation of one repetition at least failed there. Means are over the others.",
        ),
        (
            "Spread",
            "One sample standard deviation of the repetitions to both sides of their mean. Repetitions differ in their seed alone.",
        ),
        (
            "Unmerged",
            "The checkpoint as it is, scored in the same way: the dashed line.",
        ),
        (
            "Kernels merged",
            "The share of kernels that merged, of those in the layers that take part.",
        ),
        (
            "Relative weight change",
            "\u{2016}\u{394}W\u{2016} / \u{2016}W\u{2016} over all layers of the sweep, those that did not take part included.",
        ),
        (
            "Effective rank",
            "The sum of the layers\u{2019} effective ranks by the sum of their kernels.",
        ),
        (
            "Nearest similarity",
            "The cosine similarity of a kernel to the most similar other one of its layer, as the mean of all kernels.",
        ),
    ];
    html! {
        section #definitions aria-labelledby="definitions-title" {
            h2 #definitions-title { "How to read this" }
            dl.definitions { @for (term, meaning) in terms { dt { (term) } dd { (meaning) } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::figures::sensitivity;
    use crate::report::sensitivity::sample::{Sample, fail};

    fn page(results: &Results) -> String {
        sensitivity_page(results, &sensitivity(results))
    }

    fn count(page: &str, what: &str) -> usize {
        page.matches(what).count()
    }

    fn full() -> Results {
        let sample = Sample::scored()
            .layers(&["a", "b", "c", "d", "e", "f"])
            .past(2);
        let sample = sample
            .taus(&["0.1", "0.8", "0.9"])
            .fractions(&[0.1], &[0.2]);
        sample
            .skips(&[1, 2])
            .grid(&[0.1, 0.5], &[0.3])
            .repeats(2)
            .results()
    }

    #[test]
    fn figures_and_settings_are_in_it() {
        let results = full();
        let figures = sensitivity(&results);
        let page = page(&results);
        let places: Vec<usize> = figures
            .iter()
            .map(|(stem, _)| {
                let link = format!("<a href=\"{stem}.svg\">SVG</a> <a href=\"{stem}.png\">PNG</a>");
                assert_eq!(count(&page, &link), 1, "{stem}");
                page.find(&link).unwrap()
            })
            .collect();
        let stems: Vec<&str> = figures.iter().map(|(stem, _)| stem.as_str()).collect();
        let place = |stem: &str| places[stems.iter().position(|s| *s == stem).unwrap()];
        let order = [
            "layer-score",
            "past-score",
            "tau-score",
            "alpha-score",
            "grid-alpha-prob-score",
            "skip-shallow-score",
        ];
        assert!(order.map(place).is_sorted(), "{places:?}");
        let rows = Series::ALL.map(|series| results.settings(series).count());
        assert_eq!(
            count(&page, "<th scope=\"row\">"),
            rows.iter().sum::<usize>()
        );
        assert_eq!(count(&page, "<tr class=\"left-alone\">"), 2);
        assert!(
            page.contains("Nothing merged at 2 of 17 settings"),
            "{page:.6000}"
        );
        assert!(page.contains("\u{3c4} 0.8, \u{3c4} 0.9."));
        assert!(page.contains("python eval.py --weights {checkpoint}"));
        assert!(page.contains("<b>\u{3c4}\u{a0}0.3</b>, <b>\u{3b1}\u{a0}0.8</b>"));
        assert_eq!(count(&page, "id=\"failures\""), 0);
        assert!(!page.contains("not finished"));
    }

    #[test]
    fn nothing_in_it_is_loaded_from_elsewhere() {
        let page = page(&full());
        let addresses = |what: &str| -> Vec<String> {
            let parts = page.split(what).skip(1);
            parts
                .map(|rest| rest.split('"').next().unwrap().to_owned())
                .collect()
        };
        assert_eq!(count(&page, " src=\""), 0);
        let mut links = 0;
        for link in addresses(" href=\"") {
            let own = ["#", "results.", "data:image/png;base64,"];
            let figure = link.ends_with(".svg") || link.ends_with(".png");
            assert!(
                own.iter().any(|start| link.starts_with(start)) || (figure && !link.contains('/')),
                "{link}"
            );
            links += 1;
        }
        assert!(links > 20, "{links}");
        assert_eq!(count(&page, "<link"), 0);
        assert_eq!(count(&page, "@import"), 0);
    }

    #[test]
    fn what_evaluators_and_files_say_stays_text() {
        let hostile = "</script></pre><!--<script>\"'&\u{202e}\u{0}\u{1b}[2J";
        let mut results = Sample::scored().layers(&[hostile]).taus(&["0.1"]).results();
        results.sweep.source.file = hostile.to_owned();
        let evaluator = results.sweep.evaluator.as_mut().unwrap();
        evaluator.command = hostile.to_owned();
        evaluator.metric = Some(hostile.to_owned());
        results.points[1].outcome = Outcome::Failed {
            why: hostile.to_owned(),
            output: format!("12%\r50%\r\n\tat {hostile}"),
        };
        let page = page(&results);
        assert_eq!(count(&page, "<script"), 1);
        assert_eq!(count(&page, "</script"), 1);
        assert_eq!(count(&page, "</pre"), 1);
        assert_eq!(count(&page, "<!--"), 0);
        assert!(!page.contains(['\u{0}', '\u{1b}', '\u{202e}', '\r']));
        assert!(page.contains(">12%\n50%\n    at &lt;/script&gt;"));
    }

    #[test]
    fn what_is_wrong_is_said_at_the_top() {
        let mut results = Sample::measured().taus(&["0.8", "0.9"]).results();
        results.missing = 3;
        let said = page(&results);
        assert!(said.contains("Nothing merged at any setting"));
        assert!(said.contains("3 points still to come"));
        assert!(said.contains("<code>--eval</code>"));

        let mut results = Sample::scored().taus(&["0.1"]).repeats(60).results();
        results.points.iter_mut().for_each(fail);
        let said = page(&results);
        assert!(said.contains("120 points failed and are left out"));
        assert!(said.contains("What the unmerged checkpoint comes to is not known."));
        assert_eq!(count(&said, "<pre"), FAILURES);
        assert!(said.contains("70 more: why they failed"));
        assert!(said.contains("RuntimeError: &lt;out of memory&gt; &amp; more"));
    }
}
