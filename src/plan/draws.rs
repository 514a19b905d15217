//! The only source of randomness: a stream of draws for each seed, round and layer.
//!
//! The state of SplitMix64 after `c` steps is known without taking them, so every kernel has two draws at fixed positions in
//! the stream, in whatever order they are read. A stream starts at a hash of the seed, the round and the layer's name, so a
//! layer's draws do not depend on which others are merged.

use sha2::{Digest, Sha256};

use crate::splitmix::Stream;

/// Separates these hashes from other uses of SHA-256 over the same words.
const DOMAIN: &[u8] = b"inmerge-draws-v1\0";

/// The draws of one layer in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draws {
    stream: Stream,
}

/// The random number from which a kernel's partner is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartnerDraw(Stream);

impl Draws {
    /// The draws of a layer in a round, counted from 0.
    pub fn new(seed: u64, round: u32, layer: &str) -> Self {
        let hash = Sha256::new()
            .chain_update(DOMAIN)
            .chain_update(seed.to_le_bytes())
            .chain_update(u64::from(round).to_le_bytes())
            .chain_update(layer)
            .finalize();
        let mut key = [0; 8];
        key.copy_from_slice(&hash[..8]);
        Self {
            stream: Stream(u64::from_le_bytes(key)),
        }
    }

    fn word(self, counter: u64) -> u64 {
        self.stream.word(counter)
    }

    /// Whether a kernel takes its turn, which it does with probability `prob`.
    pub fn takes_turn(self, kernel: usize, prob: f64) -> bool {
        // 53 bits: every multiple of 2⁻⁵³ in [0, 1) with the same probability.
        let uniform = (self.word(2 * kernel as u64) >> 11) as f64 * 2f64.powi(-53);
        uniform < prob
    }

    /// The draw from which a kernel's partner is chosen.
    pub fn partner(self, kernel: usize) -> PartnerDraw {
        PartnerDraw(Stream(self.word(2 * kernel as u64 + 1)))
    }
}

impl PartnerDraw {
    /// A number below `bound`, or 0 if `bound` is 0; all are equally likely to within `bound`·2⁻⁶⁴.
    pub fn below(self, bound: usize) -> usize {
        ((u128::from(self.0.0) * bound as u128) >> 64) as usize
    }

    /// The rank of each candidate: its word in this stream, at the number of its kernel. All orders are equally likely, so
    /// the candidate of lowest rank is a uniform choice among any set, found without knowing the set's size beforehand. Ranks
    /// never tie.
    pub fn ranks(self) -> Stream {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certain_and_impossible_turns() {
        let draws = Draws::new(0, 0, "w");
        assert!((0..10_000).all(|kernel| draws.takes_turn(kernel, 1.0)));
        assert!(!(0..10_000).any(|kernel| draws.takes_turn(kernel, 0.0)));
    }

    #[test]
    fn seed_round_and_name_each_give_another_stream() {
        let streams = [
            Draws::new(0, 0, "a"),
            Draws::new(1, 0, "a"),
            Draws::new(0, 1, "a"),
            Draws::new(0, 0, "b"),
        ];
        for (i, a) in streams.iter().enumerate() {
            assert!(streams[..i].iter().all(|b| a.stream != b.stream));
        }
    }

    /// `(observed − expected) / σ` of a count of independent events of probability `p`.
    fn sigmas(observed: usize, trials: usize, p: f64) -> f64 {
        let expected = trials as f64 * p;
        (observed as f64 - expected) / (expected * (1.0 - p)).sqrt()
    }

    #[test]
    fn turns_come_with_their_probability() {
        for prob in [0.01, 0.3, 0.5, 0.97] {
            let trials = 400 * 64;
            let turns = (0..400)
                .map(|seed| {
                    let draws = Draws::new(seed, 0, "layer");
                    (0..64)
                        .filter(|&kernel| draws.takes_turn(kernel, prob))
                        .count()
                })
                .sum();
            assert!(sigmas(turns, trials, prob).abs() < 5.0);
        }
    }

    #[test]
    fn every_partner_is_equally_likely() {
        let candidates = [3u64, 4, 9, 11, 40];
        let (mut below, mut ranked) = ([0usize; 5], [0usize; 5]);
        let trials = 500 * 64;
        for seed in 0..500 {
            let draws = Draws::new(seed, 2, "layer");
            for kernel in 0..64 {
                let draw = draws.partner(kernel);
                below[draw.below(5)] += 1;
                let lowest = (0..5)
                    .min_by_key(|&index| draw.ranks().word(candidates[index]))
                    .unwrap();
                ranked[lowest] += 1;
            }
        }
        for count in below.into_iter().chain(ranked) {
            assert!(
                sigmas(count, trials, 0.2).abs() < 5.0,
                "{below:?} {ranked:?}"
            );
        }
    }
}
