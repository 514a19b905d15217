//! The loops over a tile for the distribution of its similarities.

use crate::simd::Loop;

use super::super::tau_bins::{INTERVALS, intervals};
use super::super::tile::{Counted, LossBound};
use super::values::TileValues;

const LANES: usize = 32;

/// Histograms that neighbouring pairs use in turn: increments of the same counter would have to wait for each other.
const HISTOGRAMS: usize = 4;

/// Counters of a histogram: one for every value of a byte, which is more than there are intervals.
const PLACES: usize = 256;

/// The smallest upper bounds of the losses of a tile's pairs, as many as are wanted.
pub(super) struct FindLeastLosses<'t, 'v, L> {
    pub tile: &'t TileValues<'v>,
    pub loss: L,
    pub wanted: LossBound,
}

impl<L: Fn(f32) -> f32> Loop for FindLeastLosses<'_, '_, L> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run(self) -> Vec<f32> {
        let LossBound {
            below: mut bound,
            count,
        } = self.wanted;
        let mut reached: Vec<f32> = Vec::with_capacity(count + 1);
        for row in self.tile.by_row() {
            let at_most = |value: &f32, error: &f32| (self.loss)(*value) + error + row.error;
            for (values, errors) in row.values.chunks(LANES).zip(row.errors.chunks(LANES)) {
                let mut below = 0u32;
                for (value, error) in values.iter().zip(errors) {
                    below += u32::from(at_most(value, error) < bound);
                }
                // Nearly all chunks end here.
                if below == 0 {
                    continue;
                }
                for (value, error) in values.iter().zip(errors) {
                    let at_most = at_most(value, error);
                    if at_most < bound {
                        let rank = reached.partition_point(|&other| other <= at_most);
                        reached.insert(rank, at_most);
                        reached.truncate(count);
                        if let Some(&last) = reached.get(count - 1) {
                            bound = last;
                        }
                    }
                }
            }
        }
        reached
    }
}

/// The pairs by interval, and those that are open.
pub(super) struct CountByInterval<'t, 'v> {
    pub tile: &'t TileValues<'v>,
    pub losses: [f32; 3],
}

impl Loop for CountByInterval<'_, '_> {
    type Output = Counted;

    #[inline(always)]
    fn run(self) -> Counted {
        let [similar, orthogonal, opposite] = self.losses;
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
                        | (-value - error <= similar)
                        | (value.abs() - error <= orthogonal)
                        | (value - error <= opposite);
                }
                let outcomes = places.iter().zip(is_open).take(values.len());
                for (lane, (&place, is_open)) in outcomes.enumerate() {
                    if is_open {
                        open.push((row.place, first + lane, None));
                    } else {
                        histograms[lane % HISTOGRAMS][usize::from(place)] += 1;
                    }
                }
            }
        }
        let sum = |place: usize| histograms.iter().map(|h| u64::from(h[place])).sum();
        let mut counts: [u64; INTERVALS] = std::array::from_fn(sum);
        // No similarity is below all thresholds: these are pairs of kernels that take no part.
        counts[0] = 0;
        Counted { counts, open }
    }
}
