//! Figures as they stand in the page.

use maud::{Markup, PreEscaped, html};

use crate::report::figures::{Figure, FigureKind};

/// The figures of these kinds, in this order, each with its caption; `path` names the files of one, without their ending.
pub fn drawings(
    figures: &[Figure],
    captions: &[(FigureKind, &str)],
    path: impl Fn(FigureKind) -> String,
) -> Markup {
    let placed = captions.iter().filter_map(|(kind, caption)| {
        let figure = figures.iter().find(|figure| figure.kind == *kind)?;
        Some((figure, caption))
    });
    html! {
        div.drawings {
            @for (figure, caption) in placed { (with_links(&path(figure.kind), figure, caption)) }
        }
    }
}

/// A figure with its caption, and with links to its files.
pub fn with_links(path: &str, figure: &Figure, caption: &str) -> Markup {
    html! {
        figure {
            div.drawing role="img" aria-label=(caption) { (PreEscaped(figure.inline())) }
            figcaption { (caption) " " (links(path)) }
        }
    }
}

/// Links to a figure's files.
pub fn links(path: &str) -> Markup {
    html! {
        span.files {
            a href={ (path) ".svg" } { "SVG" } " "
            a href={ (path) ".png" } { "PNG" }
        }
    }
}
