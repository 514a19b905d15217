//! A sensitivity sweep as one self-contained page, in the look of the report of an analysis.

mod definitions;
mod drawings;
mod failures;
mod head;
mod settings;

use maud::{DOCTYPE, PreEscaped, html};

use crate::report::TOOL;
use crate::report::figures::Figure;
use crate::report::sensitivity::{RESULTS, RESULTS_TABLE, labels};
use crate::sensitivity::Results;

use definitions::definitions;
use drawings::Drawings;
use failures::failed;
use head::{facts, recommendation, tiles, warnings};
use settings::table;

const SCRIPT: &str = concat!(include_str!("../sort.js"), include_str!("sweep.js"));

/// `index.html`, with the figures of [`crate::report::figures::sensitivity`], whose files lie beside it.
pub fn sensitivity_page(results: &Results, figures: &[Figure]) -> String {
    let sections = Drawings::of(figures);
    let failures = labels::failures(results).count();
    let body = html! {
        (DOCTYPE)
        html lang="en" {
            (super::head("Sensitivity to merging", &results.sweep.source.file, "", SCRIPT))
            body {
                a.skip href="#settings" { "Skip to the settings" }
                header {
                    (facts(results))
                    (warnings(results, failures))
                    nav aria-label="Contents" {
                        @for section in &sections { (section.link()) }
                        a href="#settings" { "Settings" }
                        @if failures > 0 { a href="#failures" { "Failures" } }
                        a href="#definitions" { "How to read this" }
                    }
                }
                main {
                    (tiles(results, failures))
                    (recommendation(results))
                    @for section in &sections { (section.section(results)) }
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

#[cfg(test)]
mod tests {
    use super::failures::FAILURES;
    use super::*;
    use crate::report::figures::sensitivity;
    use crate::report::sensitivity::sample::{Sample, fail};
    use crate::sensitivity::{PointOutcome, Series};

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
            .map(|figure| {
                let stem = figure.kind.stem();
                let link = format!("<a href=\"{stem}.svg\">SVG</a> <a href=\"{stem}.pdf\">PDF</a> <a href=\"{stem}.png\">PNG</a>");
                assert_eq!(count(&page, &link), 1, "{stem}");
                page.find(&link).unwrap()
            })
            .collect();
        let stems: Vec<String> = figures.iter().map(|figure| figure.kind.stem()).collect();
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
            let figure = [".svg", ".pdf", ".png"]
                .iter()
                .any(|end| link.ends_with(end));
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
        results.points[1].outcome = PointOutcome::Failed {
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
