//! Figures as they stand in the page.

use maud::{Markup, PreEscaped, html};

use crate::report::figures::Figure;

/// A figure with its caption, and with links to its files in a folder, which ends in a slash if it is another than the
/// page's.
pub fn with_links(folder: &str, stem: &str, figure: &Figure, caption: &str) -> Markup {
    html! {
        figure {
            div.drawing role="img" aria-label=(caption) { (PreEscaped(figure.inline())) }
            figcaption { (caption) " " (links(folder, stem)) }
        }
    }
}

/// Links to a figure's files.
pub fn links(folder: &str, stem: &str) -> Markup {
    html! {
        span.files {
            a href={ (folder) (stem) ".svg" } { "SVG" } " "
            a href={ (folder) (stem) ".png" } { "PNG" }
        }
    }
}
