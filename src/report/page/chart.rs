//! The chart along which τ moves.

use std::fmt::Write;

use maud::{Markup, html};

use crate::analysis::{Curve, NetNumbers};

/// Height in the chart's own units; it is as many wide as there are steps between thresholds.
const HEIGHT: f64 = 100.0;

/// The shares of the net's kernels and pairs above τ. The script moves its cursor.
pub fn chart(net: &NetNumbers, label: &str) -> Markup {
    let kernels = steps(&net.kernels_above, net.kernels as f64);
    let pairs = steps(&net.pairs_above, net.pairs as f64);
    html! {
        div.chart #chart {
            div.plot {
                svg viewBox={ "0 0 200 " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(label) {
                    @for y in [25, 50, 75] { line.grid x1="0" x2="200" y1=(y) y2=(y) {} }
                    @for x in [50, 100, 150] { line.grid x1=(x) x2=(x) y1="0" y2=(HEIGHT) {} }
                    path.area d={ (kernels) "V" (HEIGHT) "H0Z" } {}
                    path.kernels d=(kernels) {}
                    path.pairs d=(pairs) {}
                }
                div.cursor #cursor hidden { i.dot.kernels {} i.dot.pairs {} }
            }
            div.y-axis aria-hidden="true" {
                @for share in [100, 75, 50, 25, 0] { span { (share) " %" } }
            }
            div.x-axis aria-hidden="true" {
                @for tau in ["\u{2212}1", "\u{2212}0.5", "0", "0.5", "1"] { span { (tau) } }
            }
            p.legend aria-hidden="true" {
                span.key.kernels { "kernels that can merge" }
                span.key.pairs { "pairs above \u{3c4}" }
            }
        }
    }
}

/// A falling curve of shares as a path through the counts at each threshold.
fn steps(curve: &Curve, whole: f64) -> String {
    let mut path = String::new();
    let mut last = None;
    let counts = curve.above();
    for (x, &count) in counts.iter().enumerate() {
        // Points within a level stretch are redundant.
        let level = last == Some(count) && counts.get(x + 1) == Some(&count);
        last = Some(count);
        if level {
            continue;
        }
        let share = if whole > 0.0 {
            count as f64 / whole
        } else {
            0.0
        };
        let command = if path.is_empty() { 'M' } else { 'L' };
        let y = (HEIGHT * (1.0 - share) * 100.0).round() / 100.0;
        write!(path, "{command}{x} {y}").expect("a string takes all");
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_goes_through_its_counts() {
        let curve = Curve::from_counts(vec![4, 4, 4, 4, 1, 0, 0]);
        assert_eq!(steps(&curve, 4.0), "M0 0L3 0L4 75L5 100L6 100");
        assert_eq!(steps(&curve, 0.0), "M0 100L3 100L4 100L5 100L6 100");
    }
}
