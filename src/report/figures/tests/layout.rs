//! Every label fits, whatever the size.

use super::drawing::Drawing;
use super::samples::{Sample, epochs, net, pictures};
use crate::report::figures::*;

/// Fails where a text leaves the figure or lies on another.
pub fn check(what: &str, figure: &Figure) {
    let drawing = Drawing::of(figure);
    assert!(!drawing.texts.is_empty(), "{what}: no text");
    for (place, text) in drawing.texts.iter().enumerate() {
        assert!(
            text.left >= 0.0
                && text.top >= 0.0
                && text.right <= drawing.width
                && text.bottom <= drawing.height,
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
