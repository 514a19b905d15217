//! The layers' ranks over depth.

use plotters::series::LineSeries;
use plotters::style::RGBColor;

use crate::analysis::Spectrum;
use crate::layers::{Kind, Layer};
use crate::report::figures::axis::Axis;
use crate::report::figures::canvas::{Canvas, Chart, drawn, line};
use crate::report::figures::chart::{Caption, ChartFigure, HEIGHT, LegendKey, PADDING};
use crate::report::figures::colours::{ACCENT, MARK, SECOND, SOFT};
use crate::report::figures::lines::{DASH, DOT, dots, patterned_line};
use crate::report::figures::text::things;
use crate::report::figures::{DepthPoint, Figure, FigureKind};

use super::Row;
use super::kinds::{Look, looks};

/// Up to this many layers have dots on their lines.
const DOTS: usize = 60;
/// Radius of such a dot.
const RADIUS: f64 = 2.6;

/// The greatest rank that a layer's kernels can have: of kernels of d numbers, as many as there are kernels, and no more
/// than d in each group.
fn greatest_rank(layer: &Layer) -> f64 {
    (layer.kernels as f64).min(greatest_by_numbers(layer))
}

/// The greatest rank that kernels of so many numbers could have, however many they were.
fn greatest_by_numbers(layer: &Layer) -> f64 {
    let numbers: f64 = layer.shape.iter().map(|&extent| extent as f64).product();
    layer.groups_compared() as f64 * numbers / layer.kernels as f64
}

/// Whether its kernels are more than its greatest rank, which their numbers bound then.
fn is_bound_by_numbers(layer: &Layer) -> bool {
    layer.kernels as f64 > greatest_by_numbers(layer)
}

/// The ranks as shares of the greatest that each layer can have, over depth; `None` where no layer has a spectrum.
pub fn ranks_over_depth(layers: &[DepthPoint<'_>], skip_shallow: usize) -> Option<Figure> {
    let row = Row::new(layers);
    let spectrum = |point: &&DepthPoint<'_>| point.numbers.spectrum.clone();
    let spectra: Vec<Option<Spectrum>> = row.layers.iter().map(spectrum).collect();
    if spectra.iter().all(Option::is_none) {
        return None;
    }
    type Rank = fn(&Spectrum) -> f64;
    let ranks: [(&str, RGBColor, Rank); 3] = [
        ("effective rank", ACCENT, |s| s.effective_rank),
        ("participation ratio", SECOND, |s| s.participation_ratio),
        ("stable rank", MARK, |s| s.stable_rank),
    ];
    let y = Axis::percent(100.0, "share of the greatest possible rank");
    let x = row.axis(&y);
    let mut legend: Vec<(LegendKey, String)> = ranks
        .iter()
        .map(|(name, colour, _)| (LegendKey::Line(*colour, 2.0), (*name).to_owned()))
        .collect();
    let joined = row.layers.iter().filter(|layer| is_in_line(layer.facts));
    let joined: Vec<&DepthPoint<'_>> = joined.copied().collect();
    let looks = looks(&joined);
    if looks.len() > 1 {
        let keys = looks.into_iter();
        legend.extend(keys.map(|(look, names)| (key(look), names)));
    }
    legend.extend(row.shallow_key(skip_shallow));
    let mut notes = row.notes();
    let missing = spectra.iter().filter(|spectrum| spectrum.is_none()).count();
    if missing > 0 {
        notes.push(format!(
            "{} without spectrum.",
            things(missing as u64, "layer")
        ));
    }
    if are_parted(&joined) {
        notes.push(
            "Of a kind, layers of n > d and those of n \u{2264} d are joined apart.".to_owned(),
        );
    }
    if row.layers.iter().any(|layer| !layer.facts.selected()) {
        notes.push("Layers left alone are joined with no others.".to_owned());
    }
    let figure = ChartFigure {
        kind: FigureKind::RanksOverDepth,
        caption: Caption::new(
            row.width,
            "Ranks over depth",
            &format!(
                "Of n kernels of d numbers, the greatest possible rank is min(n, d) \u{b7} {}",
                things(layers.len() as u64, "layer")
            ),
            legend,
            &notes,
        ),
        x,
        y,
        height: HEIGHT,
        second: None,
        right: PADDING,
    };
    Some(figure.draw(|canvas, chart, _| {
        row.draw_cuts(canvas, chart);
        let sequences = sequences(&row);
        for (_, colour, rank) in ranks {
            let points: Vec<Option<(f64, f64)>> = (0..spectra.len())
                .map(|place| {
                    let rank = rank(spectra[place].as_ref()?);
                    let share = rank / greatest_rank(row.layers[place].facts);
                    Some((place as f64, (100.0 * share).min(100.0)))
                })
                .collect();
            let lone = draw_lines(canvas, chart, &sequences, &points, colour);
            let dotted: Vec<(f64, f64)> = match points.len() <= DOTS {
                true => points.into_iter().flatten().collect(),
                false => lone,
            };
            dots(chart, dotted, RADIUS, colour);
        }
    }))
}

fn key(look: Look) -> LegendKey {
    match look {
        Look::Conv => LegendKey::Line(SOFT, 2.0),
        Look::Pointwise => LegendKey::Dashed(SOFT),
        Look::Other => LegendKey::Dotted(SOFT),
    }
}

/// Pixels of a dash and of the gap after it, of lines whose colours say what is drawn; `None` for a whole line.
fn dash(look: Look) -> Option<[f64; 2]> {
    match look {
        Look::Conv => None,
        Look::Pointwise => Some(DASH),
        Look::Other => Some(DOT),
    }
}

/// Places whose layers follow each other.
struct Sequence {
    look: Look,
    places: Vec<usize>,
}

/// Whether a layer may be joined with others.
fn is_in_line(layer: &Layer) -> bool {
    layer.selected() && layer.depth.is_some()
}

/// The layers of each kind within a network, in the order of their depth; those that widen a net and those that narrow it
/// apart, since their ranks are shares of something else. One that is left alone or has no depth is by itself.
fn sequences(row: &Row<'_, '_>) -> Vec<Sequence> {
    let networks = row.networks();
    let facts = |place: &usize| row.layers[*place].facts;
    let follow = |before: &usize, after: &usize| {
        let one_network = networks[*before] == networks[*after];
        is_in_line(facts(before)) && is_in_line(facts(after)) && one_network
    };
    let mut sequences = Vec::new();
    for kind in Kind::ALL {
        for bound_by_numbers in [false, true] {
            let places = (0..row.layers.len()).filter(|place| {
                let layer = facts(place);
                layer.kind == kind && is_bound_by_numbers(layer) == bound_by_numbers
            });
            let places: Vec<usize> = places.collect();
            sequences.extend(places.chunk_by(follow).map(|places| Sequence {
                look: Look::of(kind),
                places: places.to_vec(),
            }));
        }
    }
    sequences
}

/// Whether any kind has layers bound by the number of their kernels and others bound by the numbers in each.
fn are_parted(joined: &[&DepthPoint<'_>]) -> bool {
    Kind::ALL.into_iter().any(|kind| {
        let layers = joined.iter().map(|layer| layer.facts);
        let mut bound = layers
            .filter(|layer| layer.kind == kind)
            .map(is_bound_by_numbers);
        let first = bound.next();
        first.is_some_and(|first| bound.any(|other| other != first))
    })
}

/// Joins the points of each sequence, as far as no layer without a spectrum is between them; the points that are joined
/// with none are given back.
fn draw_lines(
    canvas: &Canvas,
    chart: &mut Chart<'_>,
    sequences: &[Sequence],
    points: &[Option<(f64, f64)>],
    colour: RGBColor,
) -> Vec<(f64, f64)> {
    let mut lone = Vec::new();
    for Sequence { look, places } in sequences {
        let points: Vec<Option<(f64, f64)>> = places.iter().map(|&place| points[place]).collect();
        for run in points.split(Option::is_none) {
            let run: Vec<(f64, f64)> = run.iter().flatten().copied().collect();
            match (&run[..], dash(*look)) {
                ([], _) => {}
                ([point], _) => lone.push(*point),
                (_, None) => {
                    drawn(chart.draw_series(LineSeries::new(run, line(colour, 2.0))));
                }
                (_, Some(dash)) => patterned_line(canvas, chart, run, colour, dash),
            }
        }
    }
    lone
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Reason;
    use crate::report::figures::tests::samples::net;

    #[test]
    fn only_layers_of_one_kind_that_follow_each_other_are_joined() {
        let mut net = net(8, 1);
        for (place, layer) in net.iter_mut().enumerate() {
            let kind = [Kind::Conv, Kind::Pointwise][place % 2];
            layer.facts.kind = kind;
            layer.facts.depth = Some(place % 6 + 1);
        }
        // The last two of six are those of another network of the file; one is left alone.
        net[3].facts.reason = Some(Reason::Excluded);
        let points: Vec<DepthPoint<'_>> = net
            .iter()
            .map(|layer| DepthPoint {
                facts: &layer.facts,
                numbers: &layer.numbers,
            })
            .collect();
        let found = sequences(&Row::new(&points));
        let places: Vec<_> = found.iter().map(|of| (of.look, &of.places[..])).collect();
        assert_eq!(
            places,
            [
                (Look::Conv, &[0][..]),
                (Look::Conv, &[2, 4]),
                (Look::Conv, &[6]),
                (Look::Pointwise, &[1]),
                (Look::Pointwise, &[3]),
                (Look::Pointwise, &[5]),
                (Look::Pointwise, &[7]),
            ]
        );
    }

    #[test]
    fn layers_that_widen_and_those_that_narrow_are_joined_apart() {
        let mut net = net(4, 0);
        for (place, layer) in net.iter_mut().enumerate() {
            let shape = [[64, 256, 1, 1], [256, 64, 1, 1]][place % 2];
            layer.facts = Layer {
                depth: Some(place + 1),
                ..Layer::sample("w", Kind::Pointwise, &shape)
            };
        }
        let points: Vec<DepthPoint<'_>> = net
            .iter()
            .map(|layer| DepthPoint {
                facts: &layer.facts,
                numbers: &layer.numbers,
            })
            .collect();
        let row = Row::new(&points);
        let places: Vec<_> = sequences(&row).into_iter().map(|of| of.places).collect();
        assert_eq!(places, [[0, 2], [1, 3]]);
        assert!(are_parted(&row.layers) && !are_parted(&row.layers[..1]));
    }

    #[test]
    fn no_rank_is_greater_than_kernels_and_numbers_allow() {
        let greatest = |kind, groups, shape: &[usize]| {
            greatest_rank(&Layer {
                groups,
                ..Layer::sample("w", kind, shape)
            })
        };
        assert_eq!(greatest(Kind::Conv, 1, &[64, 2, 3, 3]), 18.0);
        assert_eq!(greatest(Kind::Conv, 1, &[8, 2, 3, 3]), 8.0);
        // In each of four groups 16 kernels of 9 numbers.
        assert_eq!(greatest(Kind::Conv, 4, &[64, 1, 3, 3]), 36.0);
        // All of a depthwise layer's kernels are compared.
        assert_eq!(greatest(Kind::Depthwise, 64, &[64, 1, 3, 3]), 9.0);
    }
}
