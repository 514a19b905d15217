//! The figures of a sweep.

use proptest::prelude::*;

use super::drawing::{Circle, Drawing, Text, corners};
use super::layout::check;
use crate::report::figures::colours::{ACCENT, ALARM, INK, SECOND, cell, hex};
use crate::report::figures::*;
use crate::report::sensitivity::sample::{Sample, fail};
use crate::sensitivity::{Measure, PointOutcome, Results, Series};

const NINE: [&str; 9] = [
    "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9",
];

fn drawing(results: &Results, stem: &str) -> Drawing {
    let figures = sensitivity(results);
    let stems: Vec<String> = figures.iter().map(|figure| figure.kind.stem()).collect();
    let place = stems.iter().position(|of| of == stem);
    Drawing::of(&figures[place.unwrap_or_else(|| panic!("{stem} is none of {stems:?}"))])
}

/// Means of something that merged, from left to right, but for that of the legend.
fn means(drawing: &Drawing) -> Vec<&Circle> {
    let dots = drawing.circles.iter();
    let dots = dots.filter(|c| c.fill == hex(ACCENT) && c.radius > 3.5);
    dots.collect()
}

/// The same of what merged nothing.
fn hollow(drawing: &Drawing) -> Vec<&Circle> {
    let rings = drawing.circles.iter();
    let rings = rings.filter(|c| c.fill == "#ffffff" && c.radius > 3.5);
    rings.collect()
}

fn find<'d>(drawing: &'d Drawing, text: &str) -> &'d Text {
    let found = drawing.texts.iter().find(|found| found.text == text);
    found.unwrap_or_else(|| panic!("no {text} in {:?}", drawing.texts))
}

/// Where the tick of a label of a y axis is.
fn tick_of(label: &Text) -> f64 {
    const SIZE: f64 = 11.0;
    label.bottom - (0.24 + 0.36) * SIZE
}

/// The height of numbers in pixels, by two labels of the axis.
fn height(drawing: &Drawing, low: &str, high: &str) -> impl Fn(f64) -> f64 {
    let at = |label: &str| {
        let text = find(drawing, label);
        (label.parse::<f64>().unwrap(), tick_of(text))
    };
    let ((low, below), (high, above)) = (at(low), at(high));
    move |number| below + (number - low) / (high - low) * (above - below)
}

fn set_scores(results: &mut Results, scores: &[f64]) {
    for (point, score) in results.points.iter_mut().zip(scores) {
        point.outcome = PointOutcome::Scored {
            score: *score,
            stderr: None,
        };
    }
}

#[test]
fn each_series_and_measure_has_a_figure() {
    let of = |sample: Sample| {
        let sample = sample.layers(&["a", "b"]).stages(&["s"], 2).past(2);
        let sample = sample.taus(&["0.1", "20%"]).fractions(&[0.5], &[0.5]);
        let results = sample.skips(&[1, 2]).grid(&[0.1, 0.2], &[0.3]).results();
        let figures = sensitivity(&results).into_iter();
        figures.map(|figure| figure.kind.stem()).collect::<Vec<_>>()
    };
    assert_eq!(
        of(Sample::scored()),
        [
            "layer-score",
            "stage-score",
            "past-score",
            "tau-score",
            "tau-share-score",
            "alpha-score",
            "prob-score",
            "skip-shallow-score",
            "grid-alpha-prob-score"
        ]
    );
    let measured = of(Sample::measured());
    assert_eq!(measured.len(), 9 * 4);
    for measure in [
        "relative-change",
        "effective-rank",
        "mean-nearest",
        "merged-share",
    ] {
        assert!(measured.contains(&format!("tau-{measure}")), "{measured:?}");
    }
    assert_eq!(sensitivity(&Sample::scored().results()).len(), 0);
}

#[test]
fn means_spreads_and_the_baseline_are_where_their_numbers_are() {
    let mut results = Sample::scored()
        .taus(&["0.1", "0.2", "0.4"])
        .repeats(2)
        .results();
    let scores = [0.9, 0.9, 0.5, 0.7, 0.6, 0.6, 0.8, 0.82];
    set_scores(&mut results, &scores);
    let drawing = drawing(&results, "tau-score");
    let height = height(&drawing, "0.5", "0.9");
    let means = means(&drawing);
    let expected = [0.6, 0.6, 0.81];
    assert_eq!(means.len(), expected.len(), "{means:?}");
    for (dot, mean) in means.iter().zip(expected) {
        assert!((dot.y - height(mean)).abs() < 0.3, "{dot:?} for {mean}");
    }
    // τ is to scale: from 0.1 to 0.2 half as far as from there to 0.4.
    let across = means[2].x - means[1].x;
    assert!(
        (across - 2.0 * (means[1].x - means[0].x)).abs() < 0.3,
        "{means:?}"
    );

    let of_colour = |colour| {
        let paths = drawing
            .paths
            .iter()
            .filter(move |path| path.1 == hex(colour));
        paths.flat_map(|path| corners(&path.0)).collect::<Vec<_>>()
    };
    let dashed = drawing.dashed.iter().filter(|path| path.1 == hex(INK));
    let lines: Vec<_> = dashed.flat_map(|path| corners(&path.0)).collect();
    let level =
        |line: &Vec<(f64, f64)>| line[0].1 == line[1].1 && (line[0].1 - height(0.9)).abs() < 0.3;
    assert!(lines.iter().any(level), "{lines:?}");
    assert!(drawing.says("unmerged: 0.900"));

    // Each bar from one standard deviation below the mean to one above.
    let upright = of_colour(ACCENT).into_iter();
    let upright: Vec<_> = upright
        .filter(|part| part.len() == 2 && part[0].0 == part[1].0)
        .collect();
    let deviation = |a: f64, b: f64| (a - b).abs() / 2f64.sqrt();
    let spreads = [deviation(0.5, 0.7), 0.0, deviation(0.8, 0.82)];
    assert_eq!(upright.len(), 3 + 1, "with that of the legend");
    for ((bar, mean), spread) in upright.iter().zip(expected).zip(spreads) {
        assert!((bar[0].1 - height(mean - spread)).abs() < 0.3, "{bar:?}");
        assert!((bar[1].1 - height(mean + spread)).abs() < 0.3, "{bar:?}");
    }
    let faint = drawing.circles.iter().filter(|c| c.radius == 2.0);
    assert_eq!(
        faint.count(),
        6 + 1,
        "a dot for each repetition, and the legend's"
    );
    assert!(
        drawing
            .says("mean\u{a0}\u{b1}\u{a0}1\u{a0}standard\u{a0}deviation\u{a0}of\u{a0}2\u{a0}runs")
    );
    assert!(drawing.says("\u{3b1}\u{a0}0.8") && !drawing.says("\u{3c4}\u{a0}0.3"));
}

#[test]
fn the_share_of_kernels_merged_has_an_axis_on_the_right() {
    let results = Sample::scored().taus(&NINE).results();
    let drawing = drawing(&results, "tau-score");
    let (none, most) = (find(&drawing, "0\u{a0}%"), find(&drawing, "20\u{a0}%"));
    assert!(
        none.left > 580.0 && none.left == most.left,
        "{none:?} {most:?}"
    );
    let (bottom, top) = (tick_of(none), tick_of(most));
    let bars = drawing.paths.iter().filter(|path| path.1 == hex(SECOND));
    // Each is an area, and its sides after it.
    let bars: Vec<_> = bars.flat_map(|path| corners(&path.0)).step_by(2).collect();
    let (sign, bars) = bars.split_last().unwrap();
    assert!(
        sign[0].1 < 100.0,
        "the last is that of the legend: {sign:?}"
    );
    let settings: Vec<_> = results.settings(Series::Tau).collect();
    assert_eq!(bars.len(), settings.len());
    for (bar, setting) in bars.iter().zip(settings) {
        let share = setting.average(Measure::MergedShare).unwrap().mean;
        let expected = (bottom - top) * share / 0.2;
        let height = bar[2].1 - bar[1].1;
        assert!((height - expected).abs() < 0.4, "{bar:?} for {share}");
    }
    // Which kernels merge does not depend on α.
    let results = Sample::scored()
        .fractions(&[0.1, 0.9], &[0.5, 1.0])
        .results();
    assert!(!self::drawing(&results, "alpha-score").says("right axis"));
    assert!(self::drawing(&results, "prob-score").says("right axis"));
}

#[test]
fn what_merged_nothing_is_hollow_and_named() {
    let results = Sample::scored().taus(&NINE).repeats(3).results();
    let drawing = drawing(&results, "tau-score");
    assert_eq!(hollow(&drawing).len(), 3);
    assert_eq!(means(&drawing).len(), 6);
    assert!(drawing.says("Hollow: nothing merged at \u{3c4}\u{a0}0.7, 0.8, 0.9."));
    assert!(!drawing.says("NOTHING MERGED"));

    let many: Vec<String> = (0..40).map(|n| format!("layer{n}.conv.weight")).collect();
    let mut results = Sample::scored().layers(&many).results();
    for point in &mut results.points {
        point.merging.merged = 0;
    }
    let drawing = self::drawing(&results, "layer-score");
    assert_eq!(hollow(&drawing).len(), 40);
    assert_eq!(means(&drawing).len(), 0);
    assert!(drawing.says("NOTHING MERGED at any point"));
    assert!(drawing.says("\u{2026} and 32 more"));
    assert!(drawing.says("layer31.conv") && !drawing.says("layer31.conv.weight"));

    let results = Sample::scored().taus(&NINE[..6]).results();
    let drawing = self::drawing(&results, "tau-score");
    assert_eq!(hollow(&drawing).len(), 0);
    assert!(!drawing.says("othing merged"));
}

#[test]
fn failures_are_crossed_and_counted() {
    let mut results = Sample::scored().taus(&NINE).repeats(2).results();
    results.missing = 7;
    let crosses = |results: &Results| drawing(results, "tau-score").shapes(&hex(ALARM));
    assert_eq!(crosses(&results), 0);
    // One of the two runs at 0.1, both at 0.3.
    for place in [2, 6, 7] {
        fail(&mut results.points[place]);
    }
    assert_eq!(
        crosses(&results),
        2 * (2 + 1),
        "two lines each, and the legend"
    );
    let drawing = drawing(&results, "tau-score");
    assert_eq!(means(&drawing).len(), 5, "no mean where both failed");
    assert!(drawing.says("\u{d7}: 3 of 18 runs failed, at \u{3c4}\u{a0}0.1, 0.3."));
    assert!(drawing.says("7 points still to come"));
    results.points.iter_mut().for_each(fail);
    let drawing = self::drawing(&results, "tau-score");
    assert!(drawing.says("There is no number to show."));
    assert!(drawing.says("What the unmerged checkpoint comes to is not known."));

    // With a level of its own, which would run through the words.
    let mut results = Sample::scored().taus(&NINE).results();
    results.points.iter_mut().skip(1).for_each(fail);
    let drawing = self::drawing(&results, "tau-score");
    assert!(drawing.says("There is no number to show."));
    let lines = |colour| drawing.shapes(&hex(colour));
    assert_eq!((lines(SECOND), lines(INK)), (0, 0));
}

#[test]
fn a_map_has_a_cell_for_each_setting() {
    let (alphas, probs) = ([0.0, 0.1, 0.8], [0.0, 0.3]);
    let mut results = Sample::scored().grid(&alphas, &probs).results();
    set_scores(&mut results, &[0.95, 0.5, 0.5, 0.5, 0.9, 0.7, 0.7]);
    fail(&mut results.points[4]);
    let drawing = drawing(&results, "grid-alpha-prob-score");
    for number in ["0.500", "0.700", "unmerged: 0.950"] {
        assert!(drawing.says(number) || number.starts_with('u'), "{number}");
    }
    assert!(drawing.says("Unmerged: 0.950, beyond these colours."));
    // p = 0 merges nothing: three cells with sides alone. One cell failed, and two are full.
    let at = |share| hex(cell(share));
    let cells = |colour: &str, filled: bool| {
        let paths = figures_paths(&results);
        let cells = paths
            .iter()
            .filter(|path| path.0 == colour && path.1 == filled);
        cells.map(|path| path.2).sum::<usize>()
    };
    assert_eq!(cells(&at(0.0), false), 2, "0.5 at p 0");
    assert_eq!(cells(&at(0.0), true), 1, "0.5 at p 0.3");
    assert_eq!(cells(&at(1.0), false), 1, "0.7 at p 0");
    assert_eq!(cells(&at(1.0), true), 1, "0.7 at p 0.3");
    assert_eq!(
        drawing.shapes(&hex(ALARM)),
        2 * 2,
        "a cross, and the legend's"
    );
    assert!(
        drawing.says(
            "at \u{3b1}\u{a0}0\u{a0}p\u{a0}0, \u{3b1}\u{a0}0.1\u{a0}p\u{a0}0, \u{3b1}\u{a0}0.8"
        )
    );
    assert!(drawing.says("1 of 6 runs failed, at \u{3b1}\u{a0}0.1\u{a0}p\u{a0}0.3."));

    // Values that are unevenly far apart have cells of one size; what is not known is empty.
    results.points.retain(|point| {
        point.point.variation.numbers() != [(Series::Alpha, 0.0), (Series::Prob, 0.0)]
    });
    assert!(self::drawing(&results, "grid-alpha-prob-score").says("Empty: 1 setting not known."));
}

/// Colour, whether it is filled, and the number of shapes of each path of a map.
fn figures_paths(results: &Results) -> Vec<(String, bool, usize)> {
    let svg = sensitivity(results)[0].svg(Titles::Drawn);
    let lines = svg.lines().filter(|line| line.starts_with("<path"));
    let attribute = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!(" {name}=\""))?;
        Some(rest.split('"').next().unwrap().to_owned())
    };
    lines
        .map(|line| {
            let shapes = attribute(line, "d").unwrap().matches(['M', 'm']).count();
            match attribute(line, "stroke") {
                Some(stroke) => (stroke, false, shapes),
                None => (attribute(line, "fill").unwrap(), true, shapes),
            }
        })
        .collect()
}

#[test]
fn cells_say_their_numbers_where_they_fit() {
    let steps: Vec<f64> = (0..11).map(|n| f64::from(n) / 10.0).collect();
    let results = Sample::scored().grid(&steps, &steps).repeats(2).results();
    let figure = drawing(&results, "grid-alpha-prob-score");
    let numbers = figure
        .texts
        .iter()
        .filter(|text| text.text.len() == 5 && text.text.starts_with("0."));
    assert_eq!(numbers.count(), 121);
    let steps: Vec<f64> = (0..51).map(|n| f64::from(n) / 50.0).collect();
    let results = Sample::scored().grid(&steps, &steps).results();
    let figure = drawing(&results, "grid-alpha-prob-score");
    assert!(figure.texts.len() < 60, "{} texts", figure.texts.len());
}

#[test]
fn figures_of_every_size_have_labels_that_fit() {
    let resnet = |count: usize| -> Vec<String> {
        (0..count)
            .map(|n| format!("layer{}.{}.conv{}.weight", n / 16 + 1, n % 16 / 3, n % 3))
            .collect()
    };
    let hostile: Vec<String> = (0..9)
        .map(|n| {
            format!(
                "<&\"'>\u{1b}[31m\n\u{202e}{}{n}",
                "\u{6f22}\u{5b57}".repeat(60)
            )
        })
        .collect();
    let dense: Vec<String> = (0..120)
        .map(|n| format!("features.denseblock{}.denselayer{n}.conv1.weight", n / 30))
        .collect();
    for names in [
        resnet(1),
        resnet(2),
        resnet(53),
        resnet(400),
        dense,
        hostile,
    ] {
        for sample in [Sample::scored(), Sample::measured()] {
            let past = names.len();
            let sample = sample
                .layers(&names)
                .past(past)
                .taus(&NINE)
                .taus(&["1%", "20%", "33.3%"]);
            let sample = sample
                .fractions(&[0.3], &[0.1, 0.123_456])
                .skips(&[0, 1, 300]);
            let mut results = sample
                .grid(&[0.123_456_789, 0.5], &[0.7])
                .repeats(2)
                .results();
            results.missing = 12;
            results.points.iter_mut().step_by(7).for_each(fail);
            let metric = format!("{}\u{1b}", "wide metric ".repeat(20));
            results
                .sweep
                .evaluator
                .iter_mut()
                .for_each(|e| e.metric = Some(metric.clone()));
            for figure in sensitivity(&results) {
                check(&format!("{:?} of {past} layers", figure.kind), &figure);
            }
        }
    }
}

/// Fails where something is drawn outside a figure.
fn assert_within(figure: &Figure) {
    let drawing = Drawing::of(figure);
    let paths = drawing
        .paths
        .iter()
        .flat_map(|path| corners(&path.0))
        .flatten();
    let circles = drawing.circles.iter();
    let ends = circles.flat_map(|c| {
        [
            (c.x - c.radius, c.y - c.radius),
            (c.x + c.radius, c.y + c.radius),
        ]
    });
    for (x, y) in paths.chain(ends) {
        let within =
            (-0.1..=drawing.width + 0.1).contains(&x) && (-0.1..=drawing.height + 0.1).contains(&y);
        assert!(within, "{x}, {y} of {} × {}", drawing.width, drawing.height);
    }
}

/// Any finite number, and often ones that make trouble.
fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("finite", |number| number.is_finite()),
        0.0..1.0f64,
        Just(0.0),
        Just(f64::MAX),
        Just(f64::MIN),
        Just(-1e12),
        Just(f64::MIN_POSITIVE),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_is_scored_is_drawn_within_the_figure(
        scores in proptest::collection::vec((score(), 0..20usize, any::<bool>()), 1..40),
        taus in proptest::collection::vec(-1.0..1.0f64, 1..6),
        fractions in proptest::collection::vec(0.0..=1.0f64, 1..4),
        layers in 1..9usize,
        repeats in 1..4u32,
        evaluator in any::<bool>(),
    ) {
        let sample = if evaluator { Sample::scored() } else { Sample::measured() };
        let names: Vec<String> = (0..layers).map(|n| format!("conv{n}")).collect();
        let taus: Vec<String> = taus.iter().map(f64::to_string).collect();
        let taus: Vec<&str> = taus.iter().map(String::as_str).collect();
        let sample = sample.layers(&names).past(layers).taus(&taus);
        let sample = sample.fractions(&fractions, &fractions).grid(&fractions, &fractions);
        let mut results = sample.repeats(repeats).results();
        for (point, &(score, merged, fails)) in results.points.iter_mut().zip(scores.iter().cycle()) {
            point.merging.merged = merged.min(point.merging.kernels);
            match point.outcome {
                PointOutcome::Scored { .. } => point.outcome = PointOutcome::Scored { score, stderr: None },
                _ => point.merging.relative_change = score.abs(),
            }
            if fails {
                fail(point);
            }
        }
        for figure in sensitivity(&results) {
            assert_within(&figure);
        }
    }
}
