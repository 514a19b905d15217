//! The SVG of a small layer: its text to the byte, and its pictures to the pixel. How these are compressed depends on the
//! processor.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::drawing::pixels;
use super::samples::Sample;
use crate::report::figures::{Figure, Titles, layer_thresholds, similarity};

fn check(name: &str, figure: &Figure) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/figures/{name}.svg"));
    let svg = figure.svg(Titles::Drawn);
    if std::env::var_os("INMERGE_BLESS").is_some_and(|value| value == "1") {
        fs::write(&golden, &svg).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    let (is, was) = (unpacked(&svg), unpacked(&expected));
    let differing = is.lines().zip(was.lines()).find(|(is, was)| is != was);
    assert!(
        is == was,
        "{name} is not as in {}, first here: {differing:?}. If it is as it should be (look at it), run INMERGE_BLESS=1 \
         cargo test figures::tests::golden",
        golden.display()
    );
}

/// An SVG with the pixels of its pictures in place of the files.
fn unpacked(svg: &str) -> String {
    const START: &str = "data:image/png;base64,";
    let mut parts = svg.split(START);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (png, rest) = part.split_once('"').expect("a URI in quotes");
        let pixels = pixels(&STANDARD.decode(png).unwrap());
        text += &format!("{pixels:?}\"{rest}");
    }
    text
}

#[test]
fn figures_are_as_they_were() {
    let draw = || {
        let layer = Sample::new("layer1.0.conv1.weight", 16, 2);
        [
            similarity(&layer.facts, &layer.drawings, Some(&layer.merges)),
            layer_thresholds(&layer.facts, &layer.numbers, Some(&layer.merges)),
        ]
    };
    let figures = draw();
    assert_eq!(figures, draw());
    assert_eq!(figures[0].png(Titles::Drawn), draw()[0].png(Titles::Drawn));
    for (figure, name) in figures.iter().zip(["similarity", "thresholds"]) {
        check(name, figure);
    }
}
