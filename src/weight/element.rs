//! The stored number types, one implementation each.

use half::{bf16, f16};

use super::Blend;

/// A number as a checkpoint stores it: little-endian, at any alignment.
pub trait Element: Copy {
    /// Bytes it takes.
    const SIZE: usize;

    /// Reads it from exactly [`Self::SIZE`] bytes.
    fn read(bytes: &[u8]) -> Self;

    /// Writes it to exactly [`Self::SIZE`] bytes.
    fn write(self, bytes: &mut [u8]);

    /// The same value in float64; exact for all four types.
    fn widen(self) -> f64;

    /// `α·a + (1−α)·b` in the arithmetic of this type.
    fn blend(a: Self, b: Self, blend: Blend) -> Self;
}

macro_rules! element {
    ($type:ty, $size:literal, |$x:ident| $widen:expr, |$a:ident, $b:ident, $blend:ident| $mix:expr) => {
        impl Element for $type {
            const SIZE: usize = $size;

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
                $widen
            }

            #[inline(always)]
            fn blend($a: Self, $b: Self, $blend: Blend) -> Self {
                $mix
            }
        }
    };
}

element!(f32, 4, |x| f64::from(x), |a, b, blend| blend.single(a, b));
element!(f64, 8, |x| x, |a, b, blend| blend.double(a, b));
element!(f16, 2, |x| f64::from(x.to_f32()), |a, b, blend| {
    f16::from_f32(blend.single(a.to_f32(), b.to_f32()))
});
element!(bf16, 2, |x| f64::from(x.to_f32()), |a, b, blend| {
    bf16::from_f32(blend.single(a.to_f32(), b.to_f32()))
});

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
