//! Loops compiled for the vector registers that this processor has.
//!
//! The compiler is told of wider registers, nothing else: it keeps every order of summation and contracts nothing into
//! fused multiply-adds, so the results are the same bits on every processor. A loop may use these instructions where it knows
//! that its products are exact.

/// A loop that is worth compiling several times.
pub(crate) trait Loop {
    type Output;

    /// Runs it. Must be `#[inline(always)]`, and so must be what it calls, to be compiled along with it.
    fn run(self) -> Self::Output;

    /// The same, with the same results, for processors with fused multiply-adds ([`f64::mul_add`] is slow on others).
    #[inline(always)]
    fn run_fused(self) -> Self::Output
    where
        Self: Sized,
    {
        self.run()
    }
}

/// Runs a loop as compiled for the widest registers there are.
#[inline]
pub(crate) fn widest<L: Loop>(work: L) -> L::Output {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma")]
        fn in_512_bits<L: Loop>(work: L) -> L::Output {
            work.run_fused()
        }

        #[target_feature(enable = "avx2,fma")]
        fn in_256_bits<L: Loop>(work: L) -> L::Output {
            work.run_fused()
        }

        let has_fma = is_x86_feature_detected!("fma");
        if has_fma
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
        {
            // SAFETY: the processor has these instructions, as was just found out.
            return unsafe { in_512_bits(work) };
        }
        if has_fma && is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            return unsafe { in_256_bits(work) };
        }
    }
    work.run()
}
