//! `report.json`: all numbers of an analysis, with documented keys (`reports/README.md`).

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::analysis::{
    Curve, EpochPoint, Evolution, Health, LayerEvolution, Pair, Spectrum, Spread, THRESHOLDS,
    ThresholdHint, rounded, threshold,
};
use crate::layers::{Kind, Reason};
use crate::plan::{Parameters, SourceId};
use crate::similarity::Neighbour;

use super::redundancy::{LayerMerges, Redundancy, ReportedLayer};

/// What `"format"` says.
const FORMAT: &str = "inmerge-report";

/// The version of the format.
const VERSION: u64 = 1;

/// The report as JSON. `overviews` are the stems of the figures of the whole net.
///
/// Objects stand on lines of their own and lists on one line, so that the file can be read and compared by people too.
pub fn json(report: &Redundancy, overviews: &[&str]) -> Vec<u8> {
    let mut json = serde_json::to_vec_pretty(&Document::new(report, overviews))
        .expect("a report has string keys only");
    json.push(b'\n');
    json
}

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u64,
    tool: &'static str,
    source: &'a SourceId,
    skip_shallow: usize,
    thresholds: Compact<Vec<f64>>,
    merging: Option<Parameters>,
    net: Net<'a>,
    layers: Vec<Layer<'a>>,
    evolution: Option<Epochs<'a>>,
    figures: BTreeMap<&'a str, String>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct Net<'a> {
    kernels: usize,
    pairs: u64,
    pairs_above: Compact<&'a [u64]>,
    kernels_above: Compact<&'a [u64]>,
    max_similarity: Option<f64>,
    hints: Vec<Compact<Hint>>,
}

#[derive(Serialize)]
struct Layer<'a> {
    name: &'a str,
    depth: Option<usize>,
    kind: Kind,
    groups: usize,
    shape: Compact<&'a [usize]>,
    dtype: &'a str,
    kernels: usize,
    selected: bool,
    reason: Option<Reason>,
    pairs: u64,
    pairs_above: Compact<&'a [u64]>,
    kernels_above: Compact<&'a [u64]>,
    max_similarity: Option<f64>,
    nearest: Compact<Vec<Option<NearestKernel>>>,
    nearest_spread: Option<Compact<Quartiles>>,
    norms: Compact<&'a [f64]>,
    hints: Vec<Compact<Hint>>,
    closest: Vec<Compact<ReportedPair>>,
    orthogonal: Vec<Compact<ReportedPair>>,
    opposite: Vec<Compact<ReportedPair>>,
    spectrum: Option<ReportedSpectrum>,
    health: ReportedHealth<'a>,
    merged: Option<Merged<'a>>,
    figures: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct NearestKernel {
    kernel: usize,
    similarity: f64,
}

#[derive(Serialize)]
struct Quartiles {
    min: f64,
    q1: f64,
    median: f64,
    q3: f64,
    max: f64,
    mean: f64,
}

#[derive(Serialize)]
struct Hint {
    percent: f64,
    tau: f64,
    kernels: usize,
}

#[derive(Serialize)]
struct ReportedPair {
    kernels: [usize; 2],
    similarity: f64,
    norms: [f64; 2],
    norm_ratio: f64,
    merged: Option<bool>,
}

#[derive(Serialize)]
struct ReportedSpectrum {
    eigenvalues: Compact<Vec<f64>>,
    effective_rank: f64,
    stable_rank: f64,
    participation_ratio: f64,
    for_90_percent: usize,
    for_99_percent: usize,
}

#[derive(Serialize)]
struct ReportedHealth<'a> {
    zero: Compact<&'a [usize]>,
    near_dead: Compact<&'a [usize]>,
    non_finite: Compact<&'a [usize]>,
    duplicates: Compact<&'a [(usize, usize)]>,
    sign_flipped: Compact<&'a [(usize, usize)]>,
    non_finite_numbers: u64,
    subnormal_numbers: u64,
}

#[derive(Serialize)]
struct Merged<'a> {
    tau: f64,
    kernels: Compact<Vec<usize>>,
    pairs: Compact<Vec<&'a (usize, usize)>>,
}

#[derive(Serialize)]
struct Epochs<'a> {
    epochs: &'a [String],
    layers: Vec<LayerEpochs<'a>>,
}

#[derive(Serialize)]
struct LayerEpochs<'a> {
    name: &'a str,
    depth: Option<usize>,
    points: Vec<Compact<Epoch>>,
}

#[derive(Serialize)]
struct Epoch {
    nearest_spread: Option<Quartiles>,
    effective_rank: Option<f64>,
    norm: f64,
    relative_change: Option<f64>,
}

/// Written on one line, whatever stands around it.
pub(super) struct Compact<T>(pub(super) T);

impl<T: Serialize> Serialize for Compact<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::value::to_raw_value(&self.0)
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

fn drawing(stem: &str) -> String {
    format!("figures/{stem}.svg")
}

fn above(curve: &Curve) -> Compact<&[u64]> {
    Compact(curve.above())
}

impl<'a> Document<'a> {
    fn new(report: &'a Redundancy, overviews: &[&'a str]) -> Self {
        Self {
            format: FORMAT,
            version: VERSION,
            tool: super::TOOL,
            source: &report.source,
            skip_shallow: report.skip_shallow,
            thresholds: Compact((0..THRESHOLDS).map(threshold).collect()),
            merging: report.merging,
            net: Net {
                kernels: report.net.kernels,
                pairs: report.net.pairs,
                pairs_above: above(&report.net.pairs_above),
                kernels_above: above(&report.net.kernels_above),
                max_similarity: report.net.greatest,
                hints: Hint::all(&report.net.hints),
            },
            layers: report.layers.iter().map(Layer::new).collect(),
            evolution: report.evolution.as_ref().map(Epochs::new),
            figures: overviews
                .iter()
                .map(|&stem| (stem, drawing(stem)))
                .collect(),
            warnings: &report.warnings,
        }
    }
}

impl<'a> Layer<'a> {
    fn new(layer: &'a ReportedLayer) -> Self {
        let (facts, numbers, merges) = (&layer.facts, &layer.numbers, layer.merges.as_ref());
        Self {
            name: &facts.name,
            depth: facts.depth,
            kind: facts.kind,
            groups: facts.groups,
            shape: Compact(&facts.shape),
            dtype: &facts.dtype,
            kernels: facts.kernels,
            selected: facts.reason.is_none(),
            reason: facts.reason,
            pairs: numbers.pairs,
            pairs_above: above(&numbers.pairs_above),
            kernels_above: above(&numbers.kernels_above),
            max_similarity: numbers.nearest.greatest(),
            nearest: Compact(
                numbers
                    .nearest
                    .by_kernel()
                    .iter()
                    .map(|neighbour| neighbour.map(NearestKernel::new))
                    .collect(),
            ),
            nearest_spread: numbers
                .nearest_spread()
                .map(|spread| Compact(Quartiles::new(spread))),
            norms: Compact(&numbers.norms),
            hints: Hint::all(&numbers.hints),
            closest: ReportedPair::all(&numbers.closest, merges),
            orthogonal: ReportedPair::all(&numbers.orthogonal, merges),
            opposite: ReportedPair::all(&numbers.opposite, merges),
            spectrum: numbers.spectrum.as_ref().map(ReportedSpectrum::new),
            health: ReportedHealth::new(&numbers.health),
            merged: merges.map(Merged::new),
            figures: layer
                .figures
                .iter()
                .map(|(kind, stem)| (kind.name(), drawing(stem)))
                .collect(),
        }
    }
}

impl NearestKernel {
    fn new(neighbour: Neighbour) -> Self {
        Self {
            kernel: neighbour.kernel,
            similarity: neighbour.similarity,
        }
    }
}

impl Quartiles {
    fn new(spread: Spread) -> Self {
        let Spread {
            min,
            q1,
            median,
            q3,
            max,
            mean,
        } = spread;
        Self {
            min,
            q1,
            median,
            q3,
            max,
            mean,
        }
    }
}

impl Hint {
    fn all(hints: &[ThresholdHint]) -> Vec<Compact<Self>> {
        let hint = |hint: &ThresholdHint| {
            Compact(Self {
                percent: hint.percent,
                tau: hint.tau,
                kernels: hint.kernels,
            })
        };
        hints.iter().map(hint).collect()
    }
}

impl ReportedPair {
    fn all(pairs: &[Pair], merges: Option<&LayerMerges>) -> Vec<Compact<Self>> {
        let pair = |pair: &Pair| {
            Compact(Self {
                kernels: pair.kernels,
                similarity: pair.similarity,
                norms: pair.norms,
                norm_ratio: pair.norm_ratio(),
                merged: merges.map(|merges| merges.join(pair.kernels)),
            })
        };
        pairs.iter().map(pair).collect()
    }
}

impl ReportedSpectrum {
    fn new(spectrum: &Spectrum) -> Self {
        Self {
            eigenvalues: Compact(spectrum.eigenvalues.iter().copied().map(rounded).collect()),
            effective_rank: rounded(spectrum.effective_rank),
            stable_rank: rounded(spectrum.stable_rank),
            participation_ratio: rounded(spectrum.participation_ratio),
            for_90_percent: spectrum.for_90_percent,
            for_99_percent: spectrum.for_99_percent,
        }
    }
}

impl<'a> ReportedHealth<'a> {
    fn new(health: &'a Health) -> Self {
        Self {
            zero: Compact(&health.zero),
            near_dead: Compact(&health.near_dead),
            non_finite: Compact(&health.non_finite),
            duplicates: Compact(&health.duplicates),
            sign_flipped: Compact(&health.sign_flipped),
            non_finite_numbers: health.non_finite_numbers,
            subnormal_numbers: health.subnormal_numbers,
        }
    }
}

impl<'a> Merged<'a> {
    fn new(merges: &'a LayerMerges) -> Self {
        Self {
            tau: merges.tau,
            kernels: Compact(merges.kernels.iter().copied().collect()),
            pairs: Compact(merges.pairs.iter().collect()),
        }
    }
}

impl<'a> Epochs<'a> {
    fn new(evolution: &'a Evolution) -> Self {
        Self {
            epochs: &evolution.epochs,
            layers: evolution.layers.iter().map(LayerEpochs::new).collect(),
        }
    }
}

impl<'a> LayerEpochs<'a> {
    fn new(layer: &'a LayerEvolution) -> Self {
        Self {
            name: &layer.name,
            depth: layer.depth,
            points: layer
                .points
                .iter()
                .map(|point| Compact(Epoch::new(point)))
                .collect(),
        }
    }
}

impl Epoch {
    fn new(point: &EpochPoint) -> Self {
        Self {
            nearest_spread: point.nearest.map(Quartiles::new),
            effective_rank: point.effective_rank.map(rounded),
            norm: point.norm,
            relative_change: point.relative_change,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::super::sample;
    use super::*;

    /// Every path of keys below a value: `layers[].name`. What the figures of the net are called depends on the figures.
    fn paths(value: &Value, path: &str, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    let key = if path == "figures" { "STEM" } else { key };
                    let path = match path {
                        "" => key.to_owned(),
                        path => format!("{path}.{key}"),
                    };
                    into.insert(path.clone());
                    paths(value, &path, into);
                }
            }
            Value::Array(values) => {
                for value in values {
                    paths(value, &format!("{path}[]"), into);
                }
            }
            _ => {}
        }
    }

    fn parsed(report: &Redundancy) -> Value {
        serde_json::from_slice(&json(report, &["nearest-over-depth"])).unwrap()
    }

    #[test]
    fn every_key_is_documented_and_no_other() {
        let mut written = BTreeSet::new();
        paths(&parsed(&sample::full()), "", &mut written);
        assert_eq!(written, sample::documented("report.json"));
    }

    #[test]
    fn numbers_read_back_and_broken_norms_are_null() {
        let report = sample::full();
        let json = parsed(&report);
        let layer = &report.layers[0];
        for (neighbour, written) in layer
            .numbers
            .nearest
            .by_kernel()
            .iter()
            .zip(json["layers"][0]["nearest"].as_array().unwrap())
        {
            assert_eq!(
                written["similarity"].as_f64(),
                neighbour.map(|n| n.similarity)
            );
        }
        assert_eq!(json["thresholds"][130], 0.3);
        assert_eq!(
            json["net"]["kernels_above"].as_array().unwrap().len(),
            THRESHOLDS
        );
        let broken = layer.numbers.health.non_finite[0];
        assert!(layer.numbers.norms[broken].is_nan());
        assert_eq!(json["layers"][0]["norms"][broken], Value::Null);
        assert_eq!(json["layers"][0]["selected"], false);
        assert_eq!(json["layers"][0]["reason"], "shallow");
    }

    #[test]
    fn lists_stand_on_one_line() {
        let text = String::from_utf8(json(&sample::full(), &[])).unwrap();
        let lines = |key: &str| {
            let key = format!("\"{key}\": [");
            text.lines().filter(|line| line.contains(&key)).count()
        };
        let layers = sample::full().layers.len();
        assert_eq!(lines("norms"), layers);
        assert!(
            text.lines()
                .filter(|line| line.contains("\"norms\": ["))
                .all(|line| line.ends_with("],"))
        );
    }

    #[test]
    fn what_lapack_computed_has_twelve_digits() {
        assert_eq!(rounded(8.0 / 7.0), 1.14285714286);
        assert_eq!(rounded(1.0 / 3.0 * 1e-20), 3.33333333333e-21);
        assert_eq!(rounded(0.0), 0.0);
        assert!(rounded(f64::NAN).is_nan());
        let mut report = sample::full();
        let spectrum = report.layers[1].numbers.spectrum.as_mut().unwrap();
        spectrum.effective_rank = 2.0 / 3.0;
        spectrum.eigenvalues[0] = 1e6 / 7.0;
        let spectrum = &parsed(&report)["layers"][1]["spectrum"];
        assert_eq!(spectrum["effective_rank"], 0.666666666667);
        assert_eq!(spectrum["eigenvalues"][0], 142857.142857);
    }
}
