//! Figures show what they were given.

use super::drawing::{Drawing, corners, pixels};
use super::samples::{Sample, epochs, net, pictures};
use crate::analysis::SimilarityMap;
use crate::report::figures::colours::{ACCENT, APART, MARK, diverging, hex, palette};
use crate::report::figures::*;
use crate::similarity::{Nearest, Neighbour};

fn colour(similarity: f32) -> [u8; 3] {
    let colour = palette()[usize::from(diverging(similarity))];
    [colour.0, colour.1, colour.2]
}

#[test]
fn a_cell_has_the_colour_of_its_similarity() {
    let layer = Sample::new("layer1.conv.weight", 64, 1);
    let drawing = Drawing::of(&similarity(&layer.facts, &layer.drawings, None));
    let clustered = layer.drawings.clustered.as_ref().unwrap();
    assert_eq!(drawing.pictures.len(), 3, "two maps and a colour bar");
    for (picture, map) in drawing
        .pictures
        .iter()
        .zip([&layer.drawings.in_file_order, clustered])
    {
        assert_eq!((picture.width, picture.height), (64, 64));
        assert_eq!(picture.place[2..], [512.0, 512.0], "8 pixels a cell");
        assert!(map.mean.iter().any(|cell| cell.is_nan()));
        for (pixel, &similarity) in picture.pixels.iter().zip(&map.max) {
            assert_eq!(*pixel, colour(similarity));
        }
    }
    let bar = &drawing.pictures[2];
    assert_eq!((bar.width, bar.height), (1, 127));
    assert_eq!(
        [bar.pixels[0], bar.pixels[63], bar.pixels[126]],
        [1.0, 0.0, -1.0].map(colour)
    );
    for label in [
        "layer1.conv.weight",
        "depth\u{a0}7 \u{b7} conv 64\u{a0}\u{d7}\u{a0}64\u{a0}\u{d7}\u{a0}3\u{a0}\u{d7}\u{a0}3",
        "in file order",
        "clustered",
        "position in the clustered order",
        "60",
        "\u{2212}1.0",
        "\u{2212}0.5",
        "0.0",
        "0.5",
        "1.0",
        "not compared: kernels of zeros",
    ] {
        assert!(drawing.says(label), "{label}");
    }
    assert!(!drawing.says("merged") && !drawing.says("Each cell"));
}

#[test]
fn a_reduced_map_has_maxima_above_and_means_below() {
    let mut layer = Sample::new("big.weight", 1024, 1);
    layer.drawings.clustered = None;
    let drawing = Drawing::of(&similarity(&layer.facts, &layer.drawings, None));
    let map = &layer.drawings.in_file_order;
    let picture = &drawing.pictures[0];
    assert_eq!((picture.width, drawing.pictures.len()), (512, 2));
    let mut differ = 0;
    for row in 0..512 {
        for column in 0..512 {
            let at = row * 512 + column;
            let expected = if row > column {
                map.mean[at]
            } else {
                map.max[at]
            };
            assert_eq!(picture.pixels[at], colour(expected), "{row}, {column}");
            differ += usize::from(map.mean[at] != map.max[at]);
        }
    }
    assert!(differ > 100_000);
    assert!(drawing.says("Each cell: 2\u{a0}\u{d7}\u{a0}2 kernels; maximum on and above"));
    assert!(drawing.says("too large to be clustered"));
    // A hot pair is seen where its cell is.
    let cells = |hot: usize| {
        let mut max = map.max.clone();
        max[hot] = 0.99;
        max
    };
    let hot = 7 * 512 + 300;
    layer.drawings.in_file_order = SimilarityMap {
        max: cells(hot),
        ..map.clone()
    };
    let drawing = Drawing::of(&similarity(&layer.facts, &layer.drawings, None));
    assert_eq!(drawing.pictures[0].pixels[hot], colour(0.99));
}

#[test]
fn merged_kernels_are_marked() {
    let layer = Sample::new("layer1.conv.weight", 64, 1);
    let merged = layer.merges.kernels.len();
    assert!(merged > 10);
    let drawing = Drawing::of(&similarity(
        &layer.facts,
        &layer.drawings,
        Some(&layer.merges),
    ));
    assert_eq!(
        drawing.shapes(&hex(MARK)),
        4 * merged + 1,
        "on two sides of two maps, and in the legend"
    );
    assert!(drawing.says(&format!("{merged} of 64 kernels merged")));
    // The first merged kernel's mark is above its column.
    let first = *layer.merges.kernels.first().unwrap() as f64;
    let [left, top, ..] = drawing.pictures[0].place;
    let mark = (left + 8.0 * first + 1.0, top - 8.0);
    let marks = drawing
        .paths
        .iter()
        .filter(|path| path.1 == hex(MARK))
        .flat_map(|path| corners(&path.0));
    assert!(
        marks.into_iter().any(|corners| corners[0] == mark),
        "{mark:?}"
    );
}

#[test]
fn one_kernel_and_two_are_drawn_small() {
    let one = Sample::new("one", 1, 1);
    let drawing = Drawing::of(&similarity(&one.facts, &one.drawings, None));
    assert_eq!(drawing.pictures.len(), 2, "a map and the colour bar");
    assert_eq!(drawing.pictures[0].place[2..], [48.0, 48.0]);
    assert!(drawing.says("no other kernel to compare it with"));
    for figure in [
        layer_thresholds(&one.facts, &one.numbers, None),
        nearest(&one.facts, &one.numbers.nearest),
    ] {
        assert!(Drawing::of(&figure).says("No two kernels can be compared."));
    }
    let two = Sample::new("two", 2, 1);
    let drawing = Drawing::of(&similarity(&two.facts, &two.drawings, None));
    assert_eq!(drawing.pictures[0].place[2..], [96.0, 96.0]);
    assert_eq!(
        drawing.pictures.len(),
        2,
        "the clustered order is that of the file"
    );
}

#[test]
fn groups_are_told_of() {
    let layer = Sample::new("grouped", 96, 4);
    let drawing = Drawing::of(&similarity(&layer.facts, &layer.drawings, None));
    assert!(drawing.says("4 groups"));
    assert!(drawing.says("not compared: kernels of different groups"));
    assert_eq!(drawing.pictures[0].pixels[95], colour(f32::NAN));
}

/// The points of the first path of a colour.
fn points(drawing: &Drawing, colour: &str) -> Vec<(f64, f64)> {
    let path = drawing.paths.iter().find(|path| path.1 == colour);
    let path = path.unwrap_or_else(|| panic!("a path of {colour}"));
    corners(&path.0).swap_remove(0)
}

#[test]
fn thresholds_are_exact() {
    let layer = Sample::new("layer1.conv.weight", 64, 1);
    let figure = layer_thresholds(&layer.facts, &layer.numbers, Some(&layer.merges));
    let drawing = Drawing::of(&figure);
    let curve = points(&drawing, &hex(ACCENT));
    // Not all thresholds, but those at which anything changes, from tenth to tenth; and no points within level stretches.
    let above = layer.numbers.kernels_above.above();
    let [first, .., last] = curve[..] else {
        panic!("{curve:?}");
    };
    let is_between = |from: usize, to: usize| {
        let step = (last.0 - first.0) / (to - from) as f64;
        curve.iter().all(|(x, y)| {
            let above = above[from + ((x - first.0) / step).round() as usize];
            // From 0 at the bottom to all at the top of 260 pixels.
            let expected = last.1 - 260.0 * above as f64 / 64.0;
            (y - expected).abs() < 0.25
        })
    };
    let tenths = || (0..above.len()).step_by(10);
    let mut spans = tenths().flat_map(|from| tenths().map(move |to| (from, to)));
    let span = spans.find(|&(from, to)| from < to && is_between(from, to));
    let (from, to) = span.expect("the counts of some of the thresholds");
    assert!(to - from < 200);
    assert_eq!(above[from], 63, "all but one of zeros are above the first");
    assert_eq!(above[to], 0, "none above the last");
    let hints = &layer.numbers.hints;
    assert_eq!(
        drawing.circles.len(),
        hints.len() + 1,
        "with the one of the legend"
    );
    let five = hints.iter().find(|hint| hint.percent == 5.0).unwrap();
    assert!(drawing.says(&format!(
        "= {} for 5\u{a0}%: {} kernels",
        five.tau, five.kernels
    )));
    assert!(drawing.says("\u{3c4} used: 0.55"));
    assert!(drawing.says(&format!("pairs above \u{3c4} (of {})", layer.numbers.pairs)));
    let net = Drawing::of(&net_thresholds(&layer.net()));
    assert!(net.says("All layers that take part") && !net.says("used"));
}

#[test]
fn bars_are_as_high_as_their_counts() {
    let layer = Sample::new("layer", 8, 1).facts;
    let similarities = [0.3, 0.31, 0.319, 0.32, 0.3999, 0.55, 1.0];
    let neighbours = similarities.map(|similarity| {
        Some(Neighbour {
            kernel: 0,
            similarity,
        })
    });
    let neighbours = neighbours.into_iter().chain([None]).collect();
    let drawing = Drawing::of(&nearest(&layer, &Nearest::from_neighbours(neighbours)));
    let bars = drawing
        .paths
        .iter()
        .find(|path| path.1 == hex(ACCENT))
        .unwrap();
    let heights: Vec<f64> = corners(&bars.0)
        .iter()
        .map(|bar| bar[2].1 - bar[0].1)
        .collect();
    let of = |count: f64| 260.0 * count / 3.0;
    let expected = [3.0, 1.0, 1.0, 1.0, 1.0].map(of);
    assert_eq!(heights.len(), expected.len());
    for (height, expected) in heights.iter().zip(expected) {
        assert!((height - expected).abs() < 0.11, "{heights:?}");
    }
    assert!(drawing.says("median 0.32"));
    assert!(drawing.says("1 kernel with no other"));
}

#[test]
fn ranks_are_marked_in_the_spectrum() {
    let layer = Sample::new("layer", 64, 1);
    let of = layer.numbers.spectrum.as_ref().unwrap();
    let drawing = Drawing::of(&spectrum(&layer.facts, of));
    assert_eq!(points(&drawing, &hex(ACCENT)).len(), 60);
    assert!(drawing.says("4 eigenvalues are 0 and not drawn."));
    assert!(drawing.says(&format!("effective rank {:.1}", of.effective_rank)));
    assert!(drawing.says(&format!("90\u{a0}% of the energy: {}", of.for_90_percent)));
    assert!(drawing.says(&format!("99\u{a0}%: {}", of.for_99_percent)));
    let mut zeros = of.clone();
    zeros.eigenvalues = vec![0.0; 64];
    let drawing = Drawing::of(&spectrum(&layer.facts, &zeros));
    assert!(drawing.says("All eigenvalues are 0."));
    let mut many = of.clone();
    many.eigenvalues = (0..4096).map(|i| f64::from(5000 - i)).collect();
    let figure = spectrum(&layer.facts, &many);
    assert!(
        figure.svg(Titles::Drawn).len() < 20_000,
        "{}",
        figure.svg(Titles::Drawn).len()
    );
}

#[test]
fn pairs_are_pictures_beside_each_other() {
    let layer = Sample::new("conv1.weight", 64, 1).facts;
    let mut pairs = pictures(2, 2, 1);
    pairs[0].pictures[0].values = vec![0.5, -0.5, 0.0, f32::NAN];
    pairs[0].pictures[1].values = vec![0.25, -0.125, 0.0, 0.5];
    let drawing = Drawing::of(&kernels(&layer, &pairs));
    assert_eq!(drawing.pictures.len(), 18);
    assert_eq!(
        drawing.pictures[0].pixels,
        [1.0, -1.0, 0.0, f32::NAN].map(colour)
    );
    assert_eq!(
        drawing.pictures[1].pixels,
        [0.5, -0.25, 0.0, 1.0].map(colour)
    );
    let [left, right] = [0, 1].map(|place| drawing.pictures[place].place);
    assert_eq!((left[1], left[2]), (right[1], 72.0));
    for label in [
        "most similar",
        "most orthogonal",
        "most opposite",
        "sim = 0.83",
        "sim = \u{2212}0.71",
        "kernels 3, 40",
    ] {
        assert!(drawing.says(label), "{label}");
    }
    assert!(drawing.says("Mean over 64 input channels"));

    let mut coloured = pictures(1, 1, 3);
    coloured[0].pictures[0].values = vec![-1.0, 0.0, 1.0];
    coloured[0].pictures[1].values = vec![-1.0, -1.0, 0.5];
    let drawing = Drawing::of(&kernels(&layer, &coloured));
    assert_eq!(drawing.pictures[0].pixels, [[0, 128, 255]]);
    assert_eq!(drawing.pictures[1].pixels, [[0, 0, 191]]);
}

#[test]
fn shallow_layers_are_grey_and_cut_off() {
    let net = net(17, 3);
    let points: Vec<DepthPoint<'_>> = net
        .iter()
        .map(|layer| DepthPoint {
            facts: &layer.facts,
            numbers: &layer.numbers,
        })
        .collect();
    let drawing = Drawing::of(&nearest_over_depth(&points, 3));
    // For each layer a box, its sides and two lines; of the legend a box and its sides.
    assert_eq!(drawing.shapes(&hex(APART)), 3 * 4 + 2);
    assert_eq!(drawing.shapes(&hex(ACCENT)), 13 * 4 + 2);
    assert_eq!(drawing.shapes(&hex(MARK)), 4 + 2, "the linear layer");
    for label in ["conv", "linear", "left alone"] {
        assert!(
            drawing.texts.iter().any(|text| text.text == label),
            "{label}"
        );
    }
    assert_eq!(drawing.circles.len(), 17 + 1);
    assert!(drawing.says("Ls = 3") && drawing.says("1 layer without depth"));
    let ranks = Drawing::of(&ranks_over_depth(&points, 3).unwrap());
    assert!(ranks.says("Ls = 3") && ranks.says("2 layers without spectrum"));
    assert!(ranks.says("Layers left alone are joined with no others."));
    let none = Sample::new("x", 4, 1);
    let without = crate::analysis::LayerNumbers {
        spectrum: None,
        ..none.numbers
    };
    let point = DepthPoint {
        facts: &none.facts,
        numbers: &without,
    };
    assert_eq!(ranks_over_depth(&[point], 0), None);
}

#[test]
fn layers_of_one_kind_need_no_legend_for_it() {
    let net = net(3, 0);
    let points: Vec<DepthPoint<'_>> = net
        .iter()
        .map(|layer| DepthPoint {
            facts: &layer.facts,
            numbers: &layer.numbers,
        })
        .collect();
    let drawing = Drawing::of(&nearest_over_depth(&points, 0));
    assert!(!drawing.texts.iter().any(|text| text.text == "conv"));
    // For each layer a box, its sides and two lines; of the legend the same with one line.
    assert_eq!(drawing.shapes(&hex(ACCENT)), 3 * 4 + 3);
    let named = |points: &[DepthPoint<'_>]| {
        let ranks = Drawing::of(&ranks_over_depth(points, 0).unwrap());
        ranks.texts.iter().any(|text| text.text == "conv")
    };
    assert!(!named(&points));
    let mut other = net[1].facts.clone();
    other.kind = crate::layers::Kind::Pointwise;
    let other = DepthPoint {
        facts: &other,
        ..points[1]
    };
    assert!(named(&[points[0], other, points[2]]));
}

#[test]
fn epochs_are_lines() {
    let figures = evolution(&epochs(17, 4));
    let drawing = Drawing::of(&figures[3]);
    let lines = drawing.paths.iter().flat_map(|path| corners(&path.0));
    let lines = lines.filter(|line| line.len() == 4 && line[0].1 != line[1].1);
    assert_eq!(lines.count(), 18, "one a layer, and their median");
    for label in ["epoch-01", "epoch-04", "100\u{a0}%", "17 layers", "depth"] {
        assert!(drawing.says(label), "{label}");
    }
    let mut without = epochs(2, 3);
    for layer in &mut without.layers {
        layer
            .points
            .iter_mut()
            .for_each(|point| point.effective_rank = None);
    }
    assert_eq!(evolution(&without).len(), 4);
}

#[test]
fn a_png_is_the_svg_at_twice_the_size() {
    let layer = Sample::new("layer1.conv.weight", 11, 1);
    let figure = similarity(&layer.facts, &layer.drawings, None);
    let drawing = Drawing::of(&figure);
    let (width, height, png) = pixels(&figure.png(Titles::Drawn));
    assert_eq!(
        [width, height],
        [drawing.width, drawing.height].map(|side| 2 * side as usize)
    );
    let at = |x: f64, y: f64| png[(2.0 * y) as usize * width + (2.0 * x) as usize];
    assert_eq!(at(1.0, 1.0), [255; 4]);
    for map in &drawing.pictures[..2] {
        let [left, top, side, _] = map.place;
        let cell = side / map.width as f64;
        for (place, expected) in map.pixels.iter().enumerate() {
            let (row, column) = (place / map.width, place % map.width);
            // Everywhere in the cell, but for the frame.
            for part in [0.06, 0.5, 0.94] {
                let x = left + (column as f64 + part) * cell;
                let y = top + (row as f64 + part) * cell;
                assert_eq!(
                    at(x, y)[..3],
                    *expected,
                    "row {row}, column {column}, {part}"
                );
            }
        }
    }
    // The title is written.
    let title = &drawing
        .texts
        .iter()
        .find(|text| text.text == "layer1.conv.weight")
        .unwrap();
    let dark = (title.left as usize..title.right as usize)
        .flat_map(|x| (title.top as usize..title.bottom as usize).map(move |y| (x, y)))
        .filter(|&(x, y)| at(x as f64, y as f64)[0] < 0x60)
        .count();
    assert!(dark > 200, "{dark}");
}

#[test]
fn a_pdf_has_the_size_of_the_svg_and_its_text() {
    let layer = Sample::new("layer1.conv.weight", 11, 1);
    let figure = layer_thresholds(&layer.facts, &layer.numbers, None);
    let pdf = figure.pdf(Titles::Drawn);
    for _ in 0..8 {
        assert_eq!(pdf, figure.pdf(Titles::Drawn), "the same bytes every time");
    }
    let said = String::from_utf8_lossy(&pdf);
    // 72 points an inch, 96 pixels of CSS.
    let sides = [figure.width, figure.height].map(|side| f64::from(side) * 72.0 / 96.0);
    let (_, media_box) = said.split_once("/MediaBox [0 0 ").unwrap();
    let media_box = media_box.split(']').next().unwrap().split(' ');
    for (side, expected) in media_box.zip(sides) {
        let side: f64 = side.parse().unwrap();
        assert!((side - expected).abs() < 0.2, "{side} for {expected}");
    }
    // Text is text, in the part of a font that it needs.
    assert!(said.contains("/BaseFont") && said.contains("/ToUnicode"));
    assert!(pdf.len() < 40_000, "{}", pdf.len());
    let bare = figure.pdf(Titles::LeftOut);
    assert!(bare.len() < pdf.len());
}

#[test]
fn a_page_gives_its_own_colours() {
    let layer = Sample::new("\"#1c2127\" and <rect width=\"100%\"", 3, 1);
    let inline = similarity(&layer.facts, &layer.drawings, None).inline();
    for colour in [
        "\"#1c2127\"",
        "\"#5d6673\"",
        "\"#e3e5e4\"",
        "<?xml",
        "<rect",
    ] {
        assert!(!inline.contains(colour), "{colour}");
    }
    for variable in ["\"var(--ink)\"", "\"var(--soft)\""] {
        assert!(inline.contains(variable), "{variable}");
    }
    assert!(
        inline.contains("&quot;#1c2127&quot; and"),
        "text is left as it is"
    );
    let chart = layer_thresholds(&layer.facts, &layer.numbers, None).inline();
    assert!(chart.contains("\"var(--grid)\""));
}

#[test]
fn files_stay_small() {
    let layer = Sample::new("layer", 512, 1);
    let map = similarity(&layer.facts, &layer.drawings, Some(&layer.merges));
    assert!(
        map.svg(Titles::Drawn).len() < 330_000,
        "{}",
        map.svg(Titles::Drawn).len()
    );
    let thresholds = layer_thresholds(&layer.facts, &layer.numbers, Some(&layer.merges));
    assert!(
        thresholds.svg(Titles::Drawn).len() < 6_500,
        "{}",
        thresholds.svg(Titles::Drawn).len()
    );
}
