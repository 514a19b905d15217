//! The most similar pairs of a layer, the most nearly orthogonal ones, and the most opposite.

use serde::Serialize;

/// Two kernels of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Pair {
    /// Their numbers, the lower one first.
    pub kernels: [usize; 2],
    /// Their similarity, in [−1, 1].
    #[cfg_attr(test, schemars(range(min = -1, max = 1)))]
    pub similarity: f64,
    /// Their Euclidean norms.
    pub norms: [f64; 2],
}

impl Pair {
    /// The lesser norm over the greater, in [0, 1].
    pub fn norm_ratio(&self) -> f64 {
        let [a, b] = self.norms;
        a.min(b) / a.max(b)
    }
}

/// Which extreme a pair is an example of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Similar,
    /// Of similarity nearest to 0.
    Orthogonal,
    Opposite,
}

impl Relation {
    /// Pairs of it that are listed.
    fn wanted(self) -> usize {
        match self {
            Self::Similar => 10,
            Self::Orthogonal | Self::Opposite => 3,
        }
    }

    /// How far a similarity is from the extreme, but for a constant: the less, the further ahead is its pair.
    fn loss(self, similarity: f64) -> f64 {
        match self {
            Self::Similar => -similarity,
            Self::Orthogonal => similarity.abs(),
            Self::Opposite => similarity,
        }
    }
}

/// The foremost pairs of one relation so far.
#[derive(Clone, Debug)]
pub(super) struct Ranking {
    relation: Relation,
    /// Pairs of known similarity, the foremost first; ties go to the lowest numbers.
    foremost: Vec<(f64, [usize; 2])>,
    /// The most that the losses of some pairs can be, rising: each pair's at most once.
    reached: Vec<f32>,
}

impl Ranking {
    pub fn new(relation: Relation) -> Self {
        Self {
            relation,
            foremost: Vec::new(),
            reached: Vec::new(),
        }
    }

    /// Pairs that are wanted.
    pub fn wanted(&self) -> usize {
        self.relation.wanted()
    }

    /// A loss beyond which a pair is surely not among those wanted.
    pub fn bound(&self) -> f32 {
        let last = self.wanted() - 1;
        let reached = self.reached.get(last).copied().unwrap_or(f32::INFINITY);
        let known = self.foremost.get(last).map(|&(similarity, _)| {
            // Rounded up, so that no tie is lost.
            (self.relation.loss(similarity) as f32).next_up()
        });
        known.map_or(reached, |known| known.min(reached))
    }

    /// Takes note of what the losses of some pairs surely do not exceed, which must not be noted twice.
    pub fn reach(&mut self, losses: &[f32]) {
        self.reached.extend_from_slice(losses);
        self.reached.sort_unstable_by(f32::total_cmp);
        self.reached.truncate(self.wanted());
    }

    /// Gives a pair its rank.
    pub fn offer(&mut self, kernels: [usize; 2], similarity: f64) {
        let loss = self.relation.loss(similarity);
        let is_ahead = |&(other, others): &(f64, [usize; 2])| {
            let other = self.relation.loss(other);
            other < loss || (other == loss && others < kernels)
        };
        let last = self.wanted() - 1;
        if self.foremost.get(last).is_some_and(is_ahead) {
            return;
        }
        let rank = self.foremost.partition_point(is_ahead);
        self.foremost.truncate(last);
        self.foremost.insert(rank, (similarity, kernels));
    }

    /// The pairs, of kernels with these norms.
    pub fn pairs(&self, norms: &[f64]) -> Vec<Pair> {
        let pair = |&(similarity, kernels): &(f64, [usize; 2])| Pair {
            kernels,
            similarity,
            norms: kernels.map(|kernel| norms[kernel]),
        };
        self.foremost.iter().map(pair).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_go_by_loss_and_then_by_number() {
        let mut ranking = Ranking::new(Relation::Orthogonal);
        for (kernels, similarity) in [
            ([2, 3], 0.5),
            ([1, 4], -0.25),
            ([0, 4], 0.25),
            ([0, 9], 0.0),
            ([0, 2], 0.75),
        ] {
            ranking.offer(kernels, similarity);
        }
        let norms = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0];
        let pairs = ranking.pairs(&norms);
        let kernels: Vec<_> = pairs.iter().map(|pair| pair.kernels).collect();
        assert_eq!(kernels, [[0, 9], [0, 4], [1, 4]]);
        assert_eq!(pairs[2].similarity, -0.25);
        assert_eq!((pairs[0].norms, pairs[0].norm_ratio()), ([1.0, 10.0], 0.1));
    }

    #[test]
    fn a_bound_is_what_enough_pairs_surely_reach() {
        let mut ranking = Ranking::new(Relation::Opposite);
        ranking.reach(&[0.5, -0.5]);
        assert_eq!(ranking.bound(), f32::INFINITY);
        ranking.reach(&[0.25, 0.75]);
        assert_eq!(ranking.bound(), 0.5);
        for kernels in [[0, 1], [0, 2], [1, 2]] {
            ranking.offer(kernels, 0.125);
        }
        assert_eq!(ranking.bound(), 0.125f32.next_up());
    }
}
