//! The kernels' greatest similarities.

use plotters::element::Rectangle;
use plotters::style::Color;

use crate::analysis::Spread;
use crate::layers::Layer;
use crate::similarity::Nearest;

use super::axis::Axis;
use super::canvas::drawn;
use super::chart::{Caption, ChartFigure, HEIGHT, LegendKey, WIDTH, empty};
use super::colours::{ACCENT, MARK};
use super::heading;
use super::lines::upright;
use super::text::{self, things};
use super::{Figure, FigureKind};

/// Bins in 1, and in the tenth to which they are snapped.
const BINS: i32 = 50;
const IN_A_TENTH: i32 = 5;

/// The bin that a similarity is in; 1 is in the last one.
fn bin(similarity: f64) -> i32 {
    // The product may round to the other side of an edge.
    let near = (similarity * f64::from(BINS)).floor() as i32;
    let below = i32::from(similarity < edge(near));
    let bin = near - below + i32::from(similarity >= edge(near + 1));
    bin.clamp(-BINS, BINS - 1)
}

/// Where a bin begins.
fn edge(bin: i32) -> f64 {
    f64::from(bin) / f64::from(BINS)
}

/// A histogram of the kernels' greatest similarities.
pub(super) fn nearest(layer: &Layer, nearest: &Nearest) -> Figure {
    let neighbours = nearest.by_kernel();
    let similarities: Vec<f64> = neighbours.iter().flatten().map(|n| n.similarity).collect();
    let bins: Vec<i32> = similarities.iter().map(|&s| bin(s)).collect();
    let first = bins
        .iter()
        .min()
        .map_or(0, |bin| bin.div_euclid(IN_A_TENTH));
    let last = bins
        .iter()
        .max()
        .map_or(9, |bin| bin.div_euclid(IN_A_TENTH));
    let first = first * IN_A_TENTH;
    let mut counts = vec![0u64; ((last + 1) * IN_A_TENTH - first) as usize];
    for bin in bins {
        counts[(bin - first) as usize] += 1;
    }

    let spread = Spread::of(&similarities);
    let legend = match spread {
        None => Vec::new(),
        Some(spread) => vec![
            (
                LegendKey::Bar(ACCENT, 1.0),
                "kernels in bins of 0.02".to_owned(),
            ),
            (
                LegendKey::Dashed(MARK),
                format!("median {}", text::threshold(spread.median)),
            ),
        ],
    };
    let alone = neighbours.len() - similarities.len();
    let notes = match alone {
        0 => Vec::new(),
        _ => vec![format!(
            "{} with no other to be compared with.",
            things(alone as u64, "kernel")
        )],
    };
    let range = edge(first)..edge(first + counts.len() as i32);
    let x = Axis::linear(range, 8, "similarity to the most similar kernel");
    let figure = ChartFigure {
        kind: FigureKind::Nearest,
        caption: Caption::new(
            WIDTH,
            &heading::title(layer),
            &heading::subtitle("Each kernel\u{2019}s greatest similarity", layer),
            legend,
            &notes,
        ),
        y: Axis::counts(counts.iter().copied().max().unwrap_or(0), "kernels"),
        height: HEIGHT,
        second: None,
        right: ChartFigure::least_right(&x),
        x,
    };
    figure.draw(|canvas, chart, place| {
        let Some(spread) = spread else {
            empty(canvas, place, "No two kernels can be compared.");
            return;
        };
        let gap = (edge(first + 1) - edge(first)) * 0.04;
        let bars = counts.iter().enumerate().filter(|(_, count)| **count > 0);
        drawn(chart.draw_series(bars.map(|(place, &count)| {
            let bin = first + place as i32;
            let corners = [(edge(bin) + gap, 0.0), (edge(bin + 1) - gap, count as f64)];
            Rectangle::new(corners, ACCENT.filled())
        })));
        upright(canvas, chart, spread.median, MARK, true);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_begin_at_their_edges() {
        for at in -BINS..BINS {
            assert_eq!(bin(edge(at)), at);
            assert_eq!(bin(edge(at).next_down()), (at - 1).max(-BINS));
        }
        assert_eq!(bin(1.0), BINS - 1);
    }
}
