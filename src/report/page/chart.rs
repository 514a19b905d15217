//! The chart along which τ moves.

use std::fmt::Write;

use maud::{Markup, html};

use crate::analysis::{Curve, NetNumbers};

/// Height in the chart's own units; it is as many wide as there are steps between thresholds.
const HEIGHT: f64 = 100.0;

/// The shares of the net's kernels and pairs above τ. The script moves its cursor.
pub fn chart(net: &NetNumbers, label: &str) -> Markup {
    let counts = |curve: &Curve| {
        curve
            .above()
            .iter()
            .map(|&count| count as f64)
            .collect::<Vec<_>>()
    };
    let kernels = steps(&counts(&net.kernels_above), net.kernels as f64);
    let pairs = steps(&counts(&net.pairs_above), net.pairs as f64);
    let kernels_by_chance = steps(&net.by_chance.kernels_above, net.kernels as f64);
    let pairs_by_chance = steps(&net.by_chance.pairs_above, net.pairs as f64);
    html! {
        div.chart #chart {
            div.plot {
                svg viewBox={ "0 0 200 " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(label) {
                    @for y in [25, 50, 75] { line.grid x1="0" x2="200" y1=(y) y2=(y) {} }
                    @for x in [50, 100, 150] { line.grid x1=(x) x2=(x) y1="0" y2=(HEIGHT) {} }
                    path.kernels.chance d=(kernels_by_chance) {}
                    path.pairs.chance d=(pairs_by_chance) {}
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
                span.key.kernels.chance { "kernels, by chance" }
                span.key.pairs.chance { "pairs, by chance" }
            }
        }
    }
}

/// A falling curve of shares as a path through the counts at each threshold.
fn steps(counts: &[f64], whole: f64) -> String {
    let mut path = String::new();
    let mut last = None;
    let height = |&count: &f64| {
        let share = if whole > 0.0 { count / whole } else { 0.0 };
        (HEIGHT * (1.0 - share) * 100.0).round() / 100.0
    };
    let heights: Vec<f64> = counts.iter().map(height).collect();
    for (x, &y) in heights.iter().enumerate() {
        // Points within a level stretch are redundant.
        let level = last == Some(y) && heights.get(x + 1) == Some(&y);
        last = Some(y);
        if level {
            continue;
        }
        let command = if path.is_empty() { 'M' } else { 'L' };
        write!(path, "{command}{x} {y}").expect("a string takes all");
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_goes_through_its_counts() {
        let counts = [4.0, 4.0, 4.0, 4.0, 1.0, 0.0, 0.0];
        assert_eq!(steps(&counts, 4.0), "M0 0L3 0L4 75L5 100L6 100");
        assert_eq!(steps(&counts, 0.0), "M0 100L6 100");
    }
}
