//! Layers to draw, made up.

use std::collections::BTreeSet;

use crate::analysis::{
    Curve, EpochPoint, Evolution, Health, KernelPicture, LayerDrawings, LayerEvolution,
    LayerNumbers, NetNumbers, Pair, PairPicture, Relation, SimilarityMap, Spectrum, Spread,
    THRESHOLDS, ThresholdHint, threshold,
};
use crate::layers::Layer;
use crate::layers::{Kind, Reason};
use crate::report::redundancy::LayerMerges;
use crate::similarity::{Nearest, Neighbour};

/// Cells of a map at most.
const CELLS: usize = 512;

/// A layer with all that is drawn of it.
pub struct Sample {
    pub facts: Layer,
    pub numbers: LayerNumbers,
    pub drawings: LayerDrawings,
    pub merges: LayerMerges,
}

/// Numbers of [0, 1) without pattern.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: usize) -> Self {
        Self(seed as u64 * 2 + 1)
    }

    pub fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f64 / (1u64 << 24) as f64
    }
}

fn clusters(n: usize) -> usize {
    (n / 6).clamp(2, 9)
}

/// Similarities of kernels that lie in clusters, every second of each nearer to its middle than the others.
fn similarity(i: usize, j: usize, n: usize) -> f64 {
    let mut noise = Noise::new(i.min(j) * 5001 + i.max(j));
    let jitter = (noise.next() + noise.next() + noise.next()) * 0.4 - 0.6;
    let (a, b) = (i % clusters(n), j % clusters(n));
    let base = match (a == b, (a + b).is_multiple_of(4)) {
        (true, _) if (i / clusters(n) + j / clusters(n)).is_multiple_of(2) => 0.62,
        (true, _) => 0.35,
        (false, true) => -0.3,
        (false, false) => 0.02,
    };
    (base + 0.5 * jitter).clamp(-0.99, 0.98)
}

/// The map of these kernels; `compared` says whether two are.
fn map(order: Vec<usize>, compared: impl Fn(usize, usize) -> bool) -> SimilarityMap {
    let n = order.len();
    let cells = n.min(CELLS);
    let mut mean = vec![f32::NAN; cells * cells];
    let mut max = mean.clone();
    let per_cell = n.div_ceil(cells).min(4);
    for row in 0..cells {
        for column in 0..cells {
            let mut found = Vec::new();
            for a in 0..per_cell {
                for b in 0..per_cell {
                    let kernel =
                        |cell: usize, part: usize| order[(cell * n / cells + part).min(n - 1)];
                    let (i, j) = (kernel(row, a), kernel(column, b));
                    if i == j && n <= CELLS {
                        found.push(1.0);
                    } else if i != j && compared(i, j) {
                        found.push(similarity(i, j, n) as f32);
                    }
                }
            }
            if !found.is_empty() {
                mean[row * cells + column] = found.iter().sum::<f32>() / found.len() as f32;
                max[row * cells + column] = found.iter().copied().reduce(f32::max).unwrap();
            }
        }
    }
    SimilarityMap {
        order,
        cells,
        mean,
        max,
    }
}

fn curve(similarities: &[f64]) -> Curve {
    let above = |place| {
        similarities
            .iter()
            .filter(|&&s| s > threshold(place))
            .count() as u64
    };
    Curve::from_counts((0..THRESHOLDS).map(above).collect())
}

pub fn falling(n: usize) -> Spectrum {
    let mut noise = Noise::new(n);
    let zeros = if n > 8 { n / 16 } else { 0 };
    let mut eigenvalues: Vec<f64> = (0..n - zeros)
        .map(|i| {
            40.0 * (-5.0 * i as f64 / n as f64).exp() / (1.0 + i as f64).sqrt()
                + 0.01 * noise.next()
        })
        .collect();
    eigenvalues.sort_by(|a, b| b.total_cmp(a));
    let sum: f64 = eigenvalues.iter().sum();
    let squares: f64 = eigenvalues.iter().map(|e| e * e).sum();
    let entropy: f64 = eigenvalues
        .iter()
        .map(|e| -(e / sum) * (e / sum).ln())
        .sum();
    let fewest = |share: f64| {
        let mut so_far = 0.0;
        let reached = |e: &f64| {
            so_far += e;
            so_far >= share * sum
        };
        eigenvalues.iter().position(reached).unwrap_or(0) + 1
    };
    let (for_90_percent, for_99_percent) = (fewest(0.9), fewest(0.99));
    let stable_rank = sum / eigenvalues[0];
    eigenvalues.extend(vec![0.0; zeros]);
    Spectrum {
        eigenvalues,
        effective_rank: entropy.exp(),
        stable_rank,
        participation_ratio: sum * sum / squares,
        for_90_percent,
        for_99_percent,
    }
}

fn picture(seed: usize, width: usize, height: usize, colours: usize) -> KernelPicture {
    let mut noise = Noise::new(seed);
    let phase = noise.next() * 6.0;
    let values = (0..width * height * colours)
        .map(|at| {
            let (x, y) = (at / colours % width, at / colours / width);
            let wave = (x as f64 * 1.3 + y as f64 * 0.7 + phase).sin();
            (wave * 0.1 + 0.05 * (noise.next() - 0.5)) as f32
        })
        .collect();
    KernelPicture {
        width,
        height,
        values,
        colours,
    }
}

pub fn pictures(width: usize, height: usize, colours: usize) -> Vec<PairPicture> {
    let relations = [
        (Relation::Similar, 0.8312),
        (Relation::Orthogonal, -0.0004),
        (Relation::Opposite, -0.7141),
    ];
    let pairs = relations
        .iter()
        .flat_map(|relation| [(relation, 0), (relation, 1), (relation, 2)]);
    pairs
        .map(|(&(relation, similarity), place)| PairPicture {
            relation,
            pair: Pair {
                kernels: [3 + place, 40 + 7 * place],
                similarity: similarity * (1.0 - 0.03 * place as f64),
                norms: [1.0, 0.5],
            },
            pictures: [place, place + 9].map(|seed| {
                let seed = seed + (similarity * 100.0) as i64 as usize % 1000;
                picture(seed, width, height, colours)
            }),
            shows: match colours {
                3 => "the three input channels".to_owned(),
                _ => "mean over 64 input channels".to_owned(),
            },
        })
        .collect()
}

impl Sample {
    pub fn new(name: &str, n: usize, groups: usize) -> Self {
        let group = |kernel: usize| kernel * groups / n;
        // One kernel of zeros, where there are enough.
        let live = |kernel: usize| n < 16 || kernel != n - 3;
        let compared = |i: usize, j: usize| group(i) == group(j) && live(i) && live(j);
        let mut order: Vec<usize> = (0..n).collect();
        let in_file_order = map(order.clone(), compared);
        order.sort_by_key(|&kernel| (group(kernel), kernel % clusters(n), kernel));
        let clustered = (n <= 4096).then(|| map(order, compared));

        // Of many kernels, some stand for all.
        let others = |i: usize| (0..n).step_by(n.div_ceil(256)).filter(move |&j| i != j);
        let neighbours: Vec<Option<Neighbour>> = (0..n)
            .map(|i| {
                let compared = others(i).filter(|&j| compared(i, j));
                let similar = compared.map(|j| Neighbour {
                    kernel: j,
                    similarity: similarity(i, j, n),
                });
                similar.max_by(|a, b| a.similarity.total_cmp(&b.similarity))
            })
            .collect();
        let nearest = Nearest::from_neighbours(neighbours.clone());
        let greatest: Vec<f64> = nearest.similarities().collect();
        let pairs: Vec<f64> = (0..n.min(300))
            .flat_map(|i| {
                (0..i)
                    .filter(move |&j| compared(i, j))
                    .map(move |j| similarity(i, j, n))
            })
            .collect();
        let tau = 0.55;
        let merged: BTreeSet<usize> = (0..n)
            .filter(|&i| i % 2 == 0 && neighbours[i].is_some_and(|n| n.similarity > tau))
            .collect();
        Self {
            facts: Layer {
                depth: Some(7),
                groups,
                ..Layer::sample(name, Kind::Conv, &[n, 64 / groups, 3, 3])
            },
            numbers: LayerNumbers {
                norms: vec![1.0; n],
                health: Health::default(),
                pairs: pairs.len() as u64,
                pairs_above: curve(&pairs),
                kernels_above: curve(&greatest),
                hints: ThresholdHint::for_shares(n, greatest),
                by_chance: crate::report::sample::by_chance(
                    64 / groups * 9,
                    n / groups,
                    &pairs,
                    &nearest,
                ),
                nearest,
                closest: Vec::new(),
                orthogonal: Vec::new(),
                opposite: Vec::new(),
                spectrum: Some(falling(n)),
            },
            drawings: LayerDrawings {
                in_file_order,
                clustered,
                pairs: pictures(3, 3, 1),
            },
            merges: LayerMerges {
                tau,
                pairs: merged.iter().map(|&kernel| (kernel, 0)).collect(),
                kernels: merged,
            },
        }
    }

    /// As it would be for the whole net.
    pub fn net(&self) -> NetNumbers {
        NetNumbers {
            kernels: self.facts.kernels,
            pairs: self.numbers.pairs,
            pairs_above: self.numbers.pairs_above.clone(),
            kernels_above: self.numbers.kernels_above.clone(),
            by_chance: self.numbers.by_chance.expected.clone(),
            hints: self.numbers.hints.clone(),
            greatest: self.numbers.nearest.greatest(),
        }
    }
}

/// Layers of a net, with a linear one at the end where there are several; every seventh has no spectrum.
pub fn net(layers: usize, shallow: usize) -> Vec<Sample> {
    (1..=layers)
        .map(|depth| {
            let n = [8, 12, 16, 24][depth % 4];
            let mut sample = Sample::new(&format!("features.{depth}.conv.weight"), n, 1);
            sample.facts.depth = Some(depth);
            sample.facts.reason = (depth <= shallow).then_some(Reason::Shallow);
            if depth % 7 == 5 {
                sample.numbers.spectrum = None;
            }
            if depth == layers && layers > 3 {
                sample.facts.depth = None;
                sample.facts.kind = Kind::Linear;
            }
            let drift = 0.4 * depth as f64 / layers as f64 - 0.3;
            let moved = sample.numbers.nearest.by_kernel().iter().map(|neighbour| {
                neighbour.map(|n| Neighbour {
                    similarity: (n.similarity + drift).clamp(-1.0, 1.0),
                    ..n
                })
            });
            sample.numbers.nearest = Nearest::from_neighbours(moved.collect());
            sample
        })
        .collect()
}

pub fn epochs(layers: usize, epochs: usize) -> Evolution {
    Evolution {
        epochs: (1..=epochs)
            .map(|epoch| format!("epoch-{epoch:02}/model.safetensors"))
            .collect(),
        layers: (0..layers)
            .map(|layer| {
                let mut noise = Noise::new(layer);
                let mut median = 0.3 + 0.3 * layer as f64 / layers as f64;
                let mut rank = 30.0 + 20.0 * noise.next();
                LayerEvolution {
                    name: format!("features.{layer}.weight"),
                    depth: (layer != 4).then_some(layer + 1),
                    takes_part: layer != 1,
                    points: (0..epochs)
                        .map(|epoch| {
                            median += 0.03 * (noise.next() - 0.3);
                            rank *= 1.0 - 0.03 * noise.next();
                            EpochPoint {
                                nearest: (layer != 3 || epoch != 1)
                                    .then(|| Spread::of(&[median - 0.1, median, median + 0.1]))
                                    .flatten(),
                                above_chance: median - 0.2,
                                effective_rank: Some(rank),
                                norm: 1.0,
                                relative_change: (epoch > 0)
                                    .then(|| 0.2 * noise.next() / epoch as f64),
                            }
                        })
                        .collect(),
                }
            })
            .collect(),
    }
}
