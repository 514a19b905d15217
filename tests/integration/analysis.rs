//! The analysis against the numpy reference: every number of every layer.

use crate::common::{fixture, json_difference, read_json};
use inmerge_ckpt::analysis::{ByChance, LayerNumbers, LayerTask, Pair, Spectrum, THRESHOLDS};
use inmerge_ckpt::checkpoint::Checkpoint;
use inmerge_ckpt::layers::Kind;
use inmerge_ckpt::similarity::{Engine, Precision};
use inmerge_ckpt::weight::ConvWeight;
use serde_json::{Value, json};

/// What similarities and norms may be off by.
const SIMILARITY: f64 = 1e-12;

/// Eigenvalues, relative to themselves, or to the greatest where they are less than a millionth of it.
const EIGENVALUE: f64 = 1e-10;
const SMALL: f64 = 1e-6;

/// Ranks, relative to themselves.
const RANK: f64 = 1e-9;

/// Counts of chance, which are written with six decimals.
const CHANCE: f64 = 2e-6;

/// Effective dimensions, relative to themselves: similarities of a few pairs are not in the middle of their intervals.
const EFFECTIVE: f64 = 0.05;

/// What differs, one line each.
#[derive(Default)]
struct Differences {
    place: String,
    lines: Vec<String>,
}

impl Differences {
    fn note(&mut self, what: &str, expected: &dyn std::fmt::Debug, found: &dyn std::fmt::Debug) {
        let line = format!(
            "{}: {what}: expected {expected:?}, found {found:?}",
            self.place
        );
        self.lines.push(line);
    }

    fn equal(&mut self, what: &str, expected: &Value, found: Value) {
        let difference = json_difference(what, expected, &found);
        let line = |difference| format!("{}: {difference}", self.place);
        self.lines.extend(difference.map(line));
    }

    fn close(&mut self, what: &str, expected: &Value, found: f64, off: f64) {
        let expected = number(expected);
        let holds = (found - expected).abs() <= off || !found.is_finite() && expected.is_nan();
        if !holds {
            self.note(what, &expected, &found);
        }
    }
}

/// JSON has no NaN and no infinity: null stands for both.
fn number(value: &Value) -> f64 {
    if value.is_null() {
        return f64::NAN;
    }
    value.as_f64().expect("a number")
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

fn compare(expected: &Value, found: &LayerNumbers, all: &mut Differences) {
    all.equal("pairs", &expected["pairs"], found.pairs.into());
    for (what, curve) in [
        ("pairs_above", &found.pairs_above),
        ("kernels_above", &found.kernels_above),
    ] {
        assert_eq!(list(&expected[what]).len(), THRESHOLDS);
        all.equal(what, &expected[what], curve.above().into());
    }
    assert_eq!(list(&expected["norms"]).len(), found.norms.len());
    for (kernel, norm) in found.norms.iter().enumerate() {
        let expected = &expected["norms"][kernel];
        let off = SIMILARITY * number(expected).abs();
        all.close(&format!("norms[{kernel}]"), expected, *norm, off);
    }
    for (kernel, neighbour) in found.nearest.by_kernel().iter().enumerate() {
        let (what, expected) = (format!("nearest[{kernel}]"), &expected["nearest"][kernel]);
        let partner = neighbour.map(|neighbour| neighbour.kernel);
        all.equal(&what, &expected[0], json!(partner));
        if let Some(neighbour) = neighbour {
            all.close(&what, &expected[1], neighbour.similarity, SIMILARITY);
        }
    }
    for (what, pairs) in [
        ("closest", &found.closest),
        ("orthogonal", &found.orthogonal),
        ("opposite", &found.opposite),
    ] {
        compare_pairs(what, list(&expected[what]), pairs, all);
    }
    let health = &found.health;
    let found_health = json!({
        "zero": health.zero,
        "near_dead": health.near_dead,
        "non_finite": health.non_finite,
        "duplicates": health.duplicates,
        "sign_flipped": health.sign_flipped,
        "near_duplicates": health.near_duplicates,
        "non_finite_numbers": health.non_finite_numbers,
        "subnormal_numbers": health.subnormal_numbers,
    });
    all.equal("health", &expected["health"], found_health);
    compare_chance(&expected["by_chance"], &found.by_chance, all);
    match &found.spectrum {
        Some(spectrum) => compare_spectra(&expected["spectrum"], spectrum, all),
        None => all.equal("spectrum", &expected["spectrum"], Value::Null),
    }
}

fn compare_chance(expected: &Value, found: &ByChance, all: &mut Differences) {
    all.equal("dimension", &expected["dimension"], found.dimension.into());
    all.equal("tau", &expected["tau"], found.tau.into());
    all.equal("kernels", &expected["kernels"], found.kernels.into());
    for (what, counts) in [
        ("pairs_above", &found.expected.pairs_above),
        ("kernels_above", &found.expected.kernels_above),
    ] {
        let expected = list(&expected[what]);
        assert_eq!(expected.len(), counts.len());
        for (place, (expected, count)) in expected.iter().zip(counts).enumerate() {
            let what = format!("by_chance.{what}[{place}]");
            all.close(&what, expected, *count, CHANCE);
        }
    }
    match (
        expected["inverse_mean_square"].as_f64(),
        found.effective_dimension,
    ) {
        (None, found) => all.equal("effective_dimension", &Value::Null, json!(found)),
        (Some(expected), Some(found)) if (found / expected - 1.0).abs() <= EFFECTIVE => (),
        (expected, found) => all.note("effective_dimension", &expected, &found),
    }
}

fn compare_pairs(what: &str, expected: &[Value], found: &[Pair], all: &mut Differences) {
    let kernels: Vec<Value> = expected
        .iter()
        .map(|pair| json!([pair[0], pair[1]]))
        .collect();
    let found_kernels: Vec<_> = found.iter().map(|pair| pair.kernels).collect();
    all.equal(what, &kernels.into(), json!(found_kernels));
    for (expected, found) in expected.iter().zip(found) {
        all.close(what, &expected[2], found.similarity, SIMILARITY);
    }
}

fn compare_spectra(expected: &Value, found: &Spectrum, all: &mut Differences) {
    let Some(eigenvalues) = expected["eigenvalues"].as_array() else {
        return all.note("spectrum", expected, found);
    };
    all.equal(
        "number of eigenvalues",
        &eigenvalues.len().into(),
        found.eigenvalues.len().into(),
    );
    let greatest = number(&eigenvalues[0]);
    for (place, (expected, found)) in eigenvalues.iter().zip(&found.eigenvalues).enumerate() {
        let value = number(expected);
        let of = if value > SMALL * greatest {
            value
        } else {
            greatest
        };
        all.close(
            &format!("eigenvalues[{place}]"),
            expected,
            *found,
            EIGENVALUE * of,
        );
    }
    for (what, found) in [
        ("effective_rank", found.effective_rank),
        ("stable_rank", found.stable_rank),
        ("participation_ratio", found.participation_ratio),
    ] {
        let expected = &expected[what];
        all.close(what, expected, found, RANK * number(expected));
    }
    for (what, found) in [
        ("for_90_percent", found.for_90_percent),
        ("for_99_percent", found.for_99_percent),
    ] {
        all.equal(what, &expected[what], found.into());
    }
}

#[test]
fn analyses_agree_with_the_reference() {
    let mut all = Differences::default();
    let (mut layers, mut spectra) = (0, 0);
    for file in list(&read_json(&fixture("golden/analysis.json"))) {
        let name = file["checkpoint"].as_str().expect("a name");
        let checkpoint = Checkpoint::open(&fixture("checkpoints").join(name)).unwrap();
        for expected in list(&file["layers"]) {
            let text = |key: &str| expected[key].as_str().expect("a text");
            let is_named = |tensor: &&inmerge_ckpt::checkpoint::Tensor| tensor.name == text("name");
            let tensor = checkpoint
                .tensors()
                .iter()
                .find(is_named)
                .expect("the tensor");
            let kind: Kind = text("kind").parse().unwrap();
            let groups = expected["groups"].as_u64().expect("groups") as usize;
            let task = LayerTask {
                weight: ConvWeight::new(tensor, kind, groups).expect("a weight"),
                spectrum: true,
                drawings: false,
            };
            let engine = Engine::Cpu(Precision::F32);
            let found = checkpoint.with_values(tensor, |values| task.analyse(values, engine, &()));
            let (found, _) = found.unwrap().unwrap();
            all.place = format!("{name}, {}", tensor.name);
            compare(expected, &found, &mut all);
            layers += 1;
            spectra += usize::from(found.spectrum.is_some());
        }
    }
    assert!(
        layers > 60 && spectra > 55,
        "only {layers} layers, {spectra} spectra"
    );
    assert!(
        all.lines.is_empty(),
        "{} numbers differ from the reference:\n{}\n\
         If a definition has changed, change fixtures/analysis.py with it and run `make bless`, which makes the goldens \
         again with python3 fixtures/make.py.",
        all.lines.len(),
        all.lines.join("\n")
    );
}
