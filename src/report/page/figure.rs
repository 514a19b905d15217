//! Figures as they stand in the page.

use maud::{Markup, PreEscaped, html};

use crate::report::figures::{Figure, FigureKind, Formats};

/// The files of a figure.
pub struct FigureFiles {
    /// Their path in the report's folder, without the ending.
    pub path: String,
    /// What there is beside the SVG.
    pub formats: Formats,
}

/// The figures of these kinds, in this order, each with its caption.
pub fn drawings(
    figures: &[Figure],
    captions: &[(FigureKind, &str)],
    files: impl Fn(FigureKind) -> FigureFiles,
) -> Markup {
    let placed = captions.iter().filter_map(|(kind, caption)| {
        let figure = figures.iter().find(|figure| figure.kind == *kind)?;
        Some((figure, caption))
    });
    html! {
        div.drawings {
            @for (figure, caption) in placed { (with_links(&files(figure.kind), figure, caption)) }
        }
    }
}

/// A figure with its caption, and with links to its files.
pub fn with_links(files: &FigureFiles, figure: &Figure, caption: &str) -> Markup {
    html! {
        figure {
            div.drawing { (PreEscaped(figure.inline())) }
            figcaption { (caption) " " (links(files)) }
        }
    }
}

/// Links to a figure's files.
pub fn links(FigureFiles { path, formats }: &FigureFiles) -> Markup {
    html! {
        span.files {
            a href={ (path) ".svg" } { "SVG" }
            @if formats.pdf { " " a href={ (path) ".pdf" } { "PDF" } }
            @if formats.png { " " a href={ (path) ".png" } { "PNG" } }
        }
    }
}
