//! Every kernel's nearest neighbour, exactly.

use crate::meter::Meter;

use super::{Error, Group, Kernels, Neighbour, Scan};

/// The nearest neighbours of all kernels of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Nearest(Vec<Option<Neighbour>>);

impl Nearest {
    /// Finds for every kernel the most similar one in its group; ties go to the lowest number. Kernels that take no part have no
    /// neighbour and are nobody's. Reports the multiply-adds to `meter`.
    ///
    /// # Errors
    ///
    /// If a GPU fails.
    pub fn of(kernels: &Kernels<'_>, meter: &dyn Meter) -> Result<Self, Error> {
        Self::of_most_similar(kernels, kernels.len(), meter)
    }

    /// The same for those `count` kernels that have the most similar neighbours, in less time. What others have is less similar than theirs, and
    /// need not be their nearest.
    fn of_most_similar(
        kernels: &Kernels<'_>,
        count: usize,
        meter: &dyn Meter,
    ) -> Result<Self, Error> {
        let mut nearest = Self::of_none(kernels.len());
        for group in kernels.joined_groups() {
            let scan = Scan::most_similar(&group, count);
            group.for_each_tile(
                meter,
                || scan.floor(),
                |tile| scan.visit(tile, &mut |_, _| ()),
            )?;
            nearest.add(&group, scan.nearest());
        }
        Ok(nearest)
    }

    /// For `n` kernels without neighbours: groups are added.
    pub(crate) fn of_none(n: usize) -> Self {
        Self(vec![None; n])
    }

    /// Adds those of the kernels of a group, by place.
    pub(crate) fn add(&mut self, group: &Group<'_, '_>, neighbours: Vec<Option<Neighbour>>) {
        for (place, neighbour) in neighbours.into_iter().enumerate() {
            self.0[group.kernel(place)] = neighbour;
        }
    }

    #[cfg(test)]
    pub(crate) fn from_neighbours(neighbours: Vec<Option<Neighbour>>) -> Self {
        Self(neighbours)
    }

    /// Each kernel's neighbour, by its number.
    pub fn by_kernel(&self) -> &[Option<Neighbour>] {
        &self.0
    }

    /// The similarities of the kernels that have a neighbour.
    pub fn similarities(&self) -> impl Iterator<Item = f64> {
        self.0.iter().flatten().map(|n| n.similarity)
    }

    /// The greatest similarity of the layer.
    pub fn greatest(&self) -> Option<f64> {
        self.similarities().reduce(f64::max)
    }

    /// The smallest threshold at which at most this many of the layer's kernels have an eligible partner.
    ///
    /// The kernels' greatest similarities in falling order are `m₁ ≥ m₂ ≥ …`; for k kernels it is `m₍k₊₁₎`, at which the
    /// test `> τ` leaves at most k; −1, the lower end of τ's range, where there are no more than k.
    ///
    /// # Errors
    ///
    /// As [`Nearest::of`].
    pub fn threshold_for(
        kernels: &Kernels<'_>,
        at_most: usize,
        meter: &dyn Meter,
    ) -> Result<f64, Error> {
        let nearest = Self::of_most_similar(kernels, at_most.saturating_add(1), meter)?;
        Ok(nearest.threshold(at_most))
    }

    fn threshold(&self, at_most: usize) -> f64 {
        let mut greatest: Vec<f64> = self.similarities().collect();
        greatest.sort_unstable_by(|a, b| b.total_cmp(a));
        greatest.get(at_most).copied().unwrap_or(-1.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::similarity::Precision;
    use crate::similarity::kernels::kernels_of;

    fn with_kernels<R>(
        values: &[f32],
        n: usize,
        groups: usize,
        use_them: impl Fn(&Kernels<'_>) -> R,
    ) -> [R; 2] {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        [Precision::F32, Precision::Int8]
            .map(|precision| use_them(&kernels_of(&bytes, n, groups, precision)))
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
            assert_eq!(
                Nearest::of(kernels, &()).unwrap().by_kernel(),
                by_definition(kernels)
            );
        });
    }

    #[test]
    fn neighbours_are_found_across_tiles() {
        // Three tiles a side and more; every seventh kernel is one of two that are all the same, the others have no pattern.
        let n = 1101;
        let values: Vec<f32> = (0..n * 6)
            .map(|t| match (t / 6, t % 6) {
                (kernel, place) if kernel % 7 == 0 => (place * (1 + kernel % 2)) as f32 - 2.0,
                _ => (t as u32).wrapping_mul(2_654_435_761) as f32 / 2f32.powi(31) - 1.0,
            })
            .collect();
        with_kernels(&values, n, 1, |kernels| {
            let nearest = Nearest::of(kernels, &()).unwrap();
            let expected = by_definition(kernels);
            assert_eq!(nearest.by_kernel(), expected);

            let group = kernels.joined_groups().next().unwrap();
            let scan = Scan::new(&group, 0.5, |place| place % 3 == 0);
            group
                .for_each_tile(
                    &(),
                    || scan.floor(),
                    |tile| scan.visit(tile, &mut |_, _| ()),
                )
                .unwrap();
            assert_eq!(scan.greatest(), nearest.greatest());
            for (place, found) in scan.nearest().into_iter().enumerate() {
                let wanted = expected[place].filter(|n| place % 3 == 0 && n.similarity > 0.5);
                assert_eq!(found.filter(|n| n.similarity > 0.5), wanted, "{place}");
            }
        });
    }

    #[test]
    fn a_number_of_kernels_gives_the_smallest_threshold_that_keeps_it() {
        let similarities = [0.9, 0.9, 0.5, 0.2].map(|similarity| Neighbour {
            kernel: 0,
            similarity,
        });
        let nearest = Nearest(similarities.map(Some).to_vec());
        let thresholds: Vec<f64> = (0..=4).map(|kernels| nearest.threshold(kernels)).collect();
        assert_eq!(thresholds, [0.9, 0.9, 0.5, 0.2, -1.0]);
        assert_eq!(nearest.greatest(), Some(0.9));
    }

    /// Over five tiles a side, so that what the first ones reach leaves much out of the last ones.
    #[test]
    fn thresholds_are_found_without_everyone_s_neighbour() {
        let n = 1100;
        // Falling similarities with ties; the most similar kernels come last in one case and first in the other.
        let numbers = |kernel: usize| {
            let bend = ((kernel * 37) % 251) as f32 / 100.0;
            [
                1.0,
                bend * bend,
                (kernel % 7) as f32 * 0.2,
                (kernel / 5) as f32 * 0.01,
            ]
        };
        let rising: Vec<f32> = (0..n).flat_map(numbers).collect();
        let falling: Vec<f32> = (0..n).rev().flat_map(numbers).collect();
        for values in [rising, falling] {
            for groups in [1, 2] {
                with_kernels(&values, n, groups, |kernels| {
                    let nearest = Nearest(by_definition(kernels));
                    for at_most in [0, 1, 2, 11, 55, 220, 549, 550, 551, 1000, 1098, 1099, 1100] {
                        let found = Nearest::threshold_for(kernels, at_most, &()).unwrap();
                        assert_eq!(found, nearest.threshold(at_most), "{at_most}");
                    }
                });
            }
        }
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
                let nearest = Nearest::of(kernels, &()).unwrap();
                prop_assert_eq!(nearest.by_kernel(), by_definition(kernels));
                for at_most in 0..=kernels.len() {
                    let found = Nearest::threshold_for(kernels, at_most, &()).unwrap();
                    prop_assert_eq!(found, nearest.threshold(at_most));
                }
                Ok(())
            })
            .into_iter()
            .collect::<Result<(), TestCaseError>>()?;
        }
    }
}
