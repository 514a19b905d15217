//! The SVG of a small layer, to the byte.

use std::fs;
use std::path::Path;

use super::samples::Sample;
use crate::report::figures::{Figure, layer_thresholds, similarity};

fn check(name: &str, figure: &Figure) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/figures/{name}.svg"));
    if std::env::var_os("INMERGE_BLESS").is_some_and(|value| value == "1") {
        fs::write(&golden, figure.svg()).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    let differing = figure
        .svg()
        .lines()
        .zip(expected.lines())
        .find(|(is, was)| is != was);
    assert!(
        figure.svg() == expected,
        "{name} is not as in {}, first here: {differing:?}. If it is as it should be (look at it), run INMERGE_BLESS=1 \
         cargo test figures::tests::golden",
        golden.display()
    );
}

#[test]
fn figures_are_the_same_to_the_byte() {
    let draw = || {
        let layer = Sample::new("layer1.0.conv1.weight", 16, 2);
        [
            similarity(&layer.facts, &layer.drawings, Some(&layer.merges)),
            layer_thresholds(&layer.facts, &layer.numbers, Some(&layer.merges)),
        ]
    };
    let figures = draw();
    assert_eq!(figures, draw());
    assert_eq!(figures[0].png(), draw()[0].png());
    for (figure, name) in figures.iter().zip(["similarity", "thresholds"]) {
        check(name, figure);
    }
}
