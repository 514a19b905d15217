//! Every kernel's nearest neighbour, exactly.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rayon::prelude::*;

use super::kernels::KERNELS_PER_TASK;
use super::{Kernels, Screen, Tile};

/// Rivals of one kernel kept before they are thinned out; ties aside, a handful lie within the error bound.
const MANY_RIVALS: usize = 64;

/// Another kernel and how similar it is, by the float64 definition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// The kernel's number within the layer.
    pub kernel: usize,
    /// The similarity, in [−1, 1].
    pub similarity: f64,
}

/// The nearest neighbours of all kernels of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Nearest(Vec<Option<Neighbour>>);

impl Nearest {
    /// Finds for every kernel the one of greatest similarity in its group, ties going to the lowest number. Kernels that
    /// take no part have no neighbour and are nobody's.
    pub fn of(kernels: &Kernels<'_>) -> Self {
        let mut nearest = vec![None; kernels.len()];
        for group in kernels.groups() {
            let screen = Screen::new(&group);
            let search = Search::new(&screen);
            screen.for_each_tile(|tile| search.visit(tile));
            for (&kernel, neighbour) in group.members().iter().zip(search.nearest()) {
                nearest[kernel] = neighbour;
            }
        }
        Self(nearest)
    }

    /// By kernel.
    pub fn by_kernel(&self) -> &[Option<Neighbour>] {
        &self.0
    }

    /// The greatest similarity of the layer.
    pub fn greatest(&self) -> Option<f64> {
        self.0
            .iter()
            .flatten()
            .map(|n| n.similarity)
            .reduce(f64::max)
    }

    /// The smallest threshold at which at most this many of the layer's kernels have an eligible partner.
    ///
    /// The kernels' greatest similarities in falling order are `m₁ ≥ m₂ ≥ …`; for k kernels it is `m₍k₊₁₎`, at which the
    /// test `> τ` leaves at most k; −1, the lower end of τ's range, where there are no more than k.
    pub fn threshold_for(&self, kernels: usize) -> f64 {
        let mut greatest: Vec<f64> = self.0.iter().flatten().map(|n| n.similarity).collect();
        greatest.sort_unstable_by(|a, b| b.total_cmp(a));
        greatest.get(kernels).copied().unwrap_or(-1.0)
    }
}

/// The search for every member's nearest neighbour, fed tile by tile.
#[derive(Debug)]
pub struct Search<'s, 'g, 'k, 'a> {
    screen: &'s Screen<'g, 'k, 'a>,
    /// Twice the error bound: a rival screened this far below the best may yet be nearer.
    margin: f32,
    rivals: Vec<Mutex<Rivals>>,
    /// For every member the place of the first one that is the same bit for bit; found out only where many are alike.
    twins: OnceLock<Vec<usize>>,
}

/// The candidates for one member's nearest neighbour.
#[derive(Clone, Debug, Default)]
struct Rivals {
    /// The best screened similarity so far.
    best: Option<f32>,
    /// Places of members screened within the margin of the best, with their screened similarity.
    open: Vec<(f32, usize)>,
    /// The nearest of those that were compared exactly already.
    settled: Option<(f64, usize)>,
}

impl<'s, 'g, 'k, 'a> Search<'s, 'g, 'k, 'a> {
    /// A search among the members of the screen's group.
    pub fn new(screen: &'s Screen<'g, 'k, 'a>) -> Self {
        let members = screen.group().members().len();
        Self {
            screen,
            // 2⁻²² is more than rounding to float32 takes away from it, here and in `best - margin`.
            margin: (2.0 * screen.band() + 2f64.powi(-22)) as f32,
            rivals: (0..members).map(|_| Mutex::default()).collect(),
            twins: OnceLock::new(),
        }
    }

    /// Takes the tile's best into account, then its rivals: two passes over values that are still in cache.
    pub fn visit(&self, tile: &Tile<'_>) {
        let (rows, columns) = (tile.rows(), tile.columns());
        let mut row_floors = vec![f32::NEG_INFINITY; rows.len()];
        let mut column_floors = vec![f32::NEG_INFINITY; columns.len()];
        for (a, first, values) in tile.pairs() {
            let mut best = f32::NEG_INFINITY;
            let best_of_column = &mut column_floors[first - columns.start..];
            for (&value, column) in values.iter().zip(best_of_column) {
                best = best.max(value);
                *column = column.max(value);
            }
            row_floors[a - rows.start] = best;
        }
        for (place, best) in rows.clone().zip(&mut row_floors) {
            *best = self.floor(place, *best);
        }
        for (place, best) in columns.clone().zip(&mut column_floors) {
            *best = self.floor(place, *best);
        }

        for (a, first, values) in tile.pairs() {
            let row_floor = row_floors[a - rows.start];
            let floors = &column_floors[first - columns.start..];
            for ((b, &value), &column_floor) in (first..).zip(values).zip(floors) {
                if value >= row_floor {
                    self.add(a, b, value);
                }
                if value >= column_floor {
                    self.add(b, a, value);
                }
            }
        }
    }

    /// Takes note of a member's best screened similarity in a tile; the value from which on its rivals there count.
    fn floor(&self, member: usize, best: f32) -> f32 {
        let mut rivals = lock(&self.rivals[member]);
        let best = rivals.best.map_or(best, |known| known.max(best));
        rivals.best = Some(best);
        best - self.margin
    }

    fn add(&self, member: usize, rival: usize, value: f32) {
        let mut rivals = lock(&self.rivals[member]);
        rivals.open.push((value, rival));
        if rivals.open.len() > MANY_RIVALS {
            rivals.drop_the_beaten(self.margin);
            if rivals.open.len() > MANY_RIVALS / 2 {
                self.settle(member, &mut rivals);
            }
        }
    }

    /// Compares the open rivals with the nearest so far.
    fn settle(&self, member: usize, rivals: &mut Rivals) {
        let group = self.screen.group();
        for (_, rival) in rivals.open.drain(..) {
            let similarity = match rivals.settled {
                // A member's similarity to two that are the same is the same.
                Some((similarity, place)) if self.are_twins(place, rival) => similarity,
                _ => group.similarity(member, rival),
            };
            let nearer = rivals.settled.is_none_or(|(best, place)| {
                similarity > best || (similarity == best && rival < place)
            });
            if nearer {
                rivals.settled = Some((similarity, rival));
            }
        }
    }

    fn are_twins(&self, a: usize, b: usize) -> bool {
        let twins = self.twins.get_or_init(|| self.screen.group().first_twins());
        twins[a] == twins[b]
    }

    /// The greatest similarity of two members, by exact comparison of those pairs only that may have it. All tiles must
    /// have been visited.
    pub fn greatest(self) -> Option<f64> {
        let best = self
            .rivals
            .iter()
            .filter_map(|rivals| lock(rivals).best)
            .reduce(f32::max)?;
        self.each_settled(|rivals| rivals.best = Some(best))
            .into_iter()
            .flatten()
            .map(|(similarity, _)| similarity)
            .reduce(f64::max)
    }

    /// The nearest neighbour of every member, by exact comparison of the rivals left. All tiles must have been visited.
    pub fn nearest(self) -> Vec<Option<Neighbour>> {
        let members = self.screen.group().members();
        let neighbour = |(similarity, place): (f64, usize)| Neighbour {
            kernel: members[place],
            similarity,
        };
        let settled = self.each_settled(|_| ());
        settled
            .into_iter()
            .map(|settled| settled.map(neighbour))
            .collect()
    }

    /// Settles every member's rivals, after `prepare` has had its way with them.
    fn each_settled(&self, prepare: impl Fn(&mut Rivals) + Sync) -> Vec<Option<(f64, usize)>> {
        self.rivals
            .par_iter()
            .with_min_len(KERNELS_PER_TASK)
            .enumerate()
            .map(|(member, rivals)| {
                let mut rivals = lock(rivals);
                prepare(&mut rivals);
                rivals.drop_the_beaten(self.margin);
                self.settle(member, &mut rivals);
                rivals.settled
            })
            .collect()
    }
}

fn lock(rivals: &Mutex<Rivals>) -> MutexGuard<'_, Rivals> {
    rivals.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Rivals {
    fn drop_the_beaten(&mut self, margin: f32) {
        if let Some(best) = self.best {
            self.open.retain(|&(value, _)| value >= best - margin);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::similarity::kernels::kernels_of;

    fn with_kernels<R>(
        values: &[f32],
        n: usize,
        groups: usize,
        use_them: impl FnOnce(&Kernels<'_>) -> R,
    ) -> R {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        use_them(&kernels_of(&bytes, n, groups))
    }

    fn by_definition(kernels: &Kernels<'_>) -> Vec<Option<Neighbour>> {
        (0..kernels.len())
            .map(|i| {
                let mut nearest: Option<Neighbour> = None;
                for j in kernels.group_of(i) {
                    if i == j || !kernels.is_live(i) || !kernels.is_live(j) {
                        continue;
                    }
                    let similarity = kernels.similarity(i, j);
                    if nearest.is_none_or(|n| similarity > n.similarity) {
                        nearest = Some(Neighbour {
                            kernel: j,
                            similarity,
                        });
                    }
                }
                nearest
            })
            .collect()
    }

    #[test]
    fn ties_go_to_the_lowest_even_among_hundreds() {
        // 300 kernels of three kinds, all of one kind alike: far more rivals than are kept open.
        let values: Vec<f32> = (0..300).flat_map(|i| [1.0, (i % 3) as f32, 0.5]).collect();
        with_kernels(&values, 300, 1, |kernels| {
            assert_eq!(Nearest::of(kernels).by_kernel(), by_definition(kernels));
        });
    }

    #[test]
    fn neighbours_are_found_across_tiles() {
        // Three tiles a side; every seventh kernel is one of two that are all the same, the others have no pattern.
        let n = 2 * Screen::TILE + 77;
        let values: Vec<f32> = (0..n * 6)
            .map(|t| match (t / 6, t % 6) {
                (kernel, place) if kernel % 7 == 0 => (place * (1 + kernel % 2)) as f32 - 2.0,
                _ => (t as u32).wrapping_mul(2_654_435_761) as f32 / 2f32.powi(31) - 1.0,
            })
            .collect();
        with_kernels(&values, n, 1, |kernels| {
            let nearest = Nearest::of(kernels);
            let expected = by_definition(kernels);
            assert_eq!(nearest.by_kernel(), expected);

            let group = kernels.groups().next().unwrap();
            let screen = Screen::new(&group);
            let search = Search::new(&screen);
            screen.for_each_tile(|tile| search.visit(tile));
            assert_eq!(search.greatest(), nearest.greatest());
        });
    }

    #[test]
    fn a_number_of_kernels_gives_the_smallest_threshold_that_keeps_it() {
        let similarities = [0.9, 0.9, 0.5, 0.2].map(|similarity| Neighbour {
            kernel: 0,
            similarity,
        });
        let nearest = Nearest(similarities.map(Some).to_vec());
        let thresholds: Vec<f64> = (0..=4)
            .map(|kernels| nearest.threshold_for(kernels))
            .collect();
        assert_eq!(thresholds, [0.9, 0.9, 0.5, 0.2, -1.0]);
        assert_eq!(nearest.greatest(), Some(0.9));
    }

    proptest! {
        #[test]
        fn the_screen_never_decides_wrongly(
            values in prop::collection::vec(-2i8..3, 8 * 24..=8 * 24),
            jitter in 0u32..3,
            groups in prop::sample::select(vec![1usize, 2, 6]),
        ) {
            // Small integers make ties and zero kernels; a jitter of a few ulps makes rivals that float32 cannot tell apart.
            let values: Vec<f32> = values
                .iter()
                .enumerate()
                .map(|(i, &v)| f32::from_bits((f32::from(v)).to_bits() + if v == 0 { 0 } else { (i as u32 * jitter) % 3 }))
                .collect();
            with_kernels(&values, 24, groups, |kernels| {
                let nearest = Nearest::of(kernels);
                prop_assert_eq!(nearest.by_kernel(), by_definition(kernels));
                Ok(())
            })?;
        }
    }
}
