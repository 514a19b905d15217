//! The loop that blends one kernel with another.

use std::marker::PhantomData;

use crate::checkpoint::FloatType;
use crate::simd::{self, Loop};

use super::blend::Blend;
use super::element::{Element, with_element};

impl Blend {
    /// Blends one kernel with another into `blended`, all of the same length and as stored in a checkpoint of this
    /// element type.
    ///
    /// A share of exactly 1 gives the kernel back bit for bit (`1·(−0) + 0·b` would turn −0 into +0).
    pub fn kernels(self, float: FloatType, own: &[u8], partner: &[u8], blended: &mut [u8]) {
        if self.take == 0.0 {
            blended.copy_from_slice(own);
        } else {
            with_element!(float, E => simd::widest(BlendLoop::<E> {
                blend: self,
                own,
                partner,
                blended,
                element: PhantomData,
            }));
        }
    }
}

struct BlendLoop<'a, E> {
    blend: Blend,
    own: &'a [u8],
    partner: &'a [u8],
    blended: &'a mut [u8],
    element: PhantomData<E>,
}

impl<E: Element> Loop for BlendLoop<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let pairs = self
            .own
            .chunks_exact(E::SIZE)
            .zip(self.partner.chunks_exact(E::SIZE));
        for (blended, (a, b)) in self.blended.chunks_exact_mut(E::SIZE).zip(pairs) {
            E::blend(E::read(a), E::read(b), self.blend).write(blended);
        }
    }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    fn blended(alpha: f64, float: FloatType, a: &[u8], b: &[u8]) -> Vec<u8> {
        let mut blended = vec![0; a.len()];
        Blend::new(alpha).kernels(float, a, b, &mut blended);
        blended
    }

    fn blend_f32(alpha: f64, a: f32, b: f32) -> f32 {
        f32::read(&blended(
            alpha,
            FloatType::F32,
            &a.to_le_bytes(),
            &b.to_le_bytes(),
        ))
    }

    #[test]
    fn float32_is_pytorchs_bit_for_bit() {
        for (alpha, a, b, expected) in PYTORCH_F32 {
            let blended = blend_f32(alpha, f32::from_bits(a), f32::from_bits(b));
            assert_eq!(blended.to_bits(), expected, "{alpha} {a:#x} {b:#x}");
        }
    }

    /// α and the bits of `a`, `b` and the result; most differ from a result rounded once (PyTorch 2.15, CPU).
    const PYTORCH_F32: [(f64, u32, u32, u32); 12] = [
        (0.8, 0x3ECA902B, 0x3E15045F, 0x3EB0F3C5),
        (0.8, 0xBF091754, 0xBFCEED3C, 0xBF40718F),
        (0.8, 0xBFCA94C1, 0xBDBCD756, 0xBFA46CE6),
        (0.8, 0xBF51F456, 0xBF965B47, 0xBF641B2E),
        (0.3, 0x3F08C16B, 0xC00AA210, 0xBFAD92AC),
        (0.3, 0x3FB2E390, 0x3EF0FF53, 0x3F3FAEB4),
        (0.3, 0xBE68C85E, 0x3D817FE4, 0xBCC41466),
        (0.5, 0x3F48029A, 0xBEB7473F, 0x3E58BDF5),
        (0.123456789, 0x3F898EEB, 0xBFA894D7, 0xBF82C951),
        (0.123456789, 0xBF462FDE, 0xBE5B005E, 0xBE90EACC),
        (0.123456789, 0x3E5EB24F, 0xBD010021, 0xBA4675A0),
        (0.123456789, 0xBF912916, 0xBF3C17FF, 0xBF48B6E2),
    ];

    #[test]
    fn keeping_everything_changes_no_bit() {
        let own = (-0.0f32).to_le_bytes();
        let result = blended(1.0, FloatType::F32, &own, &1.0f32.to_le_bytes());
        assert_eq!(result, own);
    }

    #[test]
    fn halves_are_rounded_once_to_nearest_even() {
        // 0.5·1 + 0.5·(1 + 2⁻¹⁰) lies half-way between two binary16 numbers; the even one is 1.
        let (one, next) = (f16::ONE, f16::from_bits(f16::ONE.to_bits() + 1));
        let result = blended(0.5, FloatType::F16, &one.to_le_bytes(), &next.to_le_bytes());
        assert_eq!(f16::read(&result), one);

        let (one, next) = (bf16::ONE, bf16::from_bits(bf16::ONE.to_bits() + 1));
        let after = bf16::from_bits(next.to_bits() + 1);
        let result = blended(
            0.5,
            FloatType::Bf16,
            &next.to_le_bytes(),
            &after.to_le_bytes(),
        );
        assert_eq!(bf16::read(&result), after);
        let result = blended(
            0.5,
            FloatType::Bf16,
            &one.to_le_bytes(),
            &next.to_le_bytes(),
        );
        assert_eq!(bf16::read(&result), one);
    }
}
