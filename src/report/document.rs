//! `report.json`: all numbers of an analysis, with documented keys (`reports/README.md`).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};

use crate::analysis::{
    Curve, EpochPoint, Evolution, Health, NetNumbers, Pair, Spectrum, Spread, THRESHOLDS,
    ThresholdHint, rounded, threshold,
};
use crate::layers::{Kind, Reason};
use crate::plan::{Parameters, SourceId};
use crate::similarity::Neighbour;

use super::FIGURES;
use super::figures::Figure;
use super::redundancy::{LayerMerges, Redundancy, ReportedLayer};

/// What `"format"` says.
const FORMAT: &str = "inmerge-report";

/// The version of the format.
const VERSION: u64 = 1;

/// The report as JSON. `overviews` are the figures of the whole net.
///
/// Objects stand on lines of their own and lists on one line, so that the file can be read and compared by people too.
pub fn json(report: &Redundancy, overviews: &[Figure]) -> Vec<u8> {
    let mut json = serde_json::to_vec_pretty(&ReportJson::new(report, overviews))
        .expect("a report has string keys only");
    json.push(b'\n');
    json
}

#[derive(Serialize)]
struct ReportJson<'a> {
    format: &'static str,
    version: u64,
    tool: &'static str,
    source: &'a SourceId,
    skip_shallow: usize,
    thresholds: Compact<Vec<f64>>,
    merging: Option<Parameters>,
    net: NetJson<'a>,
    layers: Vec<LayerJson<'a>>,
    evolution: Option<EvolutionJson<'a>>,
    figures: BTreeMap<String, String>,
    warnings: &'a [String],
}

/// [`NetNumbers`], with the names and the order of keys that layers have.
#[derive(Serialize)]
struct NetJson<'a> {
    kernels: usize,
    pairs: u64,
    pairs_above: Compact<&'a Curve>,
    kernels_above: Compact<&'a Curve>,
    max_similarity: Option<f64>,
    hints: Vec<Compact<&'a ThresholdHint>>,
}

#[derive(Serialize)]
struct LayerJson<'a> {
    name: &'a str,
    depth: Option<usize>,
    kind: Kind,
    groups: usize,
    shape: Compact<&'a [usize]>,
    dtype: String,
    kernels: usize,
    selected: bool,
    reason: Option<Reason>,
    pairs: u64,
    pairs_above: Compact<&'a Curve>,
    kernels_above: Compact<&'a Curve>,
    max_similarity: Option<f64>,
    nearest: Compact<&'a [Option<Neighbour>]>,
    nearest_spread: Option<Compact<Spread>>,
    norms: Compact<&'a [f64]>,
    hints: Vec<Compact<&'a ThresholdHint>>,
    closest: Vec<Compact<PairJson<'a>>>,
    orthogonal: Vec<Compact<PairJson<'a>>>,
    opposite: Vec<Compact<PairJson<'a>>>,
    spectrum: Option<SpectrumJson>,
    health: HealthJson<'a>,
    merged: Option<MergesJson<'a>>,
    figures: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct PairJson<'a> {
    #[serde(flatten)]
    pair: &'a Pair,
    norm_ratio: f64,
    merged: Option<bool>,
}

/// [`Spectrum`], rounded.
#[derive(Serialize)]
struct SpectrumJson {
    eigenvalues: Compact<Vec<f64>>,
    effective_rank: f64,
    stable_rank: f64,
    participation_ratio: f64,
    for_90_percent: usize,
    for_99_percent: usize,
}

/// [`Health`], with each list on one line.
#[derive(Serialize)]
struct HealthJson<'a> {
    zero: Compact<&'a [usize]>,
    near_dead: Compact<&'a [usize]>,
    non_finite: Compact<&'a [usize]>,
    duplicates: Compact<&'a [(usize, usize)]>,
    sign_flipped: Compact<&'a [(usize, usize)]>,
    non_finite_numbers: u64,
    subnormal_numbers: u64,
}

/// [`LayerMerges`], with each list on one line.
#[derive(Serialize)]
struct MergesJson<'a> {
    tau: f64,
    kernels: Compact<&'a BTreeSet<usize>>,
    pairs: Compact<&'a BTreeSet<(usize, usize)>>,
}

/// [`Evolution`], with each epoch of a layer on one line.
#[derive(Serialize)]
struct EvolutionJson<'a> {
    epochs: &'a [String],
    layers: Vec<LayerEvolutionJson<'a>>,
}

#[derive(Serialize)]
struct LayerEvolutionJson<'a> {
    name: &'a str,
    depth: Option<usize>,
    points: Vec<Compact<EpochJson>>,
}

/// [`EpochPoint`], rounded, and with the spread called as it is in layers.
#[derive(Serialize)]
struct EpochJson {
    nearest_spread: Option<Spread>,
    effective_rank: Option<f64>,
    norm: f64,
    relative_change: Option<f64>,
}

/// Serialized on one line within pretty-printed JSON.
pub(super) struct Compact<T>(pub(super) T);

impl<T: Serialize> Serialize for Compact<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::value::to_raw_value(&self.0)
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

/// Each on a line of its own.
fn line_by_line<'a, T, U>(items: &'a [T], of: impl Fn(&'a T) -> U) -> Vec<Compact<U>> {
    items.iter().map(|item| Compact(of(item))).collect()
}

fn drawing(stem: &str) -> String {
    format!("{FIGURES}{stem}.svg")
}

impl<'a> ReportJson<'a> {
    fn new(report: &'a Redundancy, overviews: &[Figure]) -> Self {
        let stems = overviews.iter().map(|figure| figure.kind.stem());
        Self {
            format: FORMAT,
            version: VERSION,
            tool: super::TOOL,
            source: &report.source,
            skip_shallow: report.skip_shallow,
            thresholds: Compact((0..THRESHOLDS).map(threshold).collect()),
            merging: report.merging,
            net: NetJson::new(&report.net),
            layers: report.layers.iter().map(LayerJson::new).collect(),
            evolution: report.evolution.as_ref().map(EvolutionJson::new),
            figures: stems.map(|stem| (stem.clone(), drawing(&stem))).collect(),
            warnings: &report.warnings,
        }
    }
}

impl<'a> NetJson<'a> {
    fn new(net: &'a NetNumbers) -> Self {
        Self {
            kernels: net.kernels,
            pairs: net.pairs,
            pairs_above: Compact(&net.pairs_above),
            kernels_above: Compact(&net.kernels_above),
            max_similarity: net.greatest,
            hints: line_by_line(&net.hints, |hint| hint),
        }
    }
}

impl<'a> LayerJson<'a> {
    fn new(layer: &'a ReportedLayer) -> Self {
        let (facts, numbers, merges) = (&layer.facts, &layer.numbers, layer.merges.as_ref());
        let pair = |pair: &'a Pair| PairJson {
            pair,
            norm_ratio: pair.norm_ratio(),
            merged: merges.map(|merges| merges.join(pair.kernels)),
        };
        let figures = layer.figures.iter();
        Self {
            name: &facts.name,
            depth: facts.depth,
            kind: facts.kind,
            groups: facts.groups,
            shape: Compact(&facts.shape),
            dtype: facts.dtype.to_string(),
            kernels: facts.kernels,
            selected: facts.selected(),
            reason: facts.reason,
            pairs: numbers.pairs,
            pairs_above: Compact(&numbers.pairs_above),
            kernels_above: Compact(&numbers.kernels_above),
            max_similarity: numbers.nearest.greatest(),
            nearest: Compact(numbers.nearest.by_kernel()),
            nearest_spread: numbers.nearest_spread().map(Compact),
            norms: Compact(&numbers.norms),
            hints: line_by_line(&numbers.hints, |hint| hint),
            closest: line_by_line(&numbers.closest, pair),
            orthogonal: line_by_line(&numbers.orthogonal, pair),
            opposite: line_by_line(&numbers.opposite, pair),
            spectrum: numbers.spectrum.as_ref().map(SpectrumJson::new),
            health: HealthJson::new(&numbers.health),
            merged: merges.map(MergesJson::new),
            figures: figures
                .map(|&kind| (kind.stem(), drawing(&layer.stem.of(kind))))
                .collect(),
        }
    }
}

impl SpectrumJson {
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

impl<'a> HealthJson<'a> {
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

impl<'a> MergesJson<'a> {
    fn new(merges: &'a LayerMerges) -> Self {
        Self {
            tau: merges.tau,
            kernels: Compact(&merges.kernels),
            pairs: Compact(&merges.pairs),
        }
    }
}

impl<'a> EvolutionJson<'a> {
    fn new(evolution: &'a Evolution) -> Self {
        let layers = evolution.layers.iter().map(|layer| LayerEvolutionJson {
            name: &layer.name,
            depth: layer.depth,
            points: line_by_line(&layer.points, EpochJson::new),
        });
        Self {
            epochs: &evolution.epochs,
            layers: layers.collect(),
        }
    }
}

impl EpochJson {
    fn new(point: &EpochPoint) -> Self {
        Self {
            nearest_spread: point.nearest,
            effective_rank: point.effective_rank.map(rounded),
            norm: point.norm,
            relative_change: point.relative_change,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::{figures, sample};
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
        serde_json::from_slice(&json(report, &figures::overviews(report))).unwrap()
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
