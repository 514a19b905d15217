//! Unit vectors as 8-bit integers, and their products, which are exact.
//!
//! A unit vector u is rounded to û = s·q with q in [−127, 127]ᵈ, or [−63, 63]ᵈ where [`Instructions`] need it. What that costs is
//! known exactly, e = ‖û − u‖, and by Cauchy and Schwarz bounds the error of every product with it:
//! |û·v̂ − u·v| ≤ e(u)·‖v̂‖ + e(v) ≤ e(u) + e(v) + e(u)·e(v), of which e + e²/2 is each vector's share. For kernels of normally
//! distributed weights e is about 0.008, or 0.016.
//!
//! Measured on one core of an AMD EPYC (Zen 4), 512 kernels of 4608 numbers, in 10⁹ multiply-adds a second: these products
//! 230 by AVX-512 VNNI; bfloat16 by the CPU's own instructions 112, with a smaller error; OpenBLAS 0.3.21 in
//! float32 (`ssyrk`) 43. On a Zen 3, 256 kernels of 2304 numbers: by AVX2 118, 16-bit integers (`vpmaddwd`), with a much smaller error, 76;
//! OpenBLAS 43. Exact tests of what is left open cost less than what bytes save, so neither of the two is used.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod blocks;
mod instructions;
mod parts;
mod rounding;
mod tile;
#[cfg(target_arch = "x86_64")]
mod vnni;

use std::ops::Range;

use bytemuck::Zeroable;
use bytemuck::allocation::zeroed_vec;

use crate::simd;
use crate::weight::Element;

use super::super::bound::SLACK;
use instructions::Instructions;
use parts::Part;
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
    /// Lines of a panel, and of a part of it.
    lines: usize,
    part_lines: usize,
    data: Vec<Line>,
    /// By panel, those of each.
    parts: Vec<Part>,
    /// By vector: s, by which its integers are multiplied.
    scales: Vec<f32>,
    /// By vector: what it adds to the error of a product; NaN where there is none.
    errors: Vec<f32>,
}

/// One panel, to be written.
pub(in super::super) struct PanelMut<'p> {
    instructions: Instructions,
    part_lines: usize,
    data: &'p mut [Line],
    parts: &'p mut [Part],
    scales: &'p mut [f32],
    errors: &'p mut [f32],
}

impl Panels {
    /// Room for `n` vectors of `d` numbers, all zero.
    pub fn zero(n: usize, d: usize) -> Self {
        Self::zero_for(Instructions::of_this_cpu(), n, d)
    }

    fn zero_for(instructions: Instructions, n: usize, d: usize) -> Self {
        let (panels, lines) = (n.div_ceil(PANEL), d.div_ceil(STEP));
        let part_lines = parts::lines_of_each(lines);
        Self {
            instructions,
            lines,
            part_lines,
            data: zeroed_vec(panels * lines),
            parts: zeroed_vec(panels * lines.div_ceil(part_lines)),
            scales: vec![0.0; panels * PANEL],
            errors: vec![f32::NAN; panels * PANEL],
        }
    }

    /// The panels one by one.
    pub fn each_mut(&mut self) -> impl Iterator<Item = PanelMut<'_>> {
        let parts = self.lines.div_ceil(self.part_lines);
        let sides = self
            .scales
            .chunks_mut(PANEL)
            .zip(self.errors.chunks_mut(PANEL));
        self.data
            .chunks_mut(self.lines)
            .zip(self.parts.chunks_mut(parts))
            .zip(sides)
            .map(|((data, parts), (scales, errors))| PanelMut {
                instructions: self.instructions,
                part_lines: self.part_lines,
                data,
                parts,
                scales,
                errors,
            })
    }

    /// The products of the vectors in `rows` with those in `columns`, row by row; both begin with a panel. Where the two
    /// are the same, what lies below the diagonal is left undefined. A product that is surely below `floor`, its error
    /// included, may be given as [`EXCLUDED`](parts::EXCLUDED).
    pub fn products(&self, rows: Range<usize>, columns: Range<usize>, floor: f32, out: &mut [f32]) {
        let tile = TileLoop {
            panels: self,
            rows,
            columns,
            floor,
            out,
        };
        match self.instructions {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the CPU has these instructions, or the panels would not be made for them.
            Instructions::Vnni512 => unsafe { vnni::in_512_bits(tile) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Instructions::Vnni256 => unsafe { vnni::in_256_bits(tile) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Instructions::Avx2 => unsafe { avx2::run(tile) },
            Instructions::Common => simd::widest(tile),
        }
    }

    /// The lines of a panel.
    fn panel(&self, panel: usize) -> &[Line] {
        &self.data[panel * self.lines..(panel + 1) * self.lines]
    }

    /// The lines of a panel that make a part.
    #[cfg(target_arch = "x86_64")]
    fn lines_of(&self, part: usize) -> Range<usize> {
        let start = part * self.part_lines;
        start..self.lines.min(start + self.part_lines)
    }

    /// The parts of a panel.
    fn parts(&self, panel: usize) -> &[Part] {
        let parts = self.lines.div_ceil(self.part_lines);
        &self.parts[panel * parts..(panel + 1) * parts]
    }
}

/// The name of this CPU's instructions for products of bytes, if it has any that are faster than float32's.
pub(super) fn instructions() -> Option<&'static str> {
    Instructions::of_this_cpu().name()
}

/// Makes up for squares that are summed in float32, d/16 in a lane.
const ROUNDED_UP: f64 = 1.0 + 1.0 / 1024.0;

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
        let scale = 1.0 / (factor * norm);
        self.scales[place] = scale as f32;
        let (part_bytes, shift) = (self.part_lines * STEP * E::SIZE, self.instructions.shift());
        let kernels = kernel.chunks(part_bytes);
        let lines = self.data.chunks_mut(self.part_lines);
        let mut squared_error = 0.0;
        // Squares of the integers, in all and in the parts so far.
        let mut squares = Vec::with_capacity(self.parts.len());
        for ((kernel, lines), part) in kernels.zip(lines).zip(&mut *self.parts) {
            let rounded = simd::widest(Round::<E>::new(kernel, factor, place, lines));
            part.offsets[place] = -shift * rounded.sum;
            squared_error += rounded.squared_error;
            squares.push(rounded.squares);
        }
        let mut rest = 0.0;
        for (part, squares) in self.parts.iter_mut().zip(squares).rev() {
            part.rests[place] = (f64::sqrt(rest) * scale * ROUNDED_UP) as f32;
            rest += squares;
        }
        let e = squared_error.sqrt() * scale * ROUNDED_UP;
        let error = e + e * e / 2.0 + SLACK;
        self.errors[place] = error as f32;
        error
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

    /// Checks a tile's products, and returns how many are left out.
    fn check(
        (panels, vectors): &(Panels, Vec<Vec<i8>>),
        rows: Range<usize>,
        columns: Range<usize>,
        floor: f32,
    ) -> usize {
        let width = columns.len();
        let mut products = vec![0.0; rows.len() * width];
        panels.products(rows.clone(), columns.clone(), floor, &mut products);
        let mut excluded = 0;
        for (i, a) in rows.enumerate() {
            for (k, b) in columns.clone().enumerate().filter(|&(_, b)| b >= a) {
                let pairs = vectors[a].iter().zip(&vectors[b]);
                let sum: i32 = pairs.map(|(&x, &y)| i32::from(x) * i32::from(y)).sum();
                let expected = sum as f32 * (panels.scales[a] * panels.scales[b]);
                let product = products[i * width + k];
                if product == parts::EXCLUDED {
                    assert!(expected < floor, "{a} {b}");
                    excluded += 1;
                } else {
                    let instructions = panels.instructions;
                    assert_eq!(product, expected, "{instructions:?} {a} {b}");
                }
            }
        }
        excluded
    }

    #[test]
    fn products_are_exact_by_all_instructions_that_this_cpu_has() {
        let sizes = [(1, 1), (5, 3), (16, 16), (37, 18), (70, 131), (21, 1000)];
        for instructions in Instructions::all_of_this_cpu() {
            for (n, d) in sizes {
                let panels = panels(instructions, n, d);
                for (rows, columns) in [(0..n, 0..n), (0..n.min(16), n / 16 * 16..n)] {
                    let excluded = check(&panels, rows, columns, f32::NEG_INFINITY);
                    assert_eq!(excluded, 0);
                }
            }
        }
    }

    #[test]
    fn products_below_the_floor_may_be_left_out() {
        for instructions in Instructions::all_of_this_cpu() {
            let panels = panels(instructions, 50, 3000);
            // A vector's product with itself is a third to two thirds of this, with another about zero.
            let most = 3000.0 * f32::from(instructions.greatest()).powi(4);
            let excluded =
                [-1.0, 0.1, 0.3, 1.0].map(|share| check(&panels, 0..50, 0..50, share * most));
            let all = 50 * 51 / 2;
            match instructions {
                Instructions::Common => assert_eq!(excluded, [0; 4]),
                _ => assert!(
                    excluded[0] == 0
                        && excluded.is_sorted()
                        && excluded[1] > 0
                        && excluded[3] == all,
                    "{instructions:?} {excluded:?}"
                ),
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
            panels.products(0..2, 0..2, f32::NEG_INFINITY, &mut products);
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
