//! One way through the tiles of a layer for how its similarities are spread: how many there are between the thresholds, and
//! the extremes.
//!
//! Nearly all pairs are counted by their screened similarity and its error bound. Those that may lie on either side of a
//! threshold, or be among the extremes, are compared by the definition, each once for all who ask.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::similarity::tile::{Counted, LossBound};
use crate::similarity::{Error, Group, Tile};

use super::curve::{INTERVALS, interval};
use super::extremes::{Pair, Ranking, Relation};

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
    /// The losses that a pair must be able to reach to be among the extremes.
    fn bounds(&self) -> [f32; 3] {
        [&self.similar, &self.orthogonal, &self.opposite].map(Ranking::bound)
    }

    fn each_mut(&mut self) -> [&mut Ranking; 3] {
        [&mut self.similar, &mut self.orthogonal, &mut self.opposite]
    }
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
    ///
    /// # Errors
    ///
    /// Those of the tile.
    pub fn visit(&self, group: &Group<'_, '_>, tile: &mut dyn Tile) -> Result<(), Error> {
        let losses = self.raise_bounds(tile)?;
        tile.count_by_interval(losses, &mut |counted| self.take(group, counted))
    }

    /// Takes what was counted in a tile.
    fn take(&self, group: &Group<'_, '_>, mut counted: Counted) {
        let compared = compare(group, counted.open);
        for &(_, _, similarity) in &compared {
            counted.counts[interval(similarity)] += 1;
        }
        for (sum, count) in self.counts.iter().zip(counted.counts) {
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
    fn raise_bounds(&self, tile: &mut dyn Tile) -> Result<[f32; 3], Error> {
        let wanted = self.lock().each_mut().map(|ranking| LossBound {
            below: ranking.bound(),
            count: ranking.wanted(),
        });
        let losses = tile.least_losses(wanted)?;
        let mut rankings = self.lock();
        for (ranking, losses) in rankings.each_mut().into_iter().zip(losses) {
            ranking.reach(&losses);
        }
        Ok(rankings.bounds())
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

/// The pairs that a tile leaves open, with their similarities by the definition.
fn compare(
    group: &Group<'_, '_>,
    open: Vec<(usize, usize, Option<f64>)>,
) -> Vec<(usize, usize, f64)> {
    let is_unknown = |open: &&(usize, usize, Option<f64>)| open.2.is_none();
    let unknown = open.iter().filter(is_unknown).map(|&(a, b, _)| (a, b));
    let unknown: Vec<(usize, usize)> = unknown.collect();
    let mut compared = group.similarities(&unknown).into_iter();
    open.into_iter()
        .map(|(a, b, known)| {
            let similarity = known.or_else(|| compared.next());
            (a, b, similarity.expect("one for each"))
        })
        .collect()
}
