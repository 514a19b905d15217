//! What words and marks mean.

use maud::{Markup, html};

/// How to read the page.
pub fn definitions() -> Markup {
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
