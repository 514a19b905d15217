//! The three partner policies.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::similarity::{Kernels, Neighbour, Screen, Search, Tile};

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
    /// `eligible`: uniformly among all kernels more similar than `tau`. `turns` is by kernel, as in all three.
    pub(super) fn eligible(kernels: &Kernels<'_>, tau: f64, turns: &[Option<PartnerDraw>]) -> Self {
        Self::screened(kernels, tau, turns, |search, choices| {
            let partner = |choice: Best| choice.map(|(_, partner)| partner);
            let partners = choices.into_iter().map(partner).collect();
            (search.greatest(), partners)
        })
    }

    /// `nearest`: the most similar kernel, if it is more similar than `tau`.
    pub(super) fn nearest(kernels: &Kernels<'_>, tau: f64, turns: &[Option<PartnerDraw>]) -> Self {
        let no_choice = vec![None; turns.len()];
        let mut round = Self::screened(kernels, tau, &no_choice, |search, _| {
            let nearest = search.nearest();
            let similarities = nearest
                .iter()
                .flatten()
                .map(|neighbour| neighbour.similarity);
            let greatest = similarities.reduce(f64::max);
            let above = |neighbour: Option<Neighbour>| {
                let above = neighbour.filter(|neighbour| neighbour.similarity > tau)?;
                Some(above.kernel)
            };
            (greatest, nearest.into_iter().map(above).collect())
        });
        for (partner, turn) in round.partners.iter_mut().zip(turns) {
            *partner = partner.filter(|_| turn.is_some());
        }
        round
    }

    /// Screens every group, counts its pairs above `tau`, and has `settle` say what the search and each member's choice
    /// among those pairs come to: the greatest similarity, and the partner of every member.
    fn screened(
        kernels: &Kernels<'_>,
        tau: f64,
        draws: &[Option<PartnerDraw>],
        settle: impl Fn(Search<'_, '_, '_, '_>, Vec<Best>) -> (Option<f64>, Vec<Option<usize>>),
    ) -> Self {
        let mut round = Self::none(kernels, Some(0));
        for group in kernels.groups() {
            let members = group.members();
            let screen = Screen::new(&group);
            let search = Search::new(&screen);
            let pairs = PairsAbove::new(&screen, tau, members.iter().map(|&k| draws[k]).collect());
            screen.for_each_tile(|tile| {
                search.visit(tile);
                pairs.visit(tile);
            });
            let (choices, count) = pairs.finish();
            let (greatest, partners) = settle(search, choices);
            round.greatest = round.greatest.into_iter().chain(greatest).reduce(f64::max);
            round.pairs_above = round.pairs_above.map(|pairs| pairs + count);
            for (&kernel, partner) in members.iter().zip(partners) {
                round.partners[kernel] = partner;
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

/// The pairs of a group above a threshold, and each member's choice among them.
struct PairsAbove<'s, 'g, 'k, 'a> {
    screen: &'s Screen<'g, 'k, 'a>,
    tau: f64,
    /// Whatever is screened below this is at most τ.
    possibly: f32,
    /// Whatever is screened above this is greater than τ.
    surely: f32,
    draws: Vec<Option<PartnerDraw>>,
    found: Mutex<(Vec<Best>, u64)>,
}

impl<'s, 'g, 'k, 'a> PairsAbove<'s, 'g, 'k, 'a> {
    fn new(screen: &'s Screen<'g, 'k, 'a>, tau: f64, draws: Vec<Option<PartnerDraw>>) -> Self {
        let best = vec![None; draws.len()];
        Self {
            screen,
            tau,
            // One float32 step outwards makes up for rounding the bounds to float32.
            possibly: ((tau - screen.band()) as f32).next_down(),
            surely: ((tau + screen.band()) as f32).next_up(),
            draws,
            found: Mutex::new((best, 0)),
        }
    }

    fn visit(&self, tile: &Tile<'_>) {
        let mut rows = Side::new(tile.rows());
        let mut columns = Side::new(tile.columns());
        let mut pairs = 0;
        for (a, first, values) in tile.pairs() {
            // Few rows have a pair near or above a useful threshold: this test, which vector registers take many
            // numbers at a time, spares the others the loop below.
            if !values
                .iter()
                .fold(false, |any, &value| any | (value >= self.possibly))
            {
                continue;
            }
            for (b, &value) in (first..).zip(values) {
                if value >= self.possibly && (value > self.surely || self.is_above(a, b)) {
                    pairs += 1;
                    rows.offer(a, self.rank(a, b));
                    columns.offer(b, self.rank(b, a));
                }
            }
        }

        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.1 += pairs;
        rows.merge_into(&mut found.0);
        columns.merge_into(&mut found.0);
    }

    /// The exact test, for pairs that the screen leaves open.
    fn is_above(&self, a: usize, b: usize) -> bool {
        self.screen.group().similarity(a, b) > self.tau
    }

    fn rank(&self, member: usize, candidate: usize) -> Best {
        let candidate = self.screen.group().members()[candidate];
        self.draws[member].map(|draw| (draw.rank(candidate), candidate))
    }

    fn finish(self) -> (Vec<Best>, u64) {
        self.found
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The best candidates of the members along one side of a tile.
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

    fn offer(&mut self, member: usize, candidate: Best) {
        keep_lower(&mut self.best[member - self.start], candidate);
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
    use crate::similarity::kernels_of;

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
        let n = 2 * Screen::TILE + 30;
        let values = crowd(n);
        let kernels = kernels_of(&values, n, 1);
        let draws = Draws::new(7, 0, "w");
        let turns: Vec<Option<PartnerDraw>> = (0..n)
            .map(|kernel| draws.takes_turn(kernel, 0.5).then(|| draws.partner(kernel)))
            .collect();
        // One of the similarities there are, so that some pairs are at the threshold and not above it.
        let tau = kernels.similarity(0, 1);
        let chosen = Partners::eligible(&kernels, tau, &turns);

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

        let nearest = Partners::nearest(&kernels, tau, &turns);
        assert_eq!(nearest.pairs_above, chosen.pairs_above);
        assert_eq!(nearest.greatest, chosen.greatest);
    }
}
