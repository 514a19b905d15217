//! The three partner policies.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::meter::Meter;
use crate::simd::{self, Loop};
use crate::similarity::{Group, Kernels, Neighbour, Search, Tile};

use super::PartnerDraw;

/// The partners that one round gives the kernels of a layer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Partners {
    /// By kernel: the one it merges with, if it does.
    pub partners: Vec<Option<usize>>,
    /// The greatest similarity of two kernels; `None` where it was not computed or there is no pair.
    pub greatest: Option<f64>,
    /// Unordered pairs above τ; `None` where they were not counted.
    pub pairs_above: Option<u64>,
}

impl Partners {
    /// `eligible`: uniformly among all kernels more similar than `tau`. `turns` is by kernel and
    /// `meter` is told of multiply-adds, as in all three.
    pub(super) fn eligible(
        kernels: &Kernels<'_>,
        tau: f64,
        turns: &[Option<PartnerDraw>],
        meter: &dyn Meter,
    ) -> Self {
        let nobody = |_: &Group<'_, '_>, _| false;
        Self::screened(kernels, tau, turns, meter, nobody, |_, choices| {
            let partner = |choice: Best| choice.map(|(_, partner)| partner);
            choices.into_iter().map(partner).collect()
        })
    }

    /// `nearest`: the most similar kernel, if it is more similar than `tau`.
    pub(super) fn nearest(
        kernels: &Kernels<'_>,
        tau: f64,
        turns: &[Option<PartnerDraw>],
        meter: &dyn Meter,
    ) -> Self {
        let no_choice = vec![None; turns.len()];
        let has_turn = |group: &Group<'_, '_>, place| turns[group.kernel(place)].is_some();
        Self::screened(kernels, tau, &no_choice, meter, has_turn, |search, _| {
            let above = |neighbour: Option<Neighbour>| {
                let above = neighbour.filter(|neighbour| neighbour.similarity > tau)?;
                Some(above.kernel)
            };
            search.nearest().into_iter().map(above).collect()
        })
    }

    /// Screens every group, counts its pairs above `tau`, and has `settle` say what the search for the nearest of those
    /// who `seek` them, and everyone's choice among the pairs above `tau`, come to: the partners, by place.
    fn screened(
        kernels: &Kernels<'_>,
        tau: f64,
        draws: &[Option<PartnerDraw>],
        meter: &dyn Meter,
        seek: impl Fn(&Group<'_, '_>, usize) -> bool,
        settle: impl Fn(&Search<'_, '_, '_>, Vec<Best>) -> Vec<Option<usize>>,
    ) -> Self {
        let mut round = Self::none(kernels, Some(0));
        for group in kernels.groups() {
            let draws = (0..group.len()).map(|place| draws[group.kernel(place)]);
            let pairs = PairsAbove::new(&group, tau, draws.collect());
            let search = Search::new(&group, tau, |place| seek(&group, place));
            group.for_each_tile(|tile| {
                search.visit(tile);
                pairs.visit(tile);
                meter.multiplied(tile.products());
            });
            let (choices, count) = pairs.finish();
            let greatest = search.greatest();
            round.greatest = round.greatest.into_iter().chain(greatest).reduce(f64::max);
            round.pairs_above = round.pairs_above.map(|pairs| pairs + count);
            for (place, partner) in settle(&search, choices).into_iter().enumerate() {
                round.partners[group.kernel(place)] = partner;
            }
        }
        round
    }

    /// `random`: uniformly among all other kernels of the group, if that one happens to be more similar than `tau`.
    pub(super) fn random(kernels: &Kernels<'_>, tau: f64, turns: &[Option<PartnerDraw>]) -> Self {
        let mut round = Self::none(kernels, None);
        for (kernel, draw) in turns.iter().enumerate() {
            let Some(draw) = draw else { continue };
            let others = kernels.group_of(kernel);
            if others.len() < 2 {
                continue;
            }
            let drawn = others.start + draw.below(others.len() - 1);
            let partner = if drawn < kernel { drawn } else { drawn + 1 };
            if kernels.is_live(partner) && kernels.similarity(kernel, partner) > tau {
                round.partners[kernel] = Some(partner);
            }
        }
        round
    }

    fn none(kernels: &Kernels<'_>, pairs_above: Option<u64>) -> Self {
        Self {
            partners: vec![None; kernels.len()],
            greatest: None,
            pairs_above,
        }
    }
}

/// The eligible candidate of lowest rank, with its rank.
type Best = Option<(u64, usize)>;

/// The pairs of a group above a threshold, and each kernel's choice among them.
struct PairsAbove<'g, 'k, 'a> {
    group: &'g Group<'k, 'a>,
    tau: f64,
    /// By place.
    draws: Vec<Option<PartnerDraw>>,
    any_draws: bool,
    found: Mutex<(Vec<Best>, u64)>,
}

/// Columns looked at together.
const LANES: usize = 32;

impl<'g, 'k, 'a> PairsAbove<'g, 'k, 'a> {
    fn new(group: &'g Group<'k, 'a>, tau: f64, draws: Vec<Option<PartnerDraw>>) -> Self {
        let best = vec![None; draws.len()];
        Self {
            group,
            tau,
            any_draws: draws.iter().any(Option::is_some),
            draws,
            found: Mutex::new((best, 0)),
        }
    }

    fn visit(&self, tile: &Tile<'_>) {
        let (rows, columns, pairs) = simd::widest(FindPairs { above: self, tile });
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.1 += pairs;
        rows.merge_into(&mut found.0);
        columns.merge_into(&mut found.0);
    }

    /// The exact test, for pairs that the screen leaves open.
    fn is_above(&self, a: usize, b: usize) -> bool {
        self.group.similarity(a, b) > self.tau
    }

    fn rank(&self, place: usize, candidate: usize) -> Best {
        let candidate = self.group.kernel(candidate);
        self.draws[place].map(|draw| (draw.rank(candidate), candidate))
    }

    fn finish(self) -> (Vec<Best>, u64) {
        self.found
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The best choices along a tile's rows and columns, and the number of pairs above the threshold in it.
struct FindPairs<'f, 'g, 'k, 'a, 'v> {
    above: &'f PairsAbove<'g, 'k, 'a>,
    tile: &'f Tile<'v>,
}

impl Loop for FindPairs<'_, '_, '_, '_, '_> {
    type Output = (Side, Side, u64);

    #[inline(always)]
    fn run(self) -> (Side, Side, u64) {
        let mut rows = Side::new(self.tile.rows());
        let mut columns = Side::new(self.tile.columns());
        let mut pairs = 0;
        let tau = self.above.tau as f32;
        for row in self.tile.by_row() {
            let a = row.place;
            let values = row.values.chunks(LANES).zip(row.errors.chunks(LANES));
            for (first, (values, errors)) in (row.first..).step_by(LANES).zip(values) {
                let (mut possibly, mut surely) = (0u32, 0u32);
                for (value, error) in values.iter().zip(errors) {
                    possibly += u32::from(value + error + row.error >= tau);
                    surely += u32::from(value - error - row.error > tau);
                }
                // Few pairs are near or above a useful threshold, so this is mostly all. Nor does it matter which pairs
                // are surely above it, unless someone chooses among them.
                if possibly == 0 {
                    continue;
                }
                if possibly == surely && !self.above.any_draws {
                    pairs += u64::from(surely);
                    continue;
                }
                for (b, (value, error)) in (first..).zip(values.iter().zip(errors)) {
                    let is_above = value + error + row.error >= tau
                        && (value - error - row.error > tau || self.above.is_above(a, b));
                    if is_above {
                        pairs += 1;
                        rows.offer(a, self.above.rank(a, b));
                        columns.offer(b, self.above.rank(b, a));
                    }
                }
            }
        }
        (rows, columns, pairs)
    }
}

/// The best candidates of the kernels along one side of a tile.
struct Side {
    start: usize,
    best: Vec<Best>,
}

impl Side {
    fn new(places: Range<usize>) -> Self {
        Self {
            start: places.start,
            best: vec![None; places.len()],
        }
    }

    fn offer(&mut self, place: usize, candidate: Best) {
        keep_lower(&mut self.best[place - self.start], candidate);
    }

    fn merge_into(self, all: &mut [Best]) {
        for (best, candidate) in all[self.start..].iter_mut().zip(self.best) {
            keep_lower(best, candidate);
        }
    }
}

fn keep_lower(best: &mut Best, candidate: Best) {
    if let Some(candidate) = candidate
        && best.is_none_or(|best| candidate < best)
    {
        *best = Some(candidate);
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
        for precision in [Precision::Single, Precision::Byte] {
            let kernels = kernels_of(&values, n, 1, precision);
            let draws = Draws::new(7, 0, "w");
            let turns: Vec<Option<PartnerDraw>> = (0..n)
                .map(|kernel| draws.takes_turn(kernel, 0.5).then(|| draws.partner(kernel)))
                .collect();
            // One of the similarities there are, so that some pairs are at the threshold and not above it.
            let tau = kernels.similarity(0, 1);
            let chosen = Partners::eligible(&kernels, tau, &turns, &());

            let above = |i: usize, j: usize| i != j && kernels.similarity(i, j) > tau;
            let expected: Vec<Option<usize>> = (0..n)
                .map(|i| {
                    let draw = turns[i]?;
                    (0..n)
                        .filter(|&j| above(i, j))
                        .min_by_key(|&j| draw.rank(j))
                })
                .collect();
            assert_eq!(chosen.partners, expected);
            let pairs = (0..n).flat_map(|i| (0..i).map(move |j| (i, j)));
            assert_eq!(
                chosen.pairs_above,
                Some(pairs.filter(|&(i, j)| above(i, j)).count() as u64)
            );

            let nearest = Partners::nearest(&kernels, tau, &turns, &());
            assert_eq!(nearest.pairs_above, chosen.pairs_above);
            assert_eq!(nearest.greatest, chosen.greatest);
        }
    }
}
