//! The figures, in sections of what belongs together.

use maud::{Markup, html};

use crate::report::figures::Figure;
use crate::report::printable;
use crate::report::sensitivity::words;
use crate::sensitivity::{Measure, Results, Series};

use super::super::figure;

/// Figures that are wider than this, in pixels, have a row of the page for themselves.
const WIDE: u32 = 760;

/// What belongs together.
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

/// A section of figures.
pub struct Drawings<'a> {
    part: &'static Part,
    figures: Vec<&'a (String, Figure)>,
}

impl<'a> Drawings<'a> {
    /// The sections that have figures.
    pub fn of(figures: &'a [(String, Figure)]) -> Vec<Self> {
        let section = |part: &'static Part| {
            let belongs = |(stem, _): &&(String, Figure)| {
                series_of(stem).is_some_and(|series| part.series.contains(&series))
            };
            let figures: Vec<_> = figures.iter().filter(belongs).collect();
            (!figures.is_empty()).then_some(Self { part, figures })
        };
        PARTS.iter().filter_map(section).collect()
    }

    /// The link to it.
    pub fn link(&self) -> Markup {
        html! { a href={ "#" (self.part.id) } { (self.part.title) } }
    }

    /// The section with its figures.
    pub fn section(&self, results: &Results) -> Markup {
        let part = self.part;
        html! {
            section #(part.id) aria-labelledby={ (part.id) "-title" } {
                h2 id={ (part.id) "-title" } { (part.title) }
                p.lead { (part.lead) }
                div.drawings {
                    @for (stem, drawn) in &self.figures {
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
}

/// The series that a figure is of.
fn series_of(stem: &str) -> Option<Series> {
    let is_of = |series: &Series| stem.starts_with(&format!("{series}-"));
    Series::ALL.into_iter().find(is_of)
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
