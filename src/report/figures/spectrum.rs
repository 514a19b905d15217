//! Eigenvalues.

use plotters::series::LineSeries;
use plotters::style::RGBColor;

use crate::analysis::Spectrum;
use crate::layers::Layer;

use super::axis::Axis;
use super::canvas::{drawn, line};
use super::chart::{Caption, ChartFigure, HEIGHT, LegendKey, WIDTH, empty};
use super::colours::{ACCENT, INK, MARK, SOFT};
use super::heading;
use super::lines::{dots, upright};
use super::text::{count, decimal, things};
use super::{Figure, FigureKind};

/// Most eigenvalues drawn: more than one per pixel cannot be seen.
const DRAWN: usize = 1000;
/// Up to this many are dots as well.
const DOTS: usize = 40;

/// The ranks to mark: each with its colour, where it is and what the legend says.
fn marks(spectrum: &Spectrum) -> [(RGBColor, f64, String); 3] {
    let [for_90, for_99] = [spectrum.for_90_percent, spectrum.for_99_percent].map(|n| n as u64);
    let rank = spectrum.effective_rank;
    [
        (MARK, rank, format!("effective rank {}", decimal(rank, 1))),
        (
            INK,
            for_90 as f64,
            format!("90\u{a0}% of the energy: {}", count(for_90)),
        ),
        (SOFT, for_99 as f64, format!("99\u{a0}%: {}", count(for_99))),
    ]
}

/// A layer's eigenvalues in falling order, on a logarithmic scale, with its ranks marked.
pub(super) fn spectrum(layer: &Layer, spectrum: &Spectrum) -> Figure {
    let eigenvalues = &spectrum.eigenvalues;
    let positive = eigenvalues.partition_point(|&eigenvalue| eigenvalue > 0.0);
    let every = positive.div_ceil(DRAWN).max(1);
    let points: Vec<(f64, f64)> = eigenvalues[..positive]
        .iter()
        .enumerate()
        .filter(|(place, _)| place % every == 0 || place + 1 == positive)
        .map(|(place, eigenvalue)| ((place + 1) as f64, eigenvalue.log10()))
        .collect();
    let marks = marks(spectrum);
    // Whole below and dashed above, since two may be in one place.
    let key = |colour| {
        if colour == MARK {
            LegendKey::Line(colour, 1.5)
        } else {
            LegendKey::Dashed(colour)
        }
    };
    let legend = match positive {
        0 => Vec::new(),
        _ => {
            let marked = marks.iter();
            let marked = marked.map(|(colour, _, text)| (key(*colour), text.clone()));
            let curve = (LegendKey::Line(ACCENT, 2.0), "eigenvalues".to_owned());
            [curve].into_iter().chain(marked).collect()
        }
    };
    let n = eigenvalues.len();
    let mut x = Axis::whole(1, n.max(1), 8, "eigenvalue, in falling order");
    let pad = (0.01 * n as f64).max(0.5);
    x.range = 1.0 - pad..n.max(1) as f64 + pad;
    let figure = ChartFigure {
        kind: FigureKind::Spectrum,
        caption: Caption::new(
            WIDTH,
            &heading::title(layer),
            &heading::subtitle("Spectrum of the Gram matrix", layer),
            legend,
            &notes(spectrum, positive),
        ),
        y: match eigenvalues[..positive] {
            [greatest, ..] => Axis::powers(eigenvalues[positive - 1], greatest, "eigenvalue"),
            [] => Axis::powers(1.0, 1.0, "eigenvalue"),
        },
        height: HEIGHT,
        second: None,
        right: ChartFigure::least_right(&x),
        x,
    };
    figure.draw(|canvas, chart, place| {
        if positive == 0 {
            empty(canvas, place, "All eigenvalues are 0.");
            return;
        }
        for (colour, at, _) in &marks {
            upright(canvas, chart, *at, *colour, *colour != MARK);
        }
        drawn(chart.draw_series(LineSeries::new(points.clone(), line(ACCENT, 2.0))));
        if positive <= DOTS {
            dots(chart, points, 3.0, ACCENT);
        }
    })
}

/// What is said below the figure; so many eigenvalues are positive.
fn notes(spectrum: &Spectrum, positive: usize) -> Vec<String> {
    let zeros = spectrum.eigenvalues.len() - positive;
    let mut notes = vec![format!(
        "Stable rank {}, participation ratio {}.",
        decimal(spectrum.stable_rank, 1),
        decimal(spectrum.participation_ratio, 1)
    )];
    if zeros > 0 && positive > 0 {
        notes.push(format!(
            "{} {} 0 and not drawn.",
            things(zeros as u64, "eigenvalue"),
            if zeros == 1 { "is" } else { "are" }
        ));
    }
    notes
}
