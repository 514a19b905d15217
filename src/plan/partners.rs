//! The three partner policies.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::meter::Meter;
use crate::schedule::per_task;
use crate::similarity::tile::Preference;
use crate::similarity::{Error, Group, Kernels, Nearest, Scan};
use crate::splitmix::Stream;

use super::PartnerDraw;

/// The partners of a layer's kernels in one round.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Partners {
    /// By kernel; `None` if it does not merge.
    pub partners: Vec<Option<Chosen>>,
    /// The greatest similarity of two kernels; `None` if it was not computed or there is no pair.
    pub greatest: Option<f64>,
    /// Unordered pairs above τ; `None` if they were not counted.
    pub pairs_above: Option<u64>,
    /// Every kernel's nearest neighbour; `None` unless all pairs were compared on the way.
    pub nearest: Option<Nearest>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Chosen {
    pub kernel: usize,
    /// The similarity by the float64 definition, if the choice needed it.
    pub similarity: Option<f64>,
}

impl Partners {
    /// The policy `eligible`. `turns` is by kernel, `None` if it does not take its turn; the meter counts multiply-adds.
    ///
    /// # Errors
    ///
    /// If a GPU fails.
    pub(super) fn eligible(
        kernels: &Kernels<'_>,
        tau: f64,
        turns: &[Option<PartnerDraw>],
        meter: &dyn Meter,
    ) -> Result<Self, Error> {
        let mut round = Self::none(kernels, Some(0));
        for group in kernels.joined_groups() {
            let choices = Choices::new(&group, turns);
            let scan = Scan::new(&group, tau, |_| false);
            group.for_each_tile(
                meter,
                || scan.floor(),
                |tile| {
                    scan.visit(tile, &mut |a, b| choices.offer(a, b))?;
                    let (rows, columns) = (tile.rows(), tile.columns());
                    let preferred =
                        tile.preferred(tau as f32, &choices.streams, group.kernel(0))?;
                    choices.take(rows.start, preferred.rows);
                    choices.take(columns.start, preferred.columns);
                    Ok(())
                },
            )?;
            let partners = choices.finish().into_iter().map(|best| {
                best.map(|(_, kernel)| Chosen {
                    kernel,
                    similarity: None,
                })
            });
            round.add(&group, &scan, partners);
        }
        Ok(round)
    }

    /// The policy `nearest`; as [`Partners::eligible`].
    pub(super) fn nearest(
        kernels: &Kernels<'_>,
        tau: f64,
        turns: &[Option<PartnerDraw>],
        meter: &dyn Meter,
    ) -> Result<Self, Error> {
        let mut round = Self::none(kernels, Some(0));
        for group in kernels.joined_groups() {
            let scan = Scan::new(&group, tau, |index| turns[group.kernel(index)].is_some());
            group.for_each_tile(
                meter,
                || scan.floor(),
                |tile| scan.visit(tile, &mut |_, _| ()),
            )?;
            let partners = scan.nearest().into_iter().map(|neighbour| {
                let above = neighbour.filter(|neighbour| neighbour.similarity > tau)?;
                Some(Chosen {
                    kernel: above.kernel,
                    similarity: Some(above.similarity),
                })
            });
            round.add(&group, &scan, partners);
        }
        Ok(round)
    }

    /// The policy `random`; as [`Partners::eligible`].
    pub(super) fn random(
        kernels: &Kernels<'_>,
        tau: f64,
        turns: &[Option<PartnerDraw>],
        meter: &dyn Meter,
    ) -> Self {
        let mut round = Self::none(kernels, None);
        round.partners = (0..kernels.len())
            .into_par_iter()
            .with_min_len(per_task(2 * kernels.rows().row_bytes()))
            .map(|kernel| {
                let others = kernels.group_of(kernel);
                let drawn = others.start + turns[kernel]?.below(others.len() - 1);
                let partner = if drawn < kernel { drawn } else { drawn + 1 };
                if !others.contains(&partner) || !kernels.is_live(partner) {
                    return None;
                }
                let similarity = kernels.similarity(kernel, partner);
                (similarity > tau).then_some(Chosen {
                    kernel: partner,
                    similarity: Some(similarity),
                })
            })
            .collect();
        meter.multiplied((kernels.len() * kernels.rows().row_len()) as u64);
        round
    }

    fn none(kernels: &Kernels<'_>, pairs_above: Option<u64>) -> Self {
        Self {
            partners: vec![None; kernels.len()],
            greatest: None,
            pairs_above,
            nearest: pairs_above.map(|_| Nearest::of_none(kernels.len())),
        }
    }

    /// Adds the results of a group; `partners` is by index in the group.
    fn add(
        &mut self,
        group: &Group<'_, '_>,
        scan: &Scan<'_, '_, '_>,
        partners: impl Iterator<Item = Option<Chosen>>,
    ) {
        let greatest = self.greatest.into_iter().chain(scan.greatest());
        self.greatest = greatest.reduce(f64::max);
        self.pairs_above = self.pairs_above.map(|pairs| pairs + scan.pairs_above());
        let nearest = self.nearest.take().zip(scan.nearest_of_all());
        self.nearest = nearest.map(|(mut nearest, neighbours)| {
            nearest.add(group, neighbours);
            nearest
        });
        for (index, partner) in partners.enumerate() {
            self.partners[group.kernel(index)] = partner;
        }
    }
}

/// Each kernel's choice among the pairs above the threshold: the candidate of lowest rank.
struct Choices<'g, 'k, 'a> {
    group: &'g Group<'k, 'a>,
    /// The ranks of the candidates, by index in the group; `None` for kernels that do not take their turn.
    streams: Vec<Option<Stream>>,
    best: Mutex<Vec<Preference>>,
}

impl<'g, 'k, 'a> Choices<'g, 'k, 'a> {
    fn new(group: &'g Group<'k, 'a>, turns: &[Option<PartnerDraw>]) -> Self {
        let stream = |index| Some(turns[group.kernel(index)]?.ranks());
        Self {
            group,
            streams: (0..group.len()).map(stream).collect(),
            best: Mutex::new(vec![None; group.len()]),
        }
    }

    /// Offers two kernels of the group to each other.
    fn offer(&self, a: usize, b: usize) {
        for (index, candidate) in [(a, b), (b, a)] {
            let candidate = self.group.kernel(candidate);
            let rank = |stream: Stream| (stream.word(candidate as u64), candidate);
            self.take(index, [self.streams[index].map(rank)]);
        }
    }

    /// Considers choices for the kernels of the group from `start` on.
    fn take(&self, start: usize, choices: impl IntoIterator<Item = Preference>) {
        let mut best = self.best.lock().unwrap_or_else(PoisonError::into_inner);
        for (best, choice) in best[start..].iter_mut().zip(choices) {
            if choice.is_some() && best.is_none_or(|best| choice < Some(best)) {
                *best = choice;
            }
        }
    }

    fn finish(self) -> Vec<Preference> {
        self.best
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Draws;
    use crate::similarity::{Precision, kernels_of};

    /// Kernels whose similarities to each other crowd around the threshold, over three tiles a side.
    fn crowd(n: usize) -> Vec<u8> {
        (0..n * 3)
            .map(|t| match (t / 3, t % 3) {
                (_, 0) => 1.0,
                (kernel, 1) => ((kernel % 29) as f32 - 14.0) / 8.0,
                // Ulps apart: float32 sums cannot tell these from each other.
                (kernel, _) => (kernel % 5) as f32 * 1e-7,
            })
            .flat_map(f32::to_le_bytes)
            .collect()
    }

    #[test]
    fn a_choice_across_tiles_is_the_choice_by_definition() {
        let n = 1054;
        let values = crowd(n);
        for precision in [Precision::F32, Precision::Int8] {
            let kernels = kernels_of(&values, n, 1, precision);
            let draws = Draws::new(7, 0, "w");
            let turns: Vec<Option<PartnerDraw>> = (0..n)
                .map(|kernel| draws.takes_turn(kernel, 0.5).then(|| draws.partner(kernel)))
                .collect();
            // The similarity of a pair, so that some pairs are at the threshold and not above it.
            let tau = kernels.similarity(0, 1);
            let chosen = Partners::eligible(&kernels, tau, &turns, &()).unwrap();

            let above = |i: usize, j: usize| i != j && kernels.similarity(i, j) > tau;
            let chosen_kernels: Vec<Option<usize>> = chosen
                .partners
                .iter()
                .map(|c| Some(c.as_ref()?.kernel))
                .collect();
            let expected: Vec<Option<usize>> = (0..n)
                .map(|i| {
                    let draw = turns[i]?;
                    (0..n)
                        .filter(|&j| above(i, j))
                        .min_by_key(|&j| draw.ranks().word(j as u64))
                })
                .collect();
            assert_eq!(chosen_kernels, expected);
            let pairs = (0..n).flat_map(|i| (0..i).map(move |j| (i, j)));
            assert_eq!(
                chosen.pairs_above,
                Some(pairs.filter(|&(i, j)| above(i, j)).count() as u64)
            );

            let nearest = Partners::nearest(&kernels, tau, &turns, &()).unwrap();
            assert_eq!(nearest.pairs_above, chosen.pairs_above);
            assert_eq!(nearest.greatest, chosen.greatest);
        }
    }

    #[test]
    fn all_neighbours_are_known_where_all_pairs_had_to_be_compared() {
        // Two tiles a side. Each kernel has a 1 of its own, and some the same small number.
        let (n, d) = (300, 310);
        let number = |t: usize| match (t / d, t % d) {
            (kernel, place) if kernel == place => 1.0f32,
            (kernel, 305) if kernel % 7 == 0 => 1e-5,
            _ => 0.0,
        };
        let values: Vec<u8> = (0..n * d).flat_map(|t| number(t).to_le_bytes()).collect();
        let turns: Vec<Option<PartnerDraw>> = vec![None; n];
        for precision in [Precision::F32, Precision::Int8] {
            let kernels = kernels_of(&values, n, 1, precision);
            let expected = Nearest::of(&kernels, &()).unwrap();
            for find in [Partners::eligible, Partners::nearest] {
                let found = find(&kernels, 0.3, &turns, &()).unwrap();
                assert_eq!(found.nearest.as_ref(), Some(&expected));
            }
        }
        // Of these, few are open.
        let crowd = crowd(n);
        let kernels = kernels_of(&crowd, n, 1, Precision::F32);
        let found = Partners::eligible(&kernels, 0.999, &turns, &()).unwrap();
        assert_eq!(found.nearest, None);
    }
}
