//! What the numbers mean.

use maud::{Markup, PreEscaped, html};

use crate::report::redundancy::Redundancy;

/// The definitions, with their formulas.
pub fn section(report: &Redundancy) -> Markup {
    html! {
        section #definitions aria-labelledby="definitions-title" {
            h2 #definitions-title { "How to read this" }
            dl.definitions {
                dt { "Kernel" }
                dd {
                    "One output filter of a convolution, flattened to a vector. A layer has as many kernels as output channels; "
                    "in a layer with groups only kernels of one group are compared."
                }
                dt { "Similarity" }
                dd {
                    (formula(html! { "sim(" i { "a" } ", " i { "b" } ") = " i { "a" } "\u{b7}" i { "b" } " / (\u{2016}" i { "a" } "\u{2016} \u{2016}" i { "b" } "\u{2016})" }))
                    "The cosine of the angle between two kernels: 1 where one is a multiple of the other, 0 where they have nothing "
                    "in common, \u{2212}1 where they are opposite. Computed exactly in float64. Kernels of norm below 10"
                    sup { "\u{2212}8" } " and kernels with a NaN or an infinity take no part."
                }
                dt { "Above \u{3c4}" }
                dd {
                    (formula(html! {
                        (kernel("i")) " \u{2190} \u{3b1}\u{b7}" (kernel("i")) " + (1 \u{2212} \u{3b1})\u{b7}" (kernel("j"))
                        "\u{2003}where\u{2003}sim(" (kernel("i")) ", " (kernel("j")) ") > \u{3c4}"
                    }))
                    "The test is strict. A kernel is above \u{3c4}, and can merge, where its nearest neighbour is; a pair where its "
                    "similarity is. All counts are exact."
                }
                dt { "Nearest neighbour" }
                dd {
                    "The other kernel of greatest similarity. The median over a layer says how redundant its typical kernel is, the "
                    "maximum which \u{3c4} is the first to merge anything."
                }
                dt { "\u{3c4} for a share" }
                dd {
                    "The smallest threshold above which at most that share of the kernels has a neighbour, as " code { "--tau 5%" }
                    " chooses it; rounded up to as few decimals, 4 at least, as leave as many."
                }
                dt { "By chance" }
                dd {
                    (formula(html! {
                        "P(" i { "c" } ") = \u{bd}\u{b7}I" sub { "1\u{2212}" i { "c" } "\u{b2}" } "((" i { "d" } "\u{2212}1)/2, \u{bd}),\u{2003}1 \u{2212} (1 \u{2212} P(\u{3c4}))"
                        sup { "m" }
                    }))
                    "The probability that the cosine of two independent directions, uniform over the sphere in " i { "d" } " numbers, "
                    "exceeds " i { "c" } ", and that one of " i { "m" } " others is above \u{3c4}. Kernels before training are like this."
                }
                dt { "Effective dimension" }
                dd {
                    (formula(html! { "1 / mean(cos" sup { "2" } ")" }))
                    "Over all pairs: " i { "d" } " for such directions, and less for kernels that share some; from the counts above \u{3c4}, to 2 %."
                }
                dt { "Effective rank" }
                dd {
                    (formula(html! { "exp(\u{2212}\u{3a3} " i { "p" } " ln " i { "p" } "),\u{2003}" i { "p" } " = " (LAMBDA) " / \u{3a3}" (LAMBDA) }))
                    "From the eigenvalues " (LAMBDA) " of the kernels' Gram matrix " i { "K" } "\u{b7}" i { "K" } sup { "T" } ": how many directions the kernels "
                    "really use, their number n where all are orthogonal and of one norm."
                }
                dt { "Stable rank" }
                dd { (formula(html! { "\u{3a3}" (LAMBDA) " / " (LAMBDA) sub { "1" } })) "At most the effective rank; 1 where one direction has it all." }
                dt { "Participation ratio" }
                dd { (formula(html! { "(\u{3a3}" (LAMBDA) ")" sup { "2" } " / \u{3a3}" (LAMBDA) sup { "2" } })) "Between the two." }
                dt { "Shallow" }
                dd {
                    "The first L" sub { "s" } " = " (report.skip_shallow) " convolutions. They are analysed, never merged, and not "
                    "counted in any number of the net."
                }
                dt { "Health" }
                dd {
                    "Near-dead kernels have a norm below 1 % of the layer's median. Duplicates equal an earlier kernel in every number, "
                    "sign-flipped ones its negative; near duplicates have a neighbour of similarity above 0.9999. Subnormal numbers lie below the normal range of their type."
                }
            }
            p.note {
                "The method: Wang, Almakky, Ma, Saeed and Yaqub, "
                i { "In-Model Merging for Enhancing the Robustness of Medical Imaging Classification Models" }
                ", arXiv 2502.20516."
            }
        }
    }
}

const LAMBDA: PreEscaped<&str> = PreEscaped("<i>\u{3bb}</i>");

fn kernel(index: &str) -> Markup {
    html! { i { "K" } sub { i { (index) } } }
}

fn formula(formula: Markup) -> Markup {
    html! { span.formula { (formula) } " " }
}
