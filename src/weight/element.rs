//! The stored number types, one implementation each.

use half::{bf16, f16};

use super::blend::Blend;

/// A number as a checkpoint stores it: little-endian, at any alignment.
pub trait Element: Copy {
    /// Bytes of a stored number.
    const SIZE: usize;

    /// Whether the product of two such numbers is exact in float64: those of significands of 24 bits and less are.
    const PRODUCTS_ARE_EXACT: bool;

    /// Reads it from exactly [`Self::SIZE`] bytes.
    fn read(bytes: &[u8]) -> Self;

    /// Writes it to exactly [`Self::SIZE`] bytes.
    fn write(self, bytes: &mut [u8]);

    /// The same value in float64; exact for all four types.
    fn widen(self) -> f64;

    /// The nearest number of this type, to even where two are equally near.
    fn narrow(x: f64) -> Self;

    /// The nearest number to `factor` by which [`Element::times`] can multiply.
    fn factor(factor: f64) -> f64;

    /// The value times a number from [`Element::factor`]: in float64 for float64, otherwise in float32.
    fn times(self, factor: f64) -> f32;

    /// `α·a + (1−α)·b` in the arithmetic of this type.
    fn blend(a: Self, b: Self, blend: Blend) -> Self;
}

macro_rules! element {
    ($type:ty, $size:literal, $real:ty, |$x:ident| $real_of:expr, $narrow:expr, |$a:ident, $b:ident, $blend:ident| $mix:expr) => {
        impl Element for $type {
            const SIZE: usize = $size;
            const PRODUCTS_ARE_EXACT: bool = $size <= 4;

            #[inline(always)]
            fn read(bytes: &[u8]) -> Self {
                let mut array = [0; $size];
                array.copy_from_slice(bytes);
                Self::from_le_bytes(array)
            }

            #[inline(always)]
            fn write(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }

            #[inline(always)]
            fn widen(self) -> f64 {
                let $x = self;
                f64::from($real_of)
            }

            #[inline(always)]
            fn narrow(x: f64) -> Self {
                $narrow(x)
            }

            #[inline(always)]
            fn factor(factor: f64) -> f64 {
                f64::from(factor as $real)
            }

            #[inline(always)]
            fn times(self, factor: f64) -> f32 {
                let $x = self;
                ($real_of * factor as $real) as f32
            }

            #[inline(always)]
            fn blend($a: Self, $b: Self, $blend: Blend) -> Self {
                $mix
            }
        }
    };
}

element!(f32, 4, f32, |x| x, |x: f64| x as f32, |a, b, blend| blend
    .single(a, b));
element!(f64, 8, f64, |x| x, |x: f64| x, |a, b, blend| blend
    .double(a, b));
element!(
    f16,
    2,
    f32,
    |x| f32_of_f16(x),
    f16::from_f64,
    |a, b, blend| f16_of_f32(blend.single(f32_of_f16(a), f32_of_f16(b)))
);
element!(
    bf16,
    2,
    f32,
    |x| f32_of_bf16(x),
    bf16::from_f64,
    |a, b, blend| bf16_of_f32(blend.single(f32_of_bf16(a), f32_of_bf16(b)))
);

// The conversions of the `half` crate branch for each element; these have no branch, so that the compiler can vectorise them.
// The tests compare them with that crate's.

#[inline(always)]
fn f32_of_f16(x: f16) -> f32 {
    // Shifts sign, exponent and mantissa into place; the mask removes the copies of the sign between them.
    let bits = (i32::from(x.to_bits() as i16) << 13) as u32 & 0x8FFF_E000;
    // The exponent's bias differs by 112; the product is exact, subnormals included.
    let finite = (f32::from_bits(bits) * 2f32.powi(112)).to_bits();
    let is_special = bits & 0x0F80_0000 == 0x0F80_0000;
    f32::from_bits(finite | if is_special { 0x7F80_0000 } else { 0 })
}

/// Rounds to nearest even.
#[inline(always)]
fn f16_of_f32(x: f32) -> f16 {
    let bits = x.to_bits();
    let magnitude = bits & 0x7FFF_FFFF;
    // Adds half a unit in the last place of the result, less one bit, and one bit more if the result is odd.
    let normal = magnitude
        .wrapping_add(0xC800_0FFF)
        .wrapping_add((magnitude >> 13) & 1)
        >> 13;
    // Added to 0.5, a number below 2⁻¹⁴ is rounded to the subnormals' spacing by the addition.
    let subnormal = (f32::from_bits(magnitude) + 0.5)
        .to_bits()
        .wrapping_sub(0x3F00_0000);
    let nan = 0x7E00 | (magnitude >> 13 & 0x3FF);
    let finite = if magnitude < 0x3880_0000 {
        subnormal
    } else {
        normal
    };
    let special = if magnitude > 0x7F80_0000 { nan } else { 0x7C00 };
    let is_special = magnitude >= 0x4780_0000;
    f16::from_bits((if is_special { special } else { finite } | (bits >> 16 & 0x8000)) as u16)
}

#[inline(always)]
fn f32_of_bf16(x: bf16) -> f32 {
    f32::from_bits(u32::from(x.to_bits()) << 16)
}

/// Rounds to nearest even.
#[inline(always)]
fn bf16_of_f32(x: f32) -> bf16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) >> 16;
    let nan = bits >> 16 | 0x40;
    let is_nan = bits & 0x7FFF_FFFF > 0x7F80_0000;
    bf16::from_bits(if is_nan { nan } else { rounded } as u16)
}

/// Runs an expression with `$e` bound to the Rust type behind a [`FloatType`](crate::checkpoint::FloatType).
macro_rules! with_element {
    ($float:expr, $e:ident => $body:expr) => {
        match $float {
            $crate::checkpoint::FloatType::F16 => {
                type $e = ::half::f16;
                $body
            }
            $crate::checkpoint::FloatType::Bf16 => {
                type $e = ::half::bf16;
                $body
            }
            $crate::checkpoint::FloatType::F32 => {
                type $e = f32;
                $body
            }
            $crate::checkpoint::FloatType::F64 => {
                type $e = f64;
                $body
            }
        }
    };
}
pub(crate) use with_element;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_widen_as_the_half_crate_says() {
        for bits in 0..=u16::MAX {
            let x = f16::from_bits(bits);
            let (ours, theirs) = (f32_of_f16(x), x.to_f32());
            assert!(
                ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan(),
                "{bits:#x}"
            );
            let x = bf16::from_bits(bits);
            let (ours, theirs) = (f32_of_bf16(x), x.to_f32());
            assert!(
                ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan(),
                "{bits:#x}"
            );
        }
    }

    #[test]
    fn numbers_are_rounded_to_halves_as_the_half_crate_says() {
        // Every 251st bit pattern, and all around those that lie half-way between two halves.
        let spread = (0..=u32::MAX).step_by(251);
        let half_ways = (0..=u16::MAX).flat_map(|bits| {
            let f16 = (f32::from_bits(f16::from_bits(bits).to_f32().to_bits() + 0x1000)).to_bits();
            let bf16 = (u32::from(bits) << 16) + 0x8000;
            [f16 - 1, f16, f16 + 1, bf16 - 1, bf16, bf16 + 1]
        });
        for bits in spread.chain(half_ways) {
            let x = f32::from_bits(bits);
            assert_eq!(
                f16_of_f32(x).to_bits(),
                f16::from_f32(x).to_bits(),
                "{bits:#x}"
            );
            assert_eq!(
                bf16_of_f32(x).to_bits(),
                bf16::from_f32(x).to_bits(),
                "{bits:#x}"
            );
        }
    }
}
