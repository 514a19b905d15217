//! Unit vectors as 8-bit integers, and their products, which are exact.
//!
//! A unit vector u is rounded to û = s·q with q in [−127, 127]ᵈ, or [−63, 63]ᵈ where [`Instructions`] need it. What that costs is
//! known exactly, e = ‖û − u‖, and by Cauchy and Schwarz bounds the error of every product with it:
//! |û·v̂ − u·v| ≤ e(u)·‖v̂‖ + e(v) ≤ e(u) + e(v) + e(u)·e(v), of which e + e²/2 is each vector's share. For kernels of normally
//! distributed weights e is about 0.008, or 0.016.
//!
//! Measured on one core of an AMD EPYC (Zen 4), 512 kernels of 4608 numbers, in 10⁹ multiply-adds a second: these products
//! 230; bfloat16 by the CPU's own instructions 112, with a smaller error; OpenBLAS 0.3.21 in
//! float32 (`ssyrk`) 43. Exact tests of what is left open cost less than what bytes save, so bfloat16 is not used.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod blocks;
mod instructions;
mod rounding;
mod tile;
#[cfg(target_arch = "x86_64")]
mod vnni;

use std::marker::PhantomData;
use std::ops::Range;

use bytemuck::Zeroable;
use bytemuck::allocation::zeroed_vec;

use crate::simd;
use crate::weight::Element;

use super::super::bound::SLACK;
use instructions::Instructions;
use rounding::Round;
use tile::TileLoop;

/// Vectors in a panel: one 32-bit lane of a 512-bit register each.
pub(super) const PANEL: usize = 16;

/// The longest vectors whose products surely fit 32-bit integers: 127²·d < 2³¹.
pub(super) const LONGEST: usize = 131_072;

/// Numbers of each vector that lie side by side in a panel: as many bytes as a lane has.
const STEP: usize = 4;

/// Four numbers of each of a panel's vectors, as one register takes them: lane `i` holds those of vector `i`.
#[derive(Clone, Copy, Debug, Zeroable)]
#[repr(align(64))]
struct Line([i32; PANEL]);

/// Vectors of bytes, in panels of [`PANEL`]: for every four numbers of the vectors a [`Line`].
#[derive(Clone, Debug)]
pub(in super::super) struct Panels {
    instructions: Instructions,
    lines: usize,
    data: Vec<Line>,
    /// By vector: s, by which its integers are multiplied.
    scales: Vec<f32>,
    /// By vector: the sum of its integers times −[`Instructions::shift`].
    offsets: Vec<i32>,
}

/// One panel, to be written.
pub(in super::super) struct PanelMut<'p> {
    instructions: Instructions,
    data: &'p mut [Line],
    scales: &'p mut [f32],
    offsets: &'p mut [i32],
}

impl Panels {
    /// Room for `n` vectors of `d` numbers, all zero.
    pub fn zero(n: usize, d: usize) -> Self {
        Self::zero_for(Instructions::of_this_cpu(), n, d)
    }

    fn zero_for(instructions: Instructions, n: usize, d: usize) -> Self {
        let (panels, lines) = (n.div_ceil(PANEL), d.div_ceil(STEP));
        Self {
            instructions,
            lines,
            data: zeroed_vec(panels * lines),
            scales: vec![0.0; panels * PANEL],
            offsets: vec![0; panels * PANEL],
        }
    }

    /// The panels one by one.
    pub fn each_mut(&mut self) -> impl Iterator<Item = PanelMut<'_>> {
        let sides = self
            .scales
            .chunks_mut(PANEL)
            .zip(self.offsets.chunks_mut(PANEL));
        self.data
            .chunks_mut(self.lines)
            .zip(sides)
            .map(|(data, (scales, offsets))| PanelMut {
                instructions: self.instructions,
                data,
                scales,
                offsets,
            })
    }

    /// The products of the vectors in `rows` with those in `columns`, row by row; both begin with a panel. Where the two
    /// are the same, what lies below the diagonal is left undefined.
    pub fn products(&self, rows: Range<usize>, columns: Range<usize>, out: &mut [f32]) {
        let tile = TileLoop {
            panels: self,
            rows,
            columns,
            out,
        };
        match self.instructions {
            // SAFETY, of all three: the CPU has these instructions, or the panels would not be made for them.
            #[cfg(target_arch = "x86_64")]
            Instructions::Vnni512 => unsafe { vnni::in_512_bits(tile) },
            #[cfg(target_arch = "x86_64")]
            Instructions::Vnni256 => unsafe { vnni::in_256_bits(tile) },
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => unsafe { avx2::run(tile) },
            Instructions::Common => simd::widest(tile),
        }
    }

    fn panel(&self, panel: usize) -> &[Line] {
        &self.data[panel * self.lines..(panel + 1) * self.lines]
    }
}

/// Whether products of bytes are faster than float32's on this CPU.
pub(super) fn is_fast() -> bool {
    Instructions::of_this_cpu() != Instructions::Common
}

impl PanelMut<'_> {
    /// As [`Batch::write`](super::unit_vectors::Batch::write).
    pub fn write<E: Element>(
        &mut self,
        place: usize,
        kernel: &[u8],
        norm: f64,
        greatest: f64,
    ) -> f64 {
        let factor = E::factor(f64::from(self.instructions.greatest()) / greatest);
        let rounded = simd::widest(Round::<E> {
            kernel,
            factor,
            place,
            panel: self.data,
            of: PhantomData,
        });
        let scale = 1.0 / (factor * norm);
        self.scales[place] = scale as f32;
        self.offsets[place] = -self.instructions.shift() * rounded.sum;
        // The factor makes up for summing the squares in float32, d/16 in a lane.
        let e = rounded.squared_error.sqrt() * scale * (1.0 + 2f64.powi(-10));
        e + e * e / 2.0 + SLACK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of `d` integers without structure, the extremes among them.
    fn panels(instructions: Instructions, n: usize, d: usize) -> (Panels, Vec<Vec<i8>>) {
        let greatest = instructions.greatest();
        let mut state = 1u32;
        let mut number = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // A quarter of them at either end.
            ((state >> 24) as i8).clamp(-greatest, greatest)
        };
        let mut vectors: Vec<Vec<i8>> =
            (0..n).map(|_| (0..d).map(|_| number()).collect()).collect();
        let mut panels = Panels::zero_for(instructions, n, d);
        let norm = 1.0 / f64::from(greatest);
        for (mut panel, vectors) in panels.each_mut().zip(vectors.chunks_mut(PANEL)) {
            for (place, vector) in vectors.iter_mut().enumerate() {
                // The greatest is scaled to the greatest integer, so the integers are the kernel's own numbers.
                vector[0] = greatest;
                let numbers = vector.iter().map(|&q| f32::from(q).to_le_bytes());
                let kernel: Vec<u8> = numbers.flatten().collect();
                let error = panel.write::<f32>(place, &kernel, norm, f64::from(greatest));
                assert_eq!(error, SLACK);
            }
        }
        (panels, vectors)
    }

    #[test]
    fn products_are_exact_by_all_instructions_that_this_cpu_has() {
        let sizes = [(1, 1), (5, 3), (16, 16), (37, 18), (70, 131), (21, 1000)];
        for (instructions, (n, d)) in
            Instructions::all_of_this_cpu().flat_map(|i| sizes.map(|s| (i, s)))
        {
            let (panels, vectors) = panels(instructions, n, d);
            for (rows, columns) in [(0..n, 0..n), (0..n.min(16), n / 16 * 16..n)] {
                let width = columns.len();
                let mut products = vec![0.0; rows.len() * width];
                panels.products(rows.clone(), columns.clone(), &mut products);
                for (i, a) in rows.enumerate() {
                    for (k, b) in columns.clone().enumerate().filter(|&(_, b)| b >= a) {
                        let pairs = vectors[a].iter().zip(&vectors[b]);
                        let sum: i32 = pairs.map(|(&x, &y)| i32::from(x) * i32::from(y)).sum();
                        let expected = sum as f32 * (panels.scales[a] * panels.scales[b]);
                        let product = products[i * width + k];
                        assert_eq!(product, expected, "{instructions:?} {n} {d} {a} {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_greatest_integers_overflow_nothing() {
        for instructions in Instructions::all_of_this_cpu() {
            let greatest = instructions.greatest();
            let d = 4 * STEP + 1;
            let mut panels = Panels::zero_for(instructions, 2, d);
            for (place, sign) in [1.0f32, -1.0].into_iter().enumerate() {
                let kernel: Vec<u8> = (0..d).flat_map(|_| sign.to_le_bytes()).collect();
                let mut panel = panels.each_mut().next().unwrap();
                panel.write::<f32>(place, &kernel, 1.0 / f64::from(greatest), 1.0);
            }
            let mut products = vec![0.0; 4];
            panels.products(0..2, 0..2, &mut products);
            let square = f32::from(greatest) * f32::from(greatest) * d as f32;
            let scale = panels.scales[0] * panels.scales[1];
            assert_eq!(
                products[..2],
                [square * scale, -square * scale],
                "{instructions:?}"
            );
            assert_eq!(products[3], square * scale, "{instructions:?}");
        }
    }
}
