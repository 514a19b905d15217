//! The figures, in sections of what belongs together.

use maud::{Markup, html};

use crate::report::figures::{Figure, FigureKind, Formats, SweepFigure};
use crate::report::printable;
use crate::report::sensitivity::labels;
use crate::sensitivity::{Results, Series};

use super::super::figure::{FigureFiles, with_links};

/// Figures that are wider than this, in pixels, have a row of the page for themselves.
const WIDE: u32 = 760;

/// A section of the page, and the series whose figures stand in it.
struct Section {
    id: &'static str,
    title: &'static str,
    lead: &'static str,
    series: &'static [Series],
}

const SECTIONS: [Section; 4] = [
    Section {
        id: "which",
        title: "Which layers merge",
        lead: "Some layers merge while all others are left as they are (the paper\u{2019}s Figure 3a).",
        series: &[Series::Layer, Series::Stage, Series::Past],
    },
    Section {
        id: "tau",
        title: "Threshold \u{3c4}",
        lead: "The higher \u{3c4} is, the more similar a partner must be, and the fewer kernels merge (the paper\u{2019}s Figure 3b).",
        series: &[Series::Tau],
    },
    Section {
        id: "alpha-p",
        title: "\u{3b1} and p",
        lead: "A merged kernel keeps a share \u{3b1} of itself, and each kernel takes its turn with probability p (the \
               paper\u{2019}s Figure 2).",
        series: &[Series::Alpha, Series::Prob, Series::Grid],
    },
    Section {
        id: "shallow",
        title: "Layers left alone",
        lead: "The first convolutions never merge: as many as --skip-shallow says.",
        series: &[Series::SkipShallow],
    },
];

/// A section with its figures.
pub struct Drawings<'a> {
    section: &'static Section,
    figures: Vec<(SweepFigure, &'a Figure)>,
}

impl<'a> Drawings<'a> {
    /// The sections that have figures.
    pub fn of(figures: &'a [Figure]) -> Vec<Self> {
        let drawings = |section: &'static Section| {
            let figures = figures.iter().filter_map(|figure| match figure.kind {
                FigureKind::Sweep(kind) if section.series.contains(&kind.series) => {
                    Some((kind, figure))
                }
                _ => None,
            });
            let figures: Vec<_> = figures.collect();
            (!figures.is_empty()).then_some(Self { section, figures })
        };
        SECTIONS.iter().filter_map(drawings).collect()
    }

    /// The link to it.
    pub fn link(&self) -> Markup {
        html! { a href={ "#" (self.section.id) } { (self.section.title) } }
    }

    /// The section with its figures.
    pub fn section(&self, results: &Results) -> Markup {
        let Section {
            id, title, lead, ..
        } = self.section;
        html! {
            section #(id) aria-labelledby={ (id) "-title" } {
                h2 id={ (id) "-title" } { (title) }
                p.lead { (lead) }
                div.drawings {
                    @for (kind, figure) in &self.figures {
                        @let files = FigureFiles { path: figure.kind.stem(), formats: Formats::ALL };
                        @let drawing = with_links(&files, figure, &caption(results, kind));
                        @if figure.width > WIDE { div.wide style={ "--width:" (figure.width) "px" } { (drawing) } }
                        @else { (drawing) }
                    }
                }
            }
        }
    }
}

/// What a figure shows.
fn caption(results: &Results, figure: &SweepFigure) -> String {
    let varied = match figure.series {
        Series::Layer => "with each layer merged alone",
        Series::Stage => "with each stage merged alone",
        Series::Past => "with all layers past a depth merged",
        Series::Tau => "over the threshold \u{3c4}, and the share of kernels that merged",
        Series::Alpha => "over \u{3b1}",
        Series::Prob => "over p, and the share of kernels that merged",
        Series::SkipShallow => {
            "over the number of first convolutions left alone, and the share of kernels that merged"
        }
        Series::Grid => "over two parameters at once",
        Series::Baseline => "",
    };
    let measured = labels::title(results, figure.measure);
    format!("{} {varied}.", printable(&measured))
}
