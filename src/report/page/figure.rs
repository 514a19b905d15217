//! Figures as they stand in the page.

use maud::{Markup, PreEscaped, html};

use crate::report::figures::Figure;

/// A figure with its caption, and with links to its files.
pub fn with_links(stem: &str, figure: &Figure, caption: &str) -> Markup {
    html! {
        figure {
            div.drawing role="img" aria-label=(caption) { (PreEscaped(figure.inline())) }
            figcaption { (caption) " " (links(stem)) }
        }
    }
}

/// Links to a figure's files.
pub fn links(stem: &str) -> Markup {
    html! {
        span.files {
            a href={ "figures/" (stem) ".svg" } { "SVG" } " "
            a href={ "figures/" (stem) ".png" } { "PNG" }
        }
    }
}
