//! Numbers that look normally distributed and are the same on every machine.

/// A stream of numbers of mean 0 and variance 1.
pub struct Noise {
    state: u64,
}

impl Noise {
    /// The stream of a place in a checkpoint: of a tensor, of one of its rows, ….
    pub fn of(place: [u64; 3]) -> Self {
        let mut noise = Self { state: 0 };
        for part in place {
            noise.state = noise.bits() ^ part;
        }
        noise
    }

    /// SplitMix64.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// The sum of four uniform 16-bit numbers, centred and scaled: a bell within ±3.5, without libm's differences.
    pub fn number(&mut self) -> f32 {
        const MEAN: f32 = 131_070.0;
        const DEVIATION: f32 = 37_837.23;
        let bits = self.bits();
        let sum: u64 = (0..4).map(|part| (bits >> (16 * part)) & 0xFFFF).sum();
        (sum as f32 - MEAN) / DEVIATION
    }
}
