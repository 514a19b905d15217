//! The CPU's instructions for products of bytes.

/// The instructions by which panels are multiplied. Panels are written for some, as not all take the same integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instructions {
    /// AVX-512 VNNI: four products of a lane and their sum at once, 64 in all.
    #[cfg(target_arch = "x86_64")]
    Vnni512,
    /// AVX-VNNI: the same in 256 bits.
    #[cfg(target_arch = "x86_64")]
    Vnni256,
    /// AVX2's `vpmaddubsw`: the sums of two products, in 16 bits. Integers of 7 bits keep the sum of four products below 2¹⁵
    /// (127 · 63 · 4 = 32,004), so that nothing saturates and every other widening to 32 bits is saved.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// What every CPU has: slower than float32.
    Common,
}

impl Instructions {
    /// The fastest that this CPU has.
    pub fn of_this_cpu() -> Self {
        Self::all_of_this_cpu().next().unwrap_or(Self::Common)
    }

    /// Those that this CPU has, the fastest first.
    pub fn all_of_this_cpu() -> impl Iterator<Item = Self> {
        let all = [
            #[cfg(target_arch = "x86_64")]
            Self::Vnni512,
            #[cfg(target_arch = "x86_64")]
            Self::Vnni256,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2,
            Self::Common,
        ];
        all.into_iter().filter(|instructions| instructions.exist())
    }

    /// Whether this CPU has them.
    fn exist(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vnni512 => {
                is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Vnni256 => {
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            Self::Common => true,
        }
    }

    /// What they are called; `None` where float32 is faster.
    pub fn name(self) -> Option<&'static str> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vnni512 => Some("AVX-512 VNNI"),
            #[cfg(target_arch = "x86_64")]
            Self::Vnni256 => Some("AVX-VNNI"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Some("AVX2"),
            Self::Common => None,
        }
    }

    /// The greatest magnitude of an integer.
    pub fn greatest(self) -> i8 {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 63,
            _ => 127,
        }
    }

    /// How much higher the columns' integers are taken than they are, so that they are positive: the instructions multiply
    /// unsigned bytes by signed ones.
    pub fn shift(self) -> i32 {
        i32::from(self.greatest()) + 1
    }
}
