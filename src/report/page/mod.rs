//! The report as one self-contained page: no network, no fonts or scripts but its own.
//!
//! What can be drawn beforehand is in the HTML, so that the page can be read, searched and printed without its script; the
//! script makes τ live, sorts tables and opens what a link points to.

mod chart;
mod data;
mod definitions;
mod epochs;
mod figure;
mod heatmap;
mod section;
mod sensitivity;
mod summary;
mod table;
mod text;
mod threshold;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::figures::{Figure, FigureKind};
use super::redundancy::Redundancy;
use super::{DOCUMENT, FIGURES, LAYERS, PAIRS, TOOL, printable};
use figure::FigureFiles;

pub(crate) use section::section;
pub use sensitivity::sensitivity_page;

pub(super) const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = concat!(include_str!("sort.js"), include_str!("script.js"));

/// The figures over depth.
const OVER_DEPTH: [(FigureKind, &str); 2] = [
    (
        FigureKind::NearestOverDepth,
        "Similarity of the kernels to their nearest neighbours over depth: median, quartiles and maximum of each layer.",
    ),
    (
        FigureKind::RanksOverDepth,
        "Ranks of each layer as shares of the greatest that they can be, over depth: low where kernels repeat each other.",
    ),
];

/// `index.html`, with the figures of [`figures::overviews`](super::figures::overviews).
pub(crate) fn page(report: &Redundancy, overviews: &[Figure]) -> String {
    let data = data::json(report);
    let over_depth = OVER_DEPTH.map(|(kind, _)| kind);
    let has_depth = overviews
        .iter()
        .any(|figure| over_depth.contains(&figure.kind));
    let body = html! {
        (DOCTYPE)
        html lang="en" {
            (head("Kernel redundancy", &report.source.file, &heatmap::style(), SCRIPT))
            body {
                a.skip href="#layers" { "Skip to the layers" }
                (summary::header(report, has_depth))
                main {
                    (summary::tiles(report))
                    (threshold::bar(report))
                    (threshold::section(report, overviews))
                    @if has_depth { (depth(report, overviews)) }
                    section #layers aria-labelledby="layers-title" {
                        h2 #layers-title { "Layers" }
                        (table::layers(report))
                        (sections(report))
                    }
                    @if let Some(evolution) = &report.evolution {
                        (epochs::section(evolution, overviews, |kind| net_files(report, kind)))
                    }
                    (definitions::section(report))
                }
                footer {
                    p {
                        "Made by " (TOOL) ". All numbers: " a href=(DOCUMENT) { (DOCUMENT) } ", "
                        a href=(LAYERS) { (LAYERS) } ", " a href=(PAIRS) { (PAIRS) } "."
                    }
                }
                script #data type="application/json" { (PreEscaped(data)) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    body.into_string()
}

/// The head element of a page on a file, with what the page adds to the common style.
fn head(what: &str, file: &str, style: &str, script: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(policy(script));
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta name="generator" content=(TOOL);
            title { (what) " of " (printable(file)) }
            style { (PreEscaped(style)) (PreEscaped(STYLE)) }
        }
    }
}

/// Nothing from elsewhere, and no script but the page's own.
fn policy(script: &str) -> String {
    format!(
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{}'; base-uri 'none'; \
         form-action 'none'",
        BASE64_STANDARD.encode(Sha256::digest(script))
    )
}

/// The files of a figure of the whole net.
fn net_files(report: &Redundancy, kind: FigureKind) -> FigureFiles {
    FigureFiles {
        path: format!("{FIGURES}{}", kind.stem()),
        formats: report.formats.of_net(),
    }
}

fn depth(report: &Redundancy, figures: &[Figure]) -> Markup {
    html! {
        section #depth aria-labelledby="depth-title" {
            h2 #depth-title { "Where redundancy sits" }
            p.lead {
                "Each layer's kernels and their nearest neighbours, from the input of the net to its output."
                @if report.skip_shallow > 0 { " Layers left alone as shallow are marked." }
            }
            (figure::drawings(figures, &OVER_DEPTH, |kind| net_files(report, kind)))
        }
    }
}

fn sections(report: &Redundancy) -> Markup {
    html! {
        @if !report.layers.is_empty() {
            div.sections-head {
                h3 { "Layer by layer" }
                p.tools hidden {
                    button type="button" data-open="true" { "Open all" }
                    button type="button" data-open="false" { "Close all" }
                }
            }
            @for layer in &report.layers {
                (PreEscaped(&layer.section))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures;
    use super::super::sample::{self, Net};
    use super::*;

    fn overviews() -> Vec<Figure> {
        figures::overviews(&sample::full())
    }

    fn count(page: &str, what: &str) -> usize {
        page.matches(what).count()
    }

    #[test]
    fn nothing_in_it_is_loaded_from_elsewhere() {
        const PNG: &str = "data:image/png;base64,";
        let page = page(&sample::full(), &overviews());
        assert_eq!(count(&page, " src="), 0);
        assert_eq!(count(&page, "url("), 0);
        let links: Vec<&str> = page
            .split(" href=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
            .collect();
        assert!(links.contains(&"figures/nearest-over-depth.svg"));
        let images = links.iter().filter(|link| link.starts_with(PNG)).count();
        assert!(images >= 4, "{images} heatmaps");
        for link in links {
            assert!(
                [
                    "#",
                    "figures/",
                    "report.json",
                    "layers.csv",
                    "pairs.csv",
                    PNG
                ]
                .iter()
                .any(|start| link.starts_with(start)),
                "{link}"
            );
        }
        assert_eq!(count(&page, "<link"), 0);
        assert_eq!(count(&page, "@import"), 0);
    }

    #[test]
    fn every_layer_has_a_row_that_leads_to_its_section() {
        let report = sample::full();
        let page = page(&report, &overviews());
        for layer in &report.layers {
            let id = text::anchor(&layer.facts.name);
            assert_eq!(count(&page, &format!(" id=\"{id}\"")), 1);
            let link = format!("<th scope=\"row\"><a href=\"#{id}\">");
            assert_eq!(count(&page, &link), 1);
        }
        assert_eq!(count(&page, "<tr class=\"left-alone\">"), 1);
        assert_eq!(count(&page, "left alone (shallow)</span>"), 2);
    }

    #[test]
    fn hostile_names_stay_text() {
        let report = Net {
            layers: 3,
            kernels: |_| 4,
            name: |depth| format!("</script><!--<script>\"'&\u{202e}\u{0}\u{7}.{depth}"),
            skip_shallow: 0,
        }
        .report();
        let page = page(&report.with_epochs(2), &overviews());
        assert_eq!(count(&page, "<script"), 2);
        assert_eq!(count(&page, "</script"), 2);
        assert_eq!(count(&page, "<!--"), 0);
        assert!(!page.contains('\u{0}') && !page.contains('\u{7}'));
        let (_, data) = page.split_once("type=\"application/json\">").unwrap();
        let (data, _) = data.split_once("</script>").unwrap();
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["layers"][2]["kernels"], 4);
    }

    #[test]
    fn the_script_is_the_one_that_is_allowed() {
        let page = page(&sample::full(), &[]);
        let (_, script) = page.rsplit_once("<script>").unwrap();
        let (script, _) = script.split_once("</script>").unwrap();
        let hash = BASE64_STANDARD.encode(Sha256::digest(script));
        assert_eq!(count(&page, &hash), 1);
    }

    #[test]
    fn nets_without_layers_pairs_or_spectra_have_a_page() {
        let net = |layers, kernels| {
            Net {
                layers,
                kernels,
                name: |depth| depth.to_string(),
                skip_shallow: 0,
            }
            .report()
        };
        let page_of = |report: &Redundancy| page(report, &[]);
        assert!(page_of(&net(0, |_| 0)).contains("No layer was analysed"));
        assert!(page_of(&net(1, |_| 1)).contains("of 1 kernel ("));
        let mut report = net(2, |_| 2);
        for layer in &mut report.layers {
            layer.numbers.spectrum = None;
        }
        assert!(page_of(&report).contains("without spectra"));
    }

    #[test]
    fn a_large_report_stays_small() {
        let report = Net {
            layers: 12,
            kernels: |_| 512,
            name: |depth| format!("features.denseblock{depth}.conv.weight"),
            skip_shallow: 10,
        }
        .report();
        for layer in &report.layers {
            assert!(layer.section.len() < 66_000, "{}", layer.section.len());
        }
        let layer_bytes = page(&report, &[]).len() / report.layers.len();
        assert!(layer_bytes < 75_000, "{layer_bytes} bytes a layer");
    }
}
