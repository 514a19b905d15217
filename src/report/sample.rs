//! A report to test with: small random kernels, compared in the plainest way.

use std::collections::BTreeSet;

use crate::analysis::{
    ByChance, Curve, EpochPoint, Evolution, Expected, Health, KernelPicture, LayerDrawings,
    LayerEvolution, LayerNumbers, NetNumbers, Pair, PairPicture, Relation, SimilarityMap, Spectrum,
    Spread, THRESHOLDS, ThresholdHint, threshold,
};
use crate::layers::{Kind, Reason};
use crate::similarity::tau_bins::{INTERVALS, interval};
use crate::similarity::{Chance, Nearest, Neighbour};

use super::figures::{self, FigureSet, FormatSets, Formats, LayerStem, Titles};
use super::page;
use crate::plan::{Parameters, SourceId};

use super::redundancy::{LayerMerges, Redundancy, ReportedLayer};
use crate::layers::Layer;

/// What a network of the sample is.
pub struct Net {
    pub layers: usize,
    /// Kernels of a layer of that depth.
    pub kernels: fn(usize) -> usize,
    /// Name of the layer of that depth.
    pub name: fn(usize) -> String,
    pub skip_shallow: usize,
}

/// A report in which nothing is missing: every key of the JSON occurs.
pub fn full() -> Redundancy {
    let mut report = Net {
        layers: 4,
        kernels: |depth| 8 * depth,
        name: |depth| format!("layer{depth}.0.conv.weight"),
        skip_shallow: 1,
    }
    .report();
    let numbers = &mut report.layers[0].numbers;
    numbers.norms[5] = f64::NAN;
    numbers.health = Health {
        zero: vec![1],
        near_dead: vec![2],
        non_finite: vec![5],
        duplicates: vec![(4, 3)],
        sign_flipped: vec![(7, 6)],
        near_duplicates: vec![(5, 9)],
        non_finite_numbers: 3,
        subnormal_numbers: 4,
    };
    report.warnings = vec!["conv7 is <parametrised>".to_owned()];
    report.with_merges().with_epochs(3)
}

/// The keys or columns that `reports/README.md` documents under the heading of that file.
pub fn documented(file: &str) -> BTreeSet<String> {
    let text = include_str!("../../reports/README.md");
    let (_, section) = text
        .split_once(&format!("## `{file}`"))
        .expect("the file has a heading");
    let section = section.split("\n#").next().unwrap_or_default();
    section
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .flat_map(|row| {
            let (names, _) = row.split_once(" |").expect("a row has two cells");
            names
                .trim_end_matches('`')
                .split("`, `")
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

/// A stream of numbers in [−1, 1) without pattern.
fn noise(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

fn curve(values: &[f64]) -> Curve {
    let above = |tau: f64| values.iter().filter(|&&value| value > tau).count() as u64;
    Curve::from_counts(
        (0..THRESHOLDS)
            .map(|place| above(threshold(place)))
            .collect(),
    )
}

fn hints(kernels: usize, greatest: Vec<f64>) -> Vec<ThresholdHint> {
    ThresholdHint::for_shares(kernels, greatest)
}

/// What chance gives so many kernels of so many numbers, beside these similarities.
pub fn by_chance(length: usize, kernels: usize, pairs: &[f64], nearest: &Nearest) -> ByChance {
    let mut counts = [0; INTERVALS];
    for &similarity in pairs {
        counts[interval(similarity)] += 1;
    }
    ByChance::new(Chance::new(length, kernels), &counts, nearest)
}

/// Every kernel's nearest neighbour, by the similarities of n of them.
fn neighbours(matrix: &[f64], n: usize) -> Vec<Option<Neighbour>> {
    (0..n)
        .map(|a| {
            (0..n)
                .filter(|&b| b != a)
                .map(|kernel| Neighbour {
                    kernel,
                    similarity: matrix[a * n + kernel],
                })
                .reduce(|best, other| {
                    if other.similarity > best.similarity {
                        other
                    } else {
                        best
                    }
                })
        })
        .collect()
}

/// The similarities of kernels in an order.
fn map(matrix: &[f64], order: Vec<usize>) -> SimilarityMap {
    let n = order.len();
    let cells: Vec<f32> = order
        .iter()
        .flat_map(|a| order.iter().map(move |b| matrix[a * n + b] as f32))
        .collect();
    SimilarityMap {
        cells: n,
        mean: cells.clone(),
        max: cells,
        order,
    }
}

/// The numbers and drawings of a layer of n random kernels in a few clusters.
pub fn layer(n: usize, seed: u64) -> (LayerNumbers, LayerDrawings) {
    const LENGTH: usize = 24;
    let mut next = noise(seed);
    let centres: Vec<f64> = (0..LENGTH * 5).map(|_| next()).collect();
    let kernels: Vec<Vec<f64>> = (0..n)
        .map(|kernel| {
            let near = next().abs().powi(3);
            let centre = &centres[kernel % 5 * LENGTH..][..LENGTH];
            centre.iter().map(|c| near * c + 0.6 * next()).collect()
        })
        .collect();
    let norms: Vec<f64> = kernels
        .iter()
        .map(|kernel| kernel.iter().map(|x| x * x).sum::<f64>().sqrt())
        .collect();
    let similarity = |a: usize, b: usize| {
        let product: f64 = kernels[a].iter().zip(&kernels[b]).map(|(x, y)| x * y).sum();
        product / (norms[a] * norms[b])
    };
    let mut matrix = vec![1.0; n * n];
    let mut pairs = Vec::new();
    for a in 0..n {
        for b in a + 1..n {
            let similarity = similarity(a, b);
            (matrix[a * n + b], matrix[b * n + a]) = (similarity, similarity);
            pairs.push(Pair {
                kernels: [a, b],
                similarity,
                norms: [norms[a], norms[b]],
            });
        }
    }
    let neighbours = Nearest::from_neighbours(neighbours(&matrix, n));
    let greatest: Vec<f64> = neighbours.similarities().collect();
    let similarities: Vec<f64> = pairs.iter().map(|pair| pair.similarity).collect();
    let count = pairs.len() as u64;
    pairs.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
    let first = |pairs: &[Pair]| pairs.iter().take(12).copied().collect::<Vec<_>>();
    let closest = first(&pairs);
    let opposite = first(&pairs.iter().rev().copied().collect::<Vec<_>>());
    pairs.sort_by(|a, b| a.similarity.abs().total_cmp(&b.similarity.abs()));
    let orthogonal = first(&pairs);
    let pictures = closest.first().map(|&pair| PairPicture {
        relation: Relation::Similar,
        pair,
        pictures: [0, 1].map(|_| KernelPicture {
            width: 2,
            height: 2,
            values: vec![0.0, 0.5, 1.0, -1.0],
            colours: 1,
        }),
        shows: "mean over 6 input channels".to_owned(),
    });
    let map = |order| map(&matrix, order);
    let mut clustered: Vec<usize> = (0..n).collect();
    clustered.sort_by_key(|kernel| kernel % 5);
    let eigenvalues: Vec<f64> = (0..n).map(|k| 9.0 * (-(k as f64) / 12.0).exp()).collect();
    let numbers = LayerNumbers {
        norms,
        health: Health::default(),
        pairs: count,
        pairs_above: curve(&similarities),
        kernels_above: curve(&greatest),
        by_chance: by_chance(LENGTH, n, &similarities, &neighbours),
        nearest: neighbours,
        hints: hints(n, greatest),
        closest,
        orthogonal,
        opposite,
        spectrum: Some(Spectrum {
            effective_rank: n as f64 / 1.7,
            stable_rank: n as f64 / 5.3,
            participation_ratio: n as f64 / 2.9,
            for_90_percent: n.div_ceil(2),
            for_99_percent: n,
            eigenvalues,
        }),
    };
    let drawings = LayerDrawings {
        in_file_order: map((0..n).collect()),
        clustered: Some(map(clustered)),
        pairs: pictures.into_iter().collect(),
    };
    (numbers, drawings)
}

impl Net {
    pub fn report(&self) -> Redundancy {
        let layers: Vec<ReportedLayer> = (1..=self.layers)
            .map(|depth| {
                let kernels = (self.kernels)(depth);
                let (numbers, drawings) = layer(kernels, depth as u64);
                let kind = [Kind::Conv, Kind::Pointwise][depth % 3 / 2];
                let facts = Layer {
                    depth: Some(depth),
                    reason: (depth <= self.skip_shallow).then_some(Reason::Shallow),
                    ..Layer::sample(&(self.name)(depth), kind, &[kernels, 24])
                };
                let stem = LayerStem::new(depth, &facts.name);
                let figures = figures::of_layer(&facts, &numbers, &drawings, None);
                ReportedLayer {
                    section: page::section(
                        &facts,
                        &numbers,
                        &drawings,
                        None,
                        &stem,
                        &figures,
                        Formats::ALL,
                    ),
                    facts,
                    numbers,
                    merges: None,
                    stem,
                    figures: figures.iter().map(|figure| figure.kind).collect(),
                }
            })
            .collect();
        let parts = || layers.iter().filter(|layer| layer.facts.reason.is_none());
        let sum = |curve: fn(&LayerNumbers) -> &Curve| {
            let total = |place| {
                parts()
                    .map(|layer| curve(&layer.numbers).above()[place])
                    .sum()
            };
            Curve::from_counts((0..THRESHOLDS).map(total).collect())
        };
        let greatest = parts()
            .flat_map(|layer| layer.numbers.nearest.by_kernel().iter().flatten())
            .map(|neighbour| neighbour.similarity)
            .collect();
        let kernels = parts().map(|layer| layer.facts.kernels).sum();
        let net = NetNumbers {
            kernels,
            pairs: parts().map(|layer| layer.numbers.pairs).sum(),
            pairs_above: sum(|numbers| &numbers.pairs_above),
            kernels_above: sum(|numbers| &numbers.kernels_above),
            by_chance: {
                let mut sum = Expected::default();
                parts().for_each(|layer| sum += &layer.numbers.by_chance.expected);
                sum
            },
            hints: hints(kernels, greatest),
            greatest: parts()
                .filter_map(|layer| layer.numbers.nearest.greatest())
                .reduce(f64::max),
        };
        Redundancy {
            input: "runs/a b/model.safetensors".into(),
            source: SourceId {
                file: "epoch-12.safetensors".to_owned(),
                bytes: 46_807_480,
                header_sha256: "0f3a".repeat(16),
            },
            skip_shallow: self.skip_shallow,
            selecting: vec!["--skip-shallow".to_owned(), self.skip_shallow.to_string()],
            net,
            layers,
            merging: None,
            evolution: None,
            formats: FormatSets {
                png: FigureSet::All,
                pdf: FigureSet::All,
            },
            titles: Titles::Drawn,
            warnings: Vec::new(),
        }
    }
}

impl Redundancy {
    /// As if its closest pairs above 0.6 had been merged.
    pub fn with_merges(mut self) -> Self {
        for layer in &mut self.layers {
            if layer.facts.reason.is_some() {
                continue;
            }
            let above = layer
                .numbers
                .closest
                .iter()
                .filter(|pair| pair.similarity > 0.6);
            let pairs: BTreeSet<_> = above
                .map(|pair| (pair.kernels[1], pair.kernels[0]))
                .collect();
            layer.merges = Some(LayerMerges {
                tau: 0.6,
                kernels: pairs.iter().map(|&(kernel, _)| kernel).collect(),
                pairs,
            });
        }
        self.merging = Some(Parameters {
            tau: "0.6".parse().unwrap(),
            ..Parameters::default()
        });
        self
    }

    /// As the last of so many epochs.
    pub fn with_epochs(mut self, epochs: usize) -> Self {
        let point = |layer: &ReportedLayer, epoch: usize| EpochPoint {
            nearest: layer.numbers.nearest_spread().map(|spread| Spread {
                median: spread.median - 0.02 * (epochs - epoch) as f64,
                ..spread
            }),
            above_chance: 0.4 + 0.02 * epoch as f64,
            effective_rank: Some(layer.facts.kernels as f64 / (1.7 + 0.1 * epoch as f64)),
            norm: 3.0 + epoch as f64 / 7.0,
            relative_change: (epoch > 0).then(|| 0.2 / epoch as f64),
        };
        self.evolution = Some(Evolution {
            epochs: (1..=epochs)
                .map(|epoch| format!("epoch-{epoch:02}"))
                .collect(),
            layers: self
                .layers
                .iter()
                .map(|layer| LayerEvolution {
                    name: layer.facts.name.clone(),
                    depth: layer.facts.depth,
                    takes_part: layer.facts.reason.is_none(),
                    points: (0..epochs).map(|epoch| point(layer, epoch)).collect(),
                })
                .collect(),
        });
        self
    }
}
