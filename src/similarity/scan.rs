//! One pass over the tiles of a group that finds the pairs above a threshold, nearest neighbours, and the greatest similarity.

use serde::Serialize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use crate::schedule::per_task;

use super::tile::{Found, OpenPair, PairBounds, Screened, Tile};
use super::{Error, Group};

/// Candidates for one kernel's neighbour that are kept before they are thinned out. Apart from ties, a handful lie within the
/// error bounds.
const MANY_RIVALS: usize = 64;

/// The same for the most similar pair.
const MANY_PAIRS: usize = 4096;

/// Open pairs of a tile that are compared at once, or half of all its pairs where these are fewer. So many are found only where similarities are
/// all within the error bounds of each other, or of the threshold: those of orthogonal kernels, say.
const MANY_OPEN: usize = 4096;

/// Typical number of candidates per kernel after thinning.
const RIVALS: usize = 4;

/// Another kernel and how similar it is, by the float64 definition.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Neighbour {
    /// The kernel's number within the layer.
    pub kernel: usize,
    /// The similarity, in [−1, 1].
    #[cfg_attr(test, schemars(range(min = -1, max = 1)))]
    pub similarity: f64,
}

/// The state of a pass over the tiles.
#[derive(Debug)]
pub struct Scan<'g, 'k, 'a> {
    group: &'g Group<'k, 'a>,
    tau: f64,
    pairs_above: AtomicU64,
    /// Pairs that were compared together with many.
    compared: AtomicU64,
    /// What the nearest neighbours that are wanted are known to reach, where only those of some kernels are.
    most_similar: Option<MostSimilar>,
    /// By place.
    rivals: Vec<Mutex<Rivals<usize>>>,
    /// The candidates for the most similar pair.
    pairs: Mutex<Rivals<(usize, usize)>>,
}

/// A search for the nearest neighbours of the kernels that have the most similar ones.
#[derive(Debug)]
struct MostSimilar {
    /// How many kernels; at least one.
    count: usize,
    /// So many kernels have a neighbour that reaches this: what is surely below it is none of those that are wanted.
    floor: Mutex<f32>,
    /// Tiles that were visited.
    visits: AtomicUsize,
}

/// The candidates for the greatest similarity.
#[derive(Clone, Debug)]
struct Rivals<R> {
    /// A lower bound of the greatest similarity, or what it must reach to be of interest; infinite where nobody asks.
    bound: f32,
    /// Those that may reach the bound, with an upper bound of their similarity.
    open: Vec<(f32, R)>,
    /// The best of those that were compared exactly already.
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

    /// Adds a rival. Returns whether there are so many now that some should be compared.
    fn add(&mut self, at_most: f32, rival: R, many: usize) -> bool {
        self.open.push((at_most, rival));
        if self.open.len() <= many {
            return false;
        }
        self.open.retain(|&(at_most, _)| at_most >= self.bound);
        self.open.len() > many / 2
    }

    /// Compares the open rivals with the best so far. `alike` may say that a rival is exactly as similar as the best.
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

    /// Compares a rival whose similarity is known with the best so far; ties go to the lowest.
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
    /// A scan for the pairs above `tau`, for the nearest neighbours of the kernels at the places that are `wanted` (if these may be
    /// above `tau`), and for the greatest similarity.
    pub fn new(group: &'g Group<'k, 'a>, tau: f64, wanted: impl Fn(usize) -> bool) -> Self {
        let bound = |place| match wanted(place) {
            // Rounded down, so that nothing above the threshold is lost.
            true => (tau as f32).next_down(),
            false => f32::INFINITY,
        };
        let places = 0..group.len();
        Self {
            group,
            tau,
            pairs_above: AtomicU64::new(0),
            compared: AtomicU64::new(0),
            rivals: places
                .map(|place| Mutex::new(Rivals::above(bound(place))))
                .collect(),
            pairs: Mutex::new(Rivals::above(f32::NEG_INFINITY)),
            most_similar: None,
        }
    }

    /// A scan for the nearest neighbours of those `count` kernels that have the most similar ones. What it finds for others need not be the nearest,
    /// and is less similar than theirs.
    pub fn most_similar(group: &'g Group<'k, 'a>, count: usize) -> Self {
        Self {
            most_similar: (count > 0 && count < group.len()).then(|| MostSimilar {
                count,
                floor: Mutex::new(f32::NEG_INFINITY),
                visits: AtomicUsize::new(0),
            }),
            ..Self::new(group, -1.0, |_| true)
        }
    }

    /// What a similarity must reach to count, as far as is known by now: the threshold, or the greatest similarity where that is lower.
    pub fn floor(&self) -> f32 {
        let greatest = lock(&self.pairs).bound;
        greatest.min((self.tau as f32).max(self.reached_by_most_similar()))
    }

    /// What a nearest neighbour must reach to be one of those that are wanted, as far as is known by now.
    fn reached_by_most_similar(&self) -> f32 {
        let most_similar = self.most_similar.as_ref();
        most_similar.map_or(f32::NEG_INFINITY, |most_similar| *lock(&most_similar.floor))
    }

    /// Raises that to what so many kernels are known to have reached; as that takes a look at all kernels, once in as many tiles as lie along a side.
    fn raise_floor(&self, tile: &dyn Tile) {
        let Some(most_similar) = &self.most_similar else {
            return;
        };
        let along_a_side = self.rivals.len().div_ceil(tile.rows().len().max(1));
        let visits = 1 + most_similar.visits.fetch_add(1, Ordering::Relaxed);
        if !visits.is_multiple_of(along_a_side) {
            return;
        }
        let mut bounds: Vec<f32> = self
            .rivals
            .iter()
            .map(|rivals| lock(rivals).bound)
            .collect();
        let (_, reached, _) =
            bounds.select_nth_unstable_by(most_similar.count - 1, |a, b| b.total_cmp(a));
        let mut floor = lock(&most_similar.floor);
        *floor = floor.max(*reached);
    }

    /// Evaluates a tile in two passes: first lower bounds of the greatest similarities, then the pairs that matter. Calls `above`
    /// with the places of each pair that the screen leaves undecided and that turns out to be above the threshold.
    ///
    /// # Errors
    ///
    /// If the tile is on a GPU that fails.
    pub fn visit(
        &self,
        tile: &mut dyn Tile,
        above: &mut dyn FnMut(usize, usize),
    ) -> Result<(), Error> {
        loop {
            let bounds = self.bounds(tile)?;
            let starts = [tile.rows().start, tile.columns().start];
            let many = MANY_OPEN.min(tile.pairs() / 2);
            let mut compared = Vec::new();
            let screened = tile.find(&bounds, &mut |found| {
                compared.append(&mut self.take(found, &bounds, starts, many, above));
            })?;
            if screened == Screened::Whole {
                tile.note(compared);
                return Ok(());
            }
        }
    }

    /// Takes note of a tile's lower bounds of the greatest similarities; returns what its pairs must be able to reach.
    fn bounds(&self, tile: &mut dyn Tile) -> Result<PairBounds, Error> {
        let reached = tile.reached()?;
        let pair = {
            let greatest = reached.rows.iter();
            let greatest = greatest.fold(f32::NEG_INFINITY, |m, &v| m.max(v));
            let mut pairs = lock(&self.pairs);
            pairs.bound = pairs.bound.max(greatest);
            pairs.bound
        };
        let mut bounds = PairBounds {
            tau: self.tau as f32,
            rows: self.raise_bounds(tile.rows().start, &reached.rows),
            columns: self.raise_bounds(tile.columns().start, &reached.columns),
            pair,
        };
        self.raise_floor(tile);
        let floor = self.reached_by_most_similar();
        for bound in bounds.rows.iter_mut().chain(&mut bounds.columns) {
            *bound = bound.max(floor);
        }
        Ok(bounds)
    }

    /// Evaluates the pairs that a tile, which starts at these places, has found; more than `many` at once. Returns those that were compared, if they
    /// are as many.
    fn take(
        &self,
        found: Found,
        bounds: &PairBounds,
        starts: [usize; 2],
        many: usize,
        above: &mut dyn FnMut(usize, usize),
    ) -> Vec<OpenPair> {
        let mut pairs_above = found.pairs_above;
        let mut open = found.open;
        let are_many = open.len() > many;
        if are_many {
            self.compare(&mut open);
            self.compared
                .fetch_add(open.len() as u64, Ordering::Relaxed);
        }
        for &pair in &open {
            if pair.is_undecided || pair.similarity.is_some() {
                let is_above = self.decide(&pair);
                if pair.is_undecided && is_above {
                    pairs_above += 1;
                    above(pair.a, pair.b);
                }
            } else {
                self.sort_in(starts, bounds, pair);
            }
        }
        self.pairs_above.fetch_add(pairs_above, Ordering::Relaxed);
        if are_many { open } else { Vec::new() }
    }

    /// Compares all open pairs that are not compared yet.
    fn compare(&self, open: &mut [OpenPair]) {
        let mut unknown: Vec<&mut OpenPair> = open
            .iter_mut()
            .filter(|pair| pair.similarity.is_none())
            .collect();
        let pairs: Vec<(usize, usize)> = unknown.iter().map(|pair| (pair.a, pair.b)).collect();
        let similarities = self.group.similarities(&pairs);
        for (pair, similarity) in unknown.iter_mut().zip(similarities) {
            pair.similarity = Some(similarity);
        }
    }

    /// Whether a pair is above the threshold by the definition. Since its similarity is then known, every search for a greatest
    /// similarity takes it into account.
    fn decide(&self, pair: &OpenPair) -> bool {
        let &OpenPair { a, b, .. } = pair;
        let known = pair.similarity;
        let similarity = known.unwrap_or_else(|| self.group.similarity(a, b));
        for (place, rival) in [(a, b), (b, a)] {
            lock(&self.rivals[place]).take(similarity, rival);
        }
        lock(&self.pairs).take(similarity, (a, b));
        similarity > self.tau
    }

    /// Takes note of lower bounds of the greatest similarities of the kernels from a place on; returns the bounds after that,
    /// infinite for kernels whose neighbour is not wanted.
    fn raise_bounds(&self, start: usize, reached: &[f32]) -> Vec<f32> {
        let rivals = self.rivals[start..].iter().zip(reached);
        rivals
            .map(|(rivals, &reached)| {
                let mut rivals = lock(rivals);
                rivals.bound = rivals.bound.max(reached);
                rivals.bound
            })
            .collect()
    }

    /// Adds a pair to the lists to which it belongs.
    fn sort_in(&self, starts: [usize; 2], bounds: &PairBounds, pair: OpenPair) {
        let OpenPair { a, b, at_most, .. } = pair;
        for (bounds, start, place, rival) in [
            (&bounds.rows, starts[0], a, b),
            (&bounds.columns, starts[1], b, a),
        ] {
            if at_most >= bounds[place - start] {
                let mut rivals = lock(&self.rivals[place]);
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

    /// By place, the nearest neighbour of every wanted kernel that may have one above the threshold (the neighbour found need not be
    /// above it). All tiles must have been visited.
    pub fn nearest(&self) -> Vec<Option<Neighbour>> {
        let floor = self.reached_by_most_similar();
        self.rivals
            .par_iter()
            .with_min_len(per_task(RIVALS * self.group.row_bytes()))
            .enumerate()
            .map(|(place, rivals)| {
                let mut rivals = lock(rivals);
                rivals.bound = rivals.bound.max(floor);
                self.settle(place, &mut rivals);
                let is_wanted = rivals.bound < f32::INFINITY;
                self.neighbour(&rivals).filter(|_| is_wanted)
            })
            .collect()
    }

    /// By place, the nearest neighbours of all kernels, wanted or not, if every pair was compared on the way: where similarities are all within
    /// the error bounds of each other. All tiles must have been visited.
    pub fn nearest_of_all(&self) -> Option<Vec<Option<Neighbour>>> {
        let compared = self.compared.load(Ordering::Relaxed);
        (compared == self.group.pairs()).then(|| {
            let rivals = self.rivals.iter();
            rivals.map(|rivals| self.neighbour(&lock(rivals))).collect()
        })
    }

    /// The nearest of the rivals that were compared.
    fn neighbour(&self, rivals: &Rivals<usize>) -> Option<Neighbour> {
        let (similarity, rival) = rivals.settled?;
        Some(Neighbour {
            kernel: self.group.kernel(rival),
            similarity,
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
