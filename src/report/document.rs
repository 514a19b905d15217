//! `report.json`: all numbers of an analysis, with documented keys (`reports/README.md`).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};

use crate::analysis::{
    Curve, EpochPoint, Evolution, Expected, Health, NetNumbers, Pair, Spectrum, Spread, THRESHOLDS,
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

/// What is in `report.json`, and what `analyze --json` prints: all numbers of an analysis.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Report"))]
pub(crate) struct ReportJson<'a> {
    /// `"inmerge-report"`.
    #[cfg_attr(test, schemars(extend("const" = FORMAT)))]
    format: &'static str,
    /// The version of the format.
    #[cfg_attr(test, schemars(extend("const" = VERSION)))]
    version: u64,
    /// The program and its version.
    tool: &'static str,
    /// Identifies the checkpoint; the last one where several were given.
    source: &'a SourceId,
    /// L_s: the first so many convolutions are analysed but never merged, and are left out of `net`.
    skip_shallow: usize,
    /// The thresholds of all curves.
    thresholds: Compact<Vec<f64>>,
    /// How the kernels were merged, as given on the command line; none where the report is of no merge.
    merging: Option<Parameters>,
    /// Sums over the layers that take part.
    net: NetJson<'a>,
    /// The layers analysed, in depth order.
    layers: Vec<LayerJson<'a>>,
    /// What became of the layers from epoch to epoch; none where one checkpoint was given.
    evolution: Option<EvolutionJson<'a>>,
    /// The figures of the whole net: the path of the SVG, by the file's stem. The PNG is beside it.
    figures: BTreeMap<String, String>,
    /// What the user should know, in words.
    warnings: &'a [String],
}

/// Sums over the layers that take part.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Net"))]
struct NetJson<'a> {
    /// Their kernels.
    kernels: usize,
    /// Unordered pairs of kernels that are compared.
    pairs: u64,
    /// Pairs above each threshold.
    pairs_above: Compact<&'a Curve>,
    /// Kernels with a partner above each threshold: those that can merge.
    kernels_above: Compact<&'a Curve>,
    /// What chance gives: the same of kernels of independent, uniform directions.
    by_chance: ExpectedJson<'a>,
    /// The greatest similarity.
    #[cfg_attr(test, schemars(range(min = -1, max = 1)))]
    max_similarity: Option<f64>,
    /// Thresholds at which at most 1, 5, 10, 20 and 50 % of the kernels have a partner, where any has.
    hints: Vec<Compact<&'a ThresholdHint>>,
}

/// A layer that was analysed.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Layer"))]
struct LayerJson<'a> {
    /// Name of the weight.
    name: &'a str,
    /// Place among the convolutions, from 1; none if it is not one.
    #[cfg_attr(test, schemars(range(min = 1)))]
    depth: Option<usize>,
    /// Its kind.
    kind: Kind,
    /// Parts of the kernels that see different input channels. Only kernels of one part are compared, but for depthwise layers, whose kernels are all compared.
    groups: usize,
    /// Shape of the weight.
    shape: Compact<&'a [usize]>,
    /// Element type, as safetensors names it.
    dtype: String,
    /// Number of kernels.
    kernels: usize,
    /// Whether the layer takes part in merging.
    selected: bool,
    /// Why it does not take part; none if it does.
    reason: Option<Reason>,
    /// Unordered pairs that are compared.
    pairs: u64,
    /// Of these, pairs above each threshold.
    pairs_above: Compact<&'a Curve>,
    /// Kernels with a partner above each threshold.
    kernels_above: Compact<&'a Curve>,
    /// What chance gives, and what is beyond it.
    by_chance: ByChanceJson<'a>,
    /// The greatest similarity.
    #[cfg_attr(test, schemars(range(min = -1, max = 1)))]
    max_similarity: Option<f64>,
    /// Each kernel's nearest neighbour, of several equally near the one of the lowest number.
    nearest: Compact<&'a [Option<Neighbour>]>,
    /// How these similarities are spread.
    nearest_spread: Option<Compact<Spread>>,
    /// Each kernel's Euclidean norm; none where it is not finite.
    #[cfg_attr(test, schemars(with = "Vec<Option<f64>>"))]
    norms: Compact<&'a [f64]>,
    /// Thresholds at which at most 1, 5, 10, 20 and 50 % of this layer's kernels have a partner, where any has.
    hints: Vec<Compact<&'a ThresholdHint>>,
    /// The pairs of greatest similarity, falling.
    closest: Vec<Compact<PairJson<'a>>>,
    /// Those of similarity nearest to 0, the nearest first.
    orthogonal: Vec<Compact<PairJson<'a>>>,
    /// Those of least similarity, rising.
    opposite: Vec<Compact<PairJson<'a>>>,
    /// The spectrum of the Gram matrix K·Kᵀ of the kernels as they are; none where it was not asked for or is not finite.
    spectrum: Option<SpectrumJson>,
    /// What is wrong with the kernels.
    health: HealthJson<'a>,
    /// What was merged; none where the layer takes no part, and where the report is of no merge.
    merged: Option<MergesJson<'a>>,
    /// The layer's figures: the path of the SVG, by what it shows. The PNG is beside it.
    figures: BTreeMap<String, String>,
}

/// What chance gives above each threshold.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Expected"))]
struct ExpectedJson<'a> {
    /// Pairs above it on average, to six decimals.
    pairs_above: Compact<&'a [f64]>,
    /// Kernels with a partner above it on average, to six decimals.
    kernels_above: Compact<&'a [f64]>,
}

/// A layer beside kernels of independent, uniform directions.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ByChance"))]
struct ByChanceJson<'a> {
    /// Numbers of a kernel: the dimension of those directions.
    dimension: usize,
    /// 1 / mean(cos²) over the pairs, the dimension in which such directions would have it, to three digits; none without pairs
    /// and beyond some 40,000.
    effective_dimension: Option<f64>,
    /// The threshold at which chance gives a partner to 1 % of the kernels.
    #[cfg_attr(test, schemars(range(min = -1, max = 1)))]
    tau: f64,
    /// Kernels with a partner above it.
    kernels: usize,
    /// Their share of the layer's kernels, less that of chance.
    excess: f64,
    #[serde(flatten)]
    expected: ExpectedJson<'a>,
}

/// Two kernels of a layer.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Pair"))]
struct PairJson<'a> {
    #[serde(flatten)]
    pair: &'a Pair,
    /// The lesser norm over the greater.
    #[cfg_attr(test, schemars(range(min = 0, max = 1)))]
    norm_ratio: f64,
    /// Whether one was blended with the other; none where the report is of no merge.
    merged: Option<bool>,
}

/// The spectrum of a layer. Numbers are rounded to 12 significant digits.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Spectrum"))]
struct SpectrumJson {
    /// λ, falling, as many as kernels; 0 where float64 does not resolve them.
    eigenvalues: Compact<Vec<f64>>,
    /// exp(−Σ p ln p), with p = λ / Σλ.
    effective_rank: f64,
    /// Σλ / λ₁.
    stable_rank: f64,
    /// (Σλ)² / Σλ².
    participation_ratio: f64,
    /// Fewest eigenvalues that sum up to 90 % of Σλ.
    for_90_percent: usize,
    /// Fewest eigenvalues that sum up to 99 % of Σλ.
    for_99_percent: usize,
}

/// What is wrong with the kernels of a layer.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Health"))]
struct HealthJson<'a> {
    /// Kernels of norm below 1e-8.
    zero: Compact<&'a [usize]>,
    /// Other kernels whose norm is below 1 % of the median norm.
    near_dead: Compact<&'a [usize]>,
    /// Kernels with a NaN, an infinity, or numbers whose squares are beyond float64.
    non_finite: Compact<&'a [usize]>,
    /// `[kernel, first]`: kernels equal to an earlier one, and the first such.
    duplicates: Compact<&'a [(usize, usize)]>,
    /// `[kernel, first]`: kernels that are an earlier one's negative.
    sign_flipped: Compact<&'a [(usize, usize)]>,
    /// `[kernel, neighbour]`: other kernels with a neighbour more similar than 0.9999, and the nearest.
    near_duplicates: Compact<&'a [(usize, usize)]>,
    /// Numbers that are NaN or infinite.
    non_finite_numbers: u64,
    /// Numbers below the normal range of their type.
    subnormal_numbers: u64,
}

/// What was merged in a layer.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Merges"))]
struct MergesJson<'a> {
    /// The layer's threshold as a number.
    tau: f64,
    /// The kernels that changed.
    kernels: Compact<&'a BTreeSet<usize>>,
    /// `[kernel, partner]` of every merge, once if several rounds have it.
    pairs: Compact<&'a BTreeSet<(usize, usize)>>,
}

/// What became of the layers from epoch to epoch.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Evolution"))]
struct EvolutionJson<'a> {
    /// What the checkpoints are called, in the order given.
    epochs: &'a [String],
    /// The layers, in depth order.
    layers: Vec<LayerEvolutionJson<'a>>,
}

/// What became of a layer.
#[derive(Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "LayerEvolution")
)]
struct LayerEvolutionJson<'a> {
    /// Name of its weight.
    name: &'a str,
    /// Place among the convolutions, from 1; none if it is not one.
    #[cfg_attr(test, schemars(range(min = 1)))]
    depth: Option<usize>,
    /// Whether it takes part in merging.
    takes_part: bool,
    /// One for each epoch.
    points: Vec<Compact<EpochJson>>,
}

/// A layer in one epoch.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Epoch"))]
struct EpochJson {
    /// How the kernels' greatest similarities are spread; none where no two can be compared.
    nearest_spread: Option<Spread>,
    /// The share of the kernels that have a partner above the threshold at which chance gives one to 1 %.
    #[cfg_attr(test, schemars(range(min = 0, max = 1)))]
    above_chance: f64,
    /// exp(−Σ p ln p) of the spectrum; none without one.
    effective_rank: Option<f64>,
    /// ‖W‖ of the layer; none where it is not finite.
    #[cfg_attr(test, schemars(with = "Option<f64>"))]
    norm: f64,
    /// ‖W − W′‖ / ‖W′‖ with W′ one epoch before; none in the first, and where that is no finite number.
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

/// As what it holds.
#[cfg(test)]
impl<T: schemars::JsonSchema> schemars::JsonSchema for Compact<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<T>()
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
            by_chance: ExpectedJson::new(&net.by_chance),
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
            by_chance: ByChanceJson::new(layer),
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

impl<'a> ExpectedJson<'a> {
    fn new(expected: &'a Expected) -> Self {
        Self {
            pairs_above: Compact(&expected.pairs_above),
            kernels_above: Compact(&expected.kernels_above),
        }
    }
}

impl<'a> ByChanceJson<'a> {
    fn new(layer: &'a ReportedLayer) -> Self {
        let by_chance = &layer.numbers.by_chance;
        Self {
            dimension: by_chance.dimension,
            effective_dimension: by_chance.effective_dimension,
            tau: by_chance.tau,
            kernels: by_chance.kernels,
            excess: rounded(by_chance.excess),
            expected: ExpectedJson::new(&by_chance.expected),
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
            near_duplicates: Compact(&health.near_duplicates),
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
            takes_part: layer.takes_part,
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
            above_chance: point.above_chance,
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
