//! The search for nearest neighbours, and for the most similar pair of all, through the tiles of a group.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use crate::simd::{self, Loop};

use super::{Group, Neighbour, Tile};

/// Rivals of one kernel kept before they are thinned out; ties aside, a handful lie within the error bounds.
const MANY_RIVALS: usize = 64;

/// As many for the most similar pair.
const MANY_PAIRS: usize = 4096;

/// Kernels whose rivals one task settles at least.
const KERNELS_PER_TASK: usize = 64;

/// Columns looked at together: where none of them counts, as almost everywhere, that is all.
const LANES: usize = 32;

/// The search, fed tile by tile.
#[derive(Debug)]
pub struct Search<'g, 'k, 'a> {
    group: &'g Group<'k, 'a>,
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

    /// Compares the open rivals with the winner so far; ties go to the lowest. `known` may tell that a rival is as similar
    /// as the winner.
    fn settle(&mut self, similarity: impl Fn(R) -> f64, known: impl Fn(R, R) -> bool) {
        for (at_most, rival) in std::mem::take(&mut self.open) {
            if at_most < self.bound {
                continue;
            }
            let similarity = match self.settled {
                Some((similarity, winner)) if known(winner, rival) => similarity,
                _ => similarity(rival),
            };
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
}

impl<'g, 'k, 'a> Search<'g, 'k, 'a> {
    /// A search for the nearest neighbours of the kernels at the places that are `wanted`, where these may be more similar
    /// than `floor`, and for the most similar pair of all.
    pub fn new(group: &'g Group<'k, 'a>, floor: f64, wanted: impl Fn(usize) -> bool) -> Self {
        // Rounded down, so that nothing above the floor is lost.
        let rivals = || Mutex::new(Rivals::above((floor as f32).next_down()));
        Self {
            group,
            rivals: (0..group.len())
                .map(|place| wanted(place).then(rivals))
                .collect(),
            pairs: Mutex::new(Rivals::above(f32::NEG_INFINITY)),
        }
    }

    /// Takes the tile's greatest similarities into account, then its rivals: two passes over values that are still in
    /// cache.
    pub fn visit(&self, tile: &Tile<'_>) {
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
        for pair in simd::widest(FindRivals {
            tile,
            bounds: &bounds,
        }) {
            self.sort_in(tile, &bounds, pair);
        }
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
    fn sort_in(&self, tile: &Tile<'_>, bounds: &Bounds, pair: Pair) {
        let Pair { a, b, at_most } = pair;
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

    /// The greatest similarity of two kernels. All tiles must have been visited.
    pub fn greatest(&self) -> Option<f64> {
        let mut pairs = lock(&self.pairs);
        self.settle_pairs(&mut pairs);
        pairs.settled.map(|(similarity, _)| similarity)
    }

    /// By place, the nearest neighbour: of every kernel that is wanted and may have one above the floor, if not always
    /// above it. All tiles must have been visited.
    pub fn nearest(&self) -> Vec<Option<Neighbour>> {
        self.rivals
            .par_iter()
            .with_min_len(KERNELS_PER_TASK)
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

/// Two places, and the greatest similarity that the kernels there can have.
struct Pair {
    a: usize,
    b: usize,
    at_most: f32,
}

/// The pairs of a tile that reach one of the bounds.
struct FindRivals<'t, 'v> {
    tile: &'t Tile<'v>,
    bounds: &'t Bounds,
}

impl Loop for FindRivals<'_, '_> {
    type Output = Vec<Pair>;

    #[inline(always)]
    fn run(self) -> Vec<Pair> {
        let (first_row, first_column) = (self.tile.rows().start, self.tile.columns().start);
        let mut found = Vec::new();
        for row in self.tile.by_row() {
            let bound = self.bounds.rows[row.place - first_row].min(self.bounds.pair);
            let bounds = &self.bounds.columns[row.first - first_column..];
            let values = row.values.chunks(LANES).zip(row.errors.chunks(LANES));
            let firsts = (row.first..).step_by(LANES);
            for (first, ((values, errors), bounds)) in firsts.zip(values.zip(bounds.chunks(LANES)))
            {
                let mut any = 0u32;
                for ((value, error), column_bound) in values.iter().zip(errors).zip(bounds) {
                    let at_most = value + error + row.error;
                    any |= u32::from(at_most >= bound) | u32::from(at_most >= *column_bound);
                }
                if any == 0 {
                    continue;
                }
                let columns = values.iter().zip(errors).zip(bounds);
                for (b, ((value, error), column_bound)) in (first..).zip(columns) {
                    let at_most = value + error + row.error;
                    if at_most >= bound || at_most >= *column_bound {
                        found.push(Pair {
                            a: row.place,
                            b,
                            at_most,
                        });
                    }
                }
            }
        }
        found
    }
}
