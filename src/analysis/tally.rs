//! One way through the tiles of a layer for how its similarities are spread: how many there are between the thresholds, and
//! the extremes.
//!
//! Nearly all pairs are counted by their screened similarity and its error bound. Those that may lie on either side of a
//! threshold, or be among the extremes, are compared by the definition, each once for all who ask.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::simd::{self, Loop};
use crate::similarity::{Group, Tile};

use super::curve::{INTERVALS, interval};
use super::extremes::{Pair, Ranking, Relation};

/// Columns looked at together.
const LANES: usize = 32;

/// Histograms that neighbouring pairs go to in turn: the same place of one would have to wait for its last increment.
const HISTOGRAMS: usize = 4;

/// Places of a histogram: more than intervals, and as many as make every byte one.
const PLACES: usize = 256;

/// A tile that leaves one pair in so many open is likely to hold the same few kernels many times.
const MANY_OPEN: usize = 4;

/// The pairs of a layer by interval, and its extremes.
pub(super) struct Tally {
    counts: [AtomicU64; INTERVALS],
    rankings: Mutex<Rankings>,
}

struct Rankings {
    similar: Ranking,
    orthogonal: Ranking,
    opposite: Ranking,
}

impl Rankings {
    fn bounds(&self) -> Bounds {
        Bounds {
            similar: self.similar.bound(),
            orthogonal: self.orthogonal.bound(),
            opposite: self.opposite.bound(),
        }
    }

    fn each_mut(&mut self) -> [&mut Ranking; 3] {
        [&mut self.similar, &mut self.orthogonal, &mut self.opposite]
    }
}

/// The losses that a pair must be able to reach to be among the extremes.
#[derive(Clone, Copy)]
struct Bounds {
    similar: f32,
    orthogonal: f32,
    opposite: f32,
}

/// What became of all pairs.
pub(super) struct Tallied {
    /// How many there are in each interval.
    pub counts: [u64; INTERVALS],
    /// Those of greatest similarity, falling.
    pub similar: Vec<Pair>,
    /// Those of similarity nearest to 0.
    pub orthogonal: Vec<Pair>,
    /// Those of least similarity, rising.
    pub opposite: Vec<Pair>,
}

impl Tally {
    pub fn new() -> Self {
        Self {
            counts: [const { AtomicU64::new(0) }; INTERVALS],
            rankings: Mutex::new(Rankings {
                similar: Ranking::new(Relation::Similar),
                orthogonal: Ranking::new(Relation::Orthogonal),
                opposite: Ranking::new(Relation::Opposite),
            }),
        }
    }

    /// Takes a tile of a group into account.
    pub fn visit(&self, group: &Group<'_, '_>, tile: &Tile<'_>) {
        let bounds = self.raise_bounds(tile);
        let mut found = simd::widest(FindOpen { tile, bounds });
        let compared = compare(group, found.open, tile.pairs());
        for &(_, _, similarity) in &compared {
            found.counts[interval(similarity)] += 1;
        }
        for (sum, count) in self.counts.iter().zip(found.counts) {
            if count > 0 {
                sum.fetch_add(count, Ordering::Relaxed);
            }
        }
        let mut rankings = self.lock();
        for (a, b, similarity) in compared {
            let kernels = [group.kernel(a), group.kernel(b)];
            for ranking in rankings.each_mut() {
                ranking.offer(kernels, similarity);
            }
        }
    }

    /// Takes note of what the extremes of a tile surely reach; the bounds then.
    fn raise_bounds(&self, tile: &Tile<'_>) -> Bounds {
        let (bounds, wanted) = {
            let mut rankings = self.lock();
            let bounds = rankings.bounds();
            (bounds, rankings.each_mut().map(|ranking| ranking.wanted()))
        };
        let similar = simd::widest(FindReached {
            tile,
            loss: |value: f32| -value,
            bound: bounds.similar,
            wanted: wanted[0],
        });
        let orthogonal = simd::widest(FindReached {
            tile,
            loss: f32::abs,
            bound: bounds.orthogonal,
            wanted: wanted[1],
        });
        let opposite = simd::widest(FindReached {
            tile,
            loss: |value: f32| value,
            bound: bounds.opposite,
            wanted: wanted[2],
        });
        let mut rankings = self.lock();
        for (ranking, reached) in rankings
            .each_mut()
            .into_iter()
            .zip([similar, orthogonal, opposite])
        {
            ranking.reach(&reached);
        }
        rankings.bounds()
    }

    fn lock(&self) -> MutexGuard<'_, Rankings> {
        self.rankings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has been found, of kernels with these norms. All tiles of all groups must have been visited.
    pub fn finish(self, norms: &[f64]) -> Tallied {
        let rankings = self.lock();
        Tallied {
            counts: std::array::from_fn(|place| self.counts[place].load(Ordering::Relaxed)),
            similar: rankings.similar.pairs(norms),
            orthogonal: rankings.orthogonal.pairs(norms),
            opposite: rankings.opposite.pairs(norms),
        }
    }
}

/// The pairs that a tile of so many leaves open, with their similarities by the definition.
fn compare(
    group: &Group<'_, '_>,
    open: Vec<(usize, usize)>,
    pairs: usize,
) -> Vec<(usize, usize, f64)> {
    if open.len() <= pairs / MANY_OPEN {
        let similarity = |(a, b)| (a, b, group.similarity(a, b));
        return open.into_iter().map(similarity).collect();
    }
    let mut known: HashMap<(usize, usize), f64> = HashMap::new();
    let similarity = |(a, b)| {
        let twins = (group.first_twin(a), group.first_twin(b));
        let similarity = known.entry(twins).or_insert_with(|| group.similarity(a, b));
        (a, b, *similarity)
    };
    open.into_iter().map(similarity).collect()
}

/// The least of the most that the losses of a tile's pairs can be, as many as are wanted below a bound.
struct FindReached<'t, 'v, L> {
    tile: &'t Tile<'v>,
    loss: L,
    bound: f32,
    wanted: usize,
}

impl<L: Fn(f32) -> f32> Loop for FindReached<'_, '_, L> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run(self) -> Vec<f32> {
        let mut bound = self.bound;
        let mut reached: Vec<f32> = Vec::with_capacity(self.wanted + 1);
        for row in self.tile.by_row() {
            let at_most = |value: &f32, error: &f32| (self.loss)(*value) + error + row.error;
            for (values, errors) in row.values.chunks(LANES).zip(row.errors.chunks(LANES)) {
                let mut below = 0u32;
                for (value, error) in values.iter().zip(errors) {
                    below += u32::from(at_most(value, error) < bound);
                }
                // Almost everywhere this is all.
                if below == 0 {
                    continue;
                }
                for (value, error) in values.iter().zip(errors) {
                    let at_most = at_most(value, error);
                    if at_most < bound {
                        let rank = reached.partition_point(|&other| other <= at_most);
                        reached.insert(rank, at_most);
                        reached.truncate(self.wanted);
                        if let Some(&last) = reached.get(self.wanted - 1) {
                            bound = last;
                        }
                    }
                }
            }
        }
        reached
    }
}

/// What the screen tells of a tile's pairs.
struct Found {
    /// Pairs surely in each interval.
    counts: [u64; INTERVALS],
    /// The places of the others, and of all that may be among the extremes.
    open: Vec<(usize, usize)>,
}

struct FindOpen<'t, 'v> {
    tile: &'t Tile<'v>,
    bounds: Bounds,
}

impl Loop for FindOpen<'_, '_> {
    type Output = Found;

    #[inline(always)]
    fn run(self) -> Found {
        let mut histograms = [[0u32; PLACES]; HISTOGRAMS];
        let mut open = Vec::new();
        for row in self.tile.by_row() {
            let chunks = row.values.chunks(LANES).zip(row.errors.chunks(LANES));
            for (first, (values, errors)) in (row.first..).step_by(LANES).zip(chunks) {
                let mut places = [0u8; LANES];
                let mut is_open = [false; LANES];
                let numbers = values.iter().zip(errors);
                for ((value, error), (place, is_open)) in
                    numbers.zip(places.iter_mut().zip(&mut is_open))
                {
                    let error = error + row.error;
                    let [low, high] = intervals(*value, error);
                    *place = low as u8;
                    *is_open = (low != high)
                        | (-value - error <= self.bounds.similar)
                        | (value.abs() - error <= self.bounds.orthogonal)
                        | (value - error <= self.bounds.opposite);
                }
                let outcomes = places.iter().zip(is_open).take(values.len());
                for (lane, (&place, is_open)) in outcomes.enumerate() {
                    if is_open {
                        open.push((row.place, first + lane));
                    } else {
                        histograms[lane % HISTOGRAMS][usize::from(place)] += 1;
                    }
                }
            }
        }
        let sum = |place: usize| histograms.iter().map(|h| u64::from(h[place])).sum();
        let mut counts: [u64; INTERVALS] = std::array::from_fn(sum);
        // No similarity is below all thresholds for sure; these are pairs of kernels that take no part.
        counts[0] = 0;
        Found { counts, open }
    }
}

/// The intervals between which a similarity lies that is off by no more than `error`; 0 and 0 if that is NaN.
///
/// Scaled and shifted so that interval k is [k, k + 1), numbers below 256 are rounded by at most 2⁻¹⁶ in each of the three
/// operations, together less than a millionth of similarity; that is less than the slack in the error bounds, which
/// keeps it away from the ends, too: which of them belong to an interval makes no difference.
#[inline(always)]
fn intervals(value: f32, error: f32) -> [i32; 2] {
    let (middle, reach) = (value * 100.0 + 101.0, error * 100.0);
    [(middle - reach) as i32, (middle + reach) as i32]
}
