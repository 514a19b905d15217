//! Every label fits, whatever the size.

use super::drawing::{Drawing, pixels};
use super::samples::{Sample, epochs, net, pictures};
use crate::report::figures::*;

/// Fails where a text leaves the figure or lies on another.
pub fn check(what: &str, figure: &Figure) {
    for titles in [Titles::Drawn, Titles::LeftOut] {
        check_with(what, figure, titles);
    }
}

fn check_with(what: &str, figure: &Figure, titles: Titles) {
    let drawing = Drawing::with(figure, titles);
    assert!(!drawing.texts.is_empty(), "{what}: no text");
    for (place, text) in drawing.texts.iter().enumerate() {
        assert!(
            text.left >= 0.0
                && text.top >= drawing.top
                && text.right <= drawing.width
                && text.bottom <= drawing.top + drawing.height,
            "{what}: {text:?} leaves {} × {}",
            drawing.width,
            drawing.height
        );
        for other in &drawing.texts[..place] {
            assert!(!text.overlaps(other), "{what}: {text:?} lies on {other:?}");
        }
        for picture in &drawing.pictures {
            let [left, top, width, height] = picture.place;
            let beside = text.right <= left
                || left + width <= text.left
                || text.bottom <= top
                || top + height <= text.top;
            assert!(
                beside,
                "{what}: {text:?} lies on a picture at {:?}",
                picture.place
            );
        }
    }
}

#[test]
fn figures_for_papers_have_no_titles_but_all_the_rest() {
    let layer = Sample::new("layer1.conv.weight", 64, 1);
    let figure = layer_thresholds(&layer.facts, &layer.numbers, Some(&layer.merges));
    let [whole, bare] = [Titles::Drawn, Titles::LeftOut].map(|t| Drawing::with(&figure, t));
    let said = |drawing: &Drawing| -> Vec<String> {
        let texts = drawing.texts.iter();
        texts.map(|text| text.text.clone()).collect()
    };
    let (whole_texts, bare_texts) = (said(&whole), said(&bare));
    let titles = whole_texts.len() - bare_texts.len();
    assert!(whole.says("layer1.conv.weight") && !bare.says("layer1.conv.weight"));
    assert!(!bare.says("Choosing"));
    assert_eq!(whole_texts[titles..], bare_texts);
    assert_eq!(whole.paths, bare.paths);
    let free = 18.0 * titles as f64;
    assert_eq!((bare.top, bare.height), (free, whole.height - free));
    // Its PNG is as high.
    let (width, height, pixels) = pixels(&figure.png(Titles::LeftOut));
    assert_eq!(
        [width, height].map(|side| side as f64 / 2.0),
        [bare.width, bare.height]
    );
    assert_eq!(
        pixels[pixels.len() - 1],
        [255; 4],
        "the paper reaches its end"
    );
}

#[test]
fn figures_have_a_size_on_paper() {
    let side = |figure: &Figure, name: &str| -> f64 {
        let svg = figure.svg(Titles::Drawn);
        let (_, rest) = svg.split_once(&format!(" {name}=\"")).unwrap();
        rest.split_once("mm\"").unwrap().0.parse().unwrap()
    };
    let small = Sample::new("layer1.conv.weight", 64, 1);
    let small = layer_thresholds(&small.facts, &small.numbers, None);
    assert_eq!(side(&small, "width"), 169.3, "640 pixels of 1/96 inch");
    let large = Sample::new("layer1.conv.weight", 512, 1);
    let large = similarity(&large.facts, &large.drawings, None);
    assert_eq!(side(&large, "width"), 180.0, "as wide as a page's text");
    let shape = f64::from(large.height) / f64::from(large.width);
    assert!((side(&large, "height") / 180.0 - shape).abs() < 1e-3);
    assert!(
        large
            .inline()
            .contains(&format!(" width=\"{}\"", large.width))
    );
}

#[test]
fn layers_of_every_size_have_labels_that_fit() {
    let names = [
        "a".to_owned(),
        format!("encoder.{}.weight", "W".repeat(200)),
        format!(
            "<&\"'>\u{1b}[31m\n\u{202e}{}",
            "\u{6f22}\u{5b57}".repeat(60)
        ),
    ];
    for n in [1, 2, 3, 5, 11, 64, 96, 300, 341, 512, 4096, 8192] {
        for (place, name) in names.iter().enumerate() {
            if n > 512 && place != 1 {
                continue;
            }
            let groups = if n == 96 { 4 } else { 1 };
            let Sample {
                mut facts,
                numbers,
                mut drawings,
                merges,
            } = Sample::new(name, n, groups);
            facts.shape = vec![n, 123_456, 13, 13, 13];
            let merges = (place != 0).then_some(&merges);
            let what = format!("{n} kernels, name {place}");
            check(&what, &similarity(&facts, &drawings, merges));
            drawings.clustered = None;
            check(&what, &similarity(&facts, &drawings, merges));
            check(&what, &layer_thresholds(&facts, &numbers, merges));
            check(&what, &nearest(&facts, &numbers.nearest));
            check(&what, &spectrum(&facts, numbers.spectrum.as_ref().unwrap()));
        }
    }
}

#[test]
fn kernels_of_every_shape_have_labels_that_fit() {
    let layer = Sample::new("conv1.weight", 64, 1).facts;
    for (width, height, colours) in [
        (1, 1, 1),
        (3, 3, 1),
        (7, 7, 3),
        (9, 1, 1),
        (500, 1, 1),
        (2, 90, 3),
    ] {
        let pairs = pictures(width, height, colours);
        for some in [&pairs[..], &pairs[..1], &pairs[4..], &[]] {
            check(&format!("{width} × {height}"), &kernels(&layer, some));
        }
    }
}

#[test]
fn nets_of_every_depth_have_labels_that_fit() {
    for layers in [0, 1, 2, 3, 17, 53, 120, 400] {
        let net = net(layers, layers.clamp(1, 3) - 1);
        let points: Vec<DepthPoint<'_>> = net
            .iter()
            .map(|layer| DepthPoint {
                facts: &layer.facts,
                numbers: &layer.numbers,
            })
            .collect();
        // As a file with two copies of the net has them.
        let twice: Vec<DepthPoint<'_>> = points.iter().chain(&points).copied().collect();
        for points in [&points, &twice] {
            let what = format!("{} layers", points.len());
            check(&what, &nearest_over_depth(points, 3));
            let ranks = ranks_over_depth(points, 3);
            assert_eq!(ranks.is_some(), layers > 0, "{what}");
            ranks.iter().for_each(|ranks| check(&what, ranks));
        }
        for count in [1, 2, 5, 60] {
            let mut evolution_of = epochs(layers, count);
            check(&format!("{layers} layers"), &evolution(&evolution_of)[0]);
            for epoch in &mut evolution_of.epochs {
                epoch.insert_str(3, &"Wide".repeat(30));
            }
            // A layer that grew out of nothing.
            if let Some(layer) = evolution_of.layers.first_mut() {
                layer.points.iter_mut().for_each(|point| {
                    point.relative_change = point.relative_change.map(|_| 3e300);
                });
            }
            let figures = evolution(&evolution_of);
            let kinds: Vec<FigureKind> = figures.iter().map(|figure| figure.kind).collect();
            let mut expected = vec![
                FigureKind::RedundancyOverEpochs,
                FigureKind::UpperRedundancyOverEpochs,
                FigureKind::AboveChanceOverEpochs,
                FigureKind::EffectiveRankOverEpochs,
                FigureKind::WeightChangeOverEpochs,
            ];
            if layers == 0 {
                expected.remove(3);
            }
            assert_eq!(kinds, expected);
            for figure in figures {
                let what = format!("{:?} of {layers} layers, {count} epochs", figure.kind);
                check(&what, &figure);
            }
        }
    }
    check("the net", &net_thresholds(&Sample::new("", 64, 1).net()));
}
