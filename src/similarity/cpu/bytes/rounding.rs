//! Rounding a kernel to integers, into a panel.

use std::marker::PhantomData;

use crate::simd::Loop;
use crate::weight::Element;

use super::{Line, STEP};

/// Rounds `factor` times a kernel or a part of one to integers, and puts them into the lines of a panel.
pub(super) struct Round<'a, E> {
    kernel: &'a [u8],
    factor: f64,
    place: usize,
    panel: &'a mut [Line],
    of: PhantomData<E>,
}

/// What rounding a vector came to.
pub(super) struct Rounded {
    /// The sum of its integers.
    pub sum: i32,
    /// The sum of their squares.
    pub squares: f64,
    /// The squared distance of the integers from what they stand for.
    pub squared_error: f64,
}

/// Numbers rounded at a time.
const CHUNK: usize = 4 * STEP;

/// Added to a number of magnitude below 2²², this leaves the nearest integer in the lowest bits.
const TO_INTEGER: f32 = 12_582_912.0;

impl<'a, E: Element> Round<'a, E> {
    /// Of a kernel's bytes, to a place in these lines.
    pub fn new(kernel: &'a [u8], factor: f64, place: usize, panel: &'a mut [Line]) -> Self {
        Self {
            kernel,
            factor,
            place,
            panel,
            of: PhantomData,
        }
    }

    #[inline(always)]
    fn round(&mut self, lines: usize, numbers: [f32; CHUNK], sums: &mut [[f32; CHUNK]; 3]) {
        let mut integers = [0u8; CHUNK];
        for i in 0..CHUNK {
            let shifted = numbers[i] + TO_INTEGER;
            integers[i] = shifted.to_bits() as u8;
            let integer = shifted - TO_INTEGER;
            sums[0][i] += integer;
            sums[1][i] += (numbers[i] - integer) * (numbers[i] - integer);
            sums[2][i] += integer * integer;
        }
        let steps = integers.chunks_exact(STEP);
        for (line, step) in self.panel[lines..].iter_mut().zip(steps) {
            let mut bytes = [0; STEP];
            bytes.copy_from_slice(step);
            line.0[self.place] = i32::from_le_bytes(bytes);
        }
    }
}

impl<E: Element> Loop for Round<'_, E> {
    type Output = Rounded;

    #[inline(always)]
    fn run(mut self) -> Rounded {
        let mut sums = [[0.0f32; CHUNK]; 3];
        let factor = self.factor;
        let kernel = self.kernel;
        let mut chunks = kernel.chunks_exact(CHUNK * E::SIZE);
        let mut lines = 0;
        for chunk in chunks.by_ref() {
            self.round(lines, scaled::<E>(chunk, factor), &mut sums);
            lines += CHUNK / STEP;
        }
        let rest = scaled::<E>(chunks.remainder(), factor);
        self.round(lines, rest, &mut sums);
        let [integers, squared_errors, squares] = sums;
        let in_all = |lanes: [f32; CHUNK]| lanes.into_iter().map(f64::from).sum();
        Rounded {
            // At most 127·d < 2²⁴, so the lanes and their sum are exact.
            sum: integers.iter().sum::<f32>() as i32,
            squares: in_all(squares),
            squared_error: in_all(squared_errors),
        }
    }
}

/// A chunk of up to [`CHUNK`] numbers times `factor`; zeros after them.
#[inline(always)]
fn scaled<E: Element>(chunk: &[u8], factor: f64) -> [f32; CHUNK] {
    let mut numbers = [0.0; CHUNK];
    for (number, x) in numbers.iter_mut().zip(chunk.chunks_exact(E::SIZE)) {
        *number = E::read(x).times(factor);
    }
    numbers
}
