//! One way through the tiles of a group for all that is asked of its similarities: the pairs above a threshold, nearest
//! neighbours, and the greatest similarity.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use crate::schedule::per_task;
use crate::simd::{self, Loop};

use super::{Group, Neighbour, Tile};

/// Rivals of one kernel kept before they are thinned out; ties aside, a handful lie within the error bounds.
const MANY_RIVALS: usize = 64;

/// As many for the most similar pair.
const MANY_PAIRS: usize = 4096;

/// A tile is computed again in float32 where bytes leave more than one pair in so many open: as many exact tests take as
/// long.
const MANY_OPEN: usize = 16;

/// Rivals that a kernel is left with in the end, about.
const RIVALS: usize = 4;

/// Columns looked at together: where none of them counts, as almost everywhere, that is all.
const LANES: usize = 32;

/// What is found out tile by tile.
#[derive(Debug)]
pub struct Scan<'g, 'k, 'a> {
    group: &'g Group<'k, 'a>,
    tau: f64,
    pairs_above: AtomicU64,
    /// By place; `None` for kernels whose neighbour nobody wants to know.
    rivals: Vec<Option<Mutex<Rivals<usize>>>>,
    /// Those for the most similar pair.
    pairs: Mutex<Rivals<(usize, usize)>>,
}

/// The candidates for the greatest similarity.
#[derive(Clone, Debug)]
struct Rivals<R> {
    /// What the greatest similarity certainly reaches, or what it must reach to be of interest.
    bound: f32,
    /// Those that may reach the bound, with the most that their similarity can be.
    open: Vec<(f32, R)>,
    /// The winner of those that were compared exactly already.
    settled: Option<(f64, R)>,
}

impl<R: Copy + Ord> Rivals<R> {
    fn above(bound: f32) -> Self {
        Self {
            bound,
            open: Vec::new(),
            settled: None,
        }
    }

    /// Adds a rival. Whether there are so many now that some should be compared.
    fn add(&mut self, at_most: f32, rival: R, many: usize) -> bool {
        self.open.push((at_most, rival));
        if self.open.len() <= many {
            return false;
        }
        self.open.retain(|&(at_most, _)| at_most >= self.bound);
        self.open.len() > many / 2
    }

    /// Compares the open rivals with the winner so far. `alike` may tell that a rival is as similar as the winner.
    fn settle(&mut self, similarity: impl Fn(R) -> f64, alike: impl Fn(R, R) -> bool) {
        for (at_most, rival) in std::mem::take(&mut self.open) {
            if at_most < self.bound {
                continue;
            }
            let similarity = match self.settled {
                Some((similarity, winner)) if alike(winner, rival) => similarity,
                _ => similarity(rival),
            };
            self.take(similarity, rival);
        }
    }

    /// Compares a rival whose similarity is known with the winner so far; ties go to the lowest.
    fn take(&mut self, similarity: f64, rival: R) {
        let wins = self.settled.is_none_or(|(best, winner)| {
            similarity > best || (similarity == best && rival < winner)
        });
        if wins {
            self.settled = Some((similarity, rival));
            // Rounded down, so that no tie is lost.
            self.bound = self.bound.max((similarity as f32).next_down());
        }
    }
}

impl<'g, 'k, 'a> Scan<'g, 'k, 'a> {
    /// A scan for the pairs more similar than `tau`, for the nearest neighbours of the kernels at the places that are
    /// `wanted`, where these may be more similar than `tau`, and for the greatest similarity of all.
    pub fn new(group: &'g Group<'k, 'a>, tau: f64, wanted: impl Fn(usize) -> bool) -> Self {
        // Rounded down, so that nothing above the threshold is lost.
        let rivals = || Mutex::new(Rivals::above((tau as f32).next_down()));
        Self {
            group,
            tau,
            pairs_above: AtomicU64::new(0),
            rivals: (0..group.len())
                .map(|place| wanted(place).then(rivals))
                .collect(),
            pairs: Mutex::new(Rivals::above(f32::NEG_INFINITY)),
        }
    }

    /// Takes a tile into account, in two passes over values that are still in cache: what the greatest similarities surely
    /// reach, then the pairs that count. `above` is told the places of every pair above the threshold.
    pub fn visit(&self, tile: &mut Tile<'_>, mut above: Option<&mut dyn FnMut(usize, usize)>) {
        let (mut bounds, mut found) = self.find(tile, above.is_some());
        if found.open.len() > tile.pairs() / MANY_OPEN && tile.refine() {
            (bounds, found) = self.find(tile, above.is_some());
        }
        let mut pairs_above = found.pairs_above;
        if let Some(above) = &mut above {
            found.above.into_iter().for_each(|(a, b)| above(a, b));
        }
        for pair in found.open {
            if !pair.is_undecided {
                self.sort_in(tile, &bounds, pair);
            } else if self.decide(&pair) {
                pairs_above += 1;
                if let Some(above) = &mut above {
                    above(pair.a, pair.b);
                }
            }
        }
        self.pairs_above.fetch_add(pairs_above, Ordering::Relaxed);
    }

    /// Both passes; the pairs surely above the threshold are listed if asked for.
    fn find(&self, tile: &Tile<'_>, list_above: bool) -> (Bounds, Found) {
        let reached = simd::widest(FindReached { tile });
        let pair_bound = {
            let greatest = reached
                .rows
                .iter()
                .fold(f32::NEG_INFINITY, |m, &v| m.max(v));
            let mut pairs = lock(&self.pairs);
            pairs.bound = pairs.bound.max(greatest);
            pairs.bound
        };
        let bounds = Bounds {
            rows: self.raise_bounds(tile.rows().start, &reached.rows),
            columns: self.raise_bounds(tile.columns().start, &reached.columns),
            pair: pair_bound,
        };
        let found = simd::widest(FindPairs {
            tile,
            bounds: &bounds,
            tau: self.tau as f32,
            list_above,
        });
        (bounds, found)
    }

    /// Whether a pair that the screen leaves open is above the threshold. As its similarity is known then, all who look
    /// for the greatest are told.
    fn decide(&self, pair: &OpenPair) -> bool {
        let &OpenPair { a, b, .. } = pair;
        let similarity = self.group.similarity(a, b);
        for (place, rival) in [(a, b), (b, a)] {
            if let Some(rivals) = &self.rivals[place] {
                lock(rivals).take(similarity, rival);
            }
        }
        lock(&self.pairs).take(similarity, (a, b));
        similarity > self.tau
    }

    /// Takes note of what the greatest similarities of the kernels from a place on surely reach; the bounds then, infinite
    /// for kernels nobody wants to know of.
    fn raise_bounds(&self, start: usize, reached: &[f32]) -> Vec<f32> {
        let rivals = self.rivals[start..].iter().zip(reached);
        rivals
            .map(|(rivals, &reached)| {
                let Some(rivals) = rivals else {
                    return f32::INFINITY;
                };
                let mut rivals = lock(rivals);
                rivals.bound = rivals.bound.max(reached);
                rivals.bound
            })
            .collect()
    }

    /// Adds a pair to the lists to which it belongs.
    fn sort_in(&self, tile: &Tile<'_>, bounds: &Bounds, pair: OpenPair) {
        let OpenPair { a, b, at_most, .. } = pair;
        for (bounds, start, place, rival) in [
            (&bounds.rows, tile.rows().start, a, b),
            (&bounds.columns, tile.columns().start, b, a),
        ] {
            if let Some(rivals) = &self.rivals[place]
                && at_most >= bounds[place - start]
            {
                let mut rivals = lock(rivals);
                if rivals.add(at_most, rival, MANY_RIVALS) {
                    self.settle(place, &mut rivals);
                }
            }
        }
        if at_most >= bounds.pair {
            let mut pairs = lock(&self.pairs);
            if pairs.add(at_most, (a, b), MANY_PAIRS) {
                self.settle_pairs(&mut pairs);
            }
        }
    }

    /// Compares a kernel's open rivals.
    fn settle(&self, place: usize, rivals: &mut Rivals<usize>) {
        rivals.settle(
            |rival| self.group.similarity(place, rival),
            |a, b| self.group.are_twins(a, b),
        );
    }

    /// Compares the pairs that may be the most similar.
    fn settle_pairs(&self, pairs: &mut Rivals<(usize, usize)>) {
        pairs.settle(
            |(a, b)| self.group.similarity(a, b),
            |(a, b), (c, d)| self.group.are_twins(a, c) && self.group.are_twins(b, d),
        );
    }

    /// Pairs above the threshold. All tiles must have been visited.
    pub fn pairs_above(&self) -> u64 {
        self.pairs_above.load(Ordering::Relaxed)
    }

    /// The greatest similarity of two kernels. All tiles must have been visited.
    pub fn greatest(&self) -> Option<f64> {
        let mut pairs = lock(&self.pairs);
        self.settle_pairs(&mut pairs);
        pairs.settled.map(|(similarity, _)| similarity)
    }

    /// By place, the nearest neighbour: of every kernel that is wanted and may have one above the threshold, if not
    /// always above it. All tiles must have been visited.
    pub fn nearest(&self) -> Vec<Option<Neighbour>> {
        self.rivals
            .par_iter()
            .with_min_len(per_task(RIVALS * self.group.row_bytes()))
            .enumerate()
            .map(|(place, rivals)| {
                let mut rivals = lock(rivals.as_ref()?);
                self.settle(place, &mut rivals);
                rivals.settled.map(|(similarity, rival)| Neighbour {
                    kernel: self.group.kernel(rival),
                    similarity,
                })
            })
            .collect()
    }
}

fn lock<R>(rivals: &Mutex<Rivals<R>>) -> MutexGuard<'_, Rivals<R>> {
    rivals.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the greatest similarities of a tile's kernels surely reach, by row and by column.
struct Reached {
    rows: Vec<f32>,
    columns: Vec<f32>,
}

struct FindReached<'t, 'v> {
    tile: &'t Tile<'v>,
}

impl Loop for FindReached<'_, '_> {
    type Output = Reached;

    #[inline(always)]
    fn run(self) -> Reached {
        let first_column = self.tile.columns().start;
        let mut rows = Vec::with_capacity(self.tile.rows().len());
        let mut columns = vec![f32::NEG_INFINITY; self.tile.columns().len()];
        for row in self.tile.by_row() {
            let mut reached = [f32::NEG_INFINITY; LANES];
            let columns = &mut columns[row.first - first_column..];
            let mut values = row.values.chunks_exact(LANES);
            let mut errors = row.errors.chunks_exact(LANES);
            let mut columns = columns.chunks_exact_mut(LANES);
            for ((values, errors), columns) in
                values.by_ref().zip(errors.by_ref()).zip(columns.by_ref())
            {
                for lane in 0..LANES {
                    let at_least = values[lane] - errors[lane] - row.error;
                    reached[lane] = greater(at_least, reached[lane]);
                    columns[lane] = greater(at_least, columns[lane]);
                }
            }
            let rest = values.remainder().iter().zip(errors.remainder());
            for ((value, error), column) in rest.zip(columns.into_remainder()) {
                let at_least = value - error - row.error;
                reached[0] = greater(at_least, reached[0]);
                *column = greater(at_least, *column);
            }
            rows.push(reached.into_iter().fold(f32::NEG_INFINITY, greater));
        }
        Reached { rows, columns }
    }
}

/// The greater of two numbers; the second if the first is NaN.
#[inline(always)]
fn greater(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// What a similarity must be able to reach to count.
struct Bounds {
    /// For the kernels along a tile's rows.
    rows: Vec<f32>,
    /// For those along its columns.
    columns: Vec<f32>,
    /// For the most similar pair of the group.
    pair: f32,
}

/// Two places whose kernels must be compared.
struct OpenPair {
    a: usize,
    b: usize,
    /// The most that their similarity can be.
    at_most: f32,
    /// Whether it may be on either side of the threshold.
    is_undecided: bool,
}

/// What a tile holds that counts.
#[derive(Default)]
struct Found {
    /// Pairs that may be someone's nearest, or on either side of the threshold.
    open: Vec<OpenPair>,
    /// The number of pairs surely above the threshold.
    pairs_above: u64,
    /// These pairs themselves, if they are to be listed.
    above: Vec<(usize, usize)>,
}

struct FindPairs<'t, 'v> {
    tile: &'t Tile<'v>,
    bounds: &'t Bounds,
    tau: f32,
    list_above: bool,
}

impl Loop for FindPairs<'_, '_> {
    type Output = Found;

    #[inline(always)]
    fn run(self) -> Found {
        let (first_row, first_column) = (self.tile.rows().start, self.tile.columns().start);
        let tau = self.tau;
        let mut found = Found::default();
        for row in self.tile.by_row() {
            let bound = self.bounds.rows[row.place - first_row].min(self.bounds.pair);
            let bounds = &self.bounds.columns[row.first - first_column..];
            let values = row.values.chunks(LANES).zip(row.errors.chunks(LANES));
            let firsts = (row.first..).step_by(LANES);
            for (first, ((values, errors), bounds)) in firsts.zip(values.zip(bounds.chunks(LANES)))
            {
                let (mut possibly, mut surely, mut rivals) = (0u32, 0u32, 0u32);
                for ((value, error), column_bound) in values.iter().zip(errors).zip(bounds) {
                    let at_most = value + error + row.error;
                    possibly += u32::from(at_most >= tau);
                    surely += u32::from(value - error - row.error > tau);
                    rivals += u32::from((at_most >= bound) | (at_most >= *column_bound));
                }
                // Almost everywhere this is all.
                if possibly + rivals == 0 {
                    continue;
                }
                if possibly == surely && rivals == 0 && !self.list_above {
                    found.pairs_above += u64::from(surely);
                    continue;
                }
                let columns = values.iter().zip(errors).zip(bounds);
                for (b, ((value, error), column_bound)) in (first..).zip(columns) {
                    let at_most = value + error + row.error;
                    let is_above = value - error - row.error > tau;
                    let is_undecided = at_most >= tau && !is_above;
                    if is_above {
                        found.pairs_above += 1;
                        if self.list_above {
                            found.above.push((row.place, b));
                        }
                    }
                    if is_undecided || at_most >= bound || at_most >= *column_bound {
                        found.open.push(OpenPair {
                            a: row.place,
                            b,
                            at_most,
                            is_undecided,
                        });
                    }
                }
            }
        }
        found
    }
}
