//! SplitMix64 (Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014), whose state after any
//! number of steps is known without taking them.

/// The increment: 2⁶⁴ divided by the golden ratio, made odd.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
const FIRST: u64 = 0xBF58_476D_1CE4_E5B9;
const SECOND: u64 = 0x94D0_49BB_1331_11EB;

/// The numbers that follow from a state. No two within 2⁶⁴ steps are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream(pub u64);

impl Stream {
    /// The number after `counter` steps and one more.
    pub fn word(self, counter: u64) -> u64 {
        let mut z = self
            .0
            .wrapping_add(counter.wrapping_add(1).wrapping_mul(GOLDEN));
        z = (z ^ (z >> 30)).wrapping_mul(FIRST);
        z = (z ^ (z >> 27)).wrapping_mul(SECOND);
        z ^ (z >> 31)
    }

    /// The counter whose word this is.
    pub fn counter_of(self, word: u64) -> u64 {
        let mut z = unshifted(word, 31);
        z = unshifted(z.wrapping_mul(const { inverse(SECOND) }), 27);
        z = unshifted(z.wrapping_mul(const { inverse(FIRST) }), 30);
        z.wrapping_sub(self.0)
            .wrapping_mul(const { inverse(GOLDEN) })
            .wrapping_sub(1)
    }
}

/// What `z ^ (z >> shift)` came from.
fn unshifted(z: u64, shift: u32) -> u64 {
    let mut original = z;
    // Each time as many more upper bits are right.
    for _ in 0..64 / shift {
        original = z ^ (original >> shift);
    }
    original
}

/// The number whose product with an odd one is 1.
const fn inverse(odd: u64) -> u64 {
    // Newton's iteration: 3 bits are right, then 6, 12, …
    let mut inverse = odd;
    let mut step = 0;
    while step < 5 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The first outputs of the reference implementation (`splitmix64.c`, Vigna) from state 1234567.
    #[test]
    fn the_generator_is_splitmix64() {
        let stream = Stream(1_234_567);
        assert_eq!(
            [0, 1, 2].map(|counter| stream.word(counter)),
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    proptest! {
        #[test]
        fn a_word_tells_its_counter(state in any::<u64>(), counter in any::<u64>()) {
            let stream = Stream(state);
            prop_assert_eq!(stream.counter_of(stream.word(counter)), counter);
        }
    }
}
