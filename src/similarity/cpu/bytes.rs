//! Unit vectors as 8-bit integers, and their products, which are exact.
//!
//! A unit vector u is rounded to û = s·q with q in [−127, 127]ᵈ. What that costs is known exactly, e = ‖û − u‖, and by
//! Cauchy and Schwarz bounds the error of every product with it: |û·v̂ − u·v| ≤ e(u)·‖v̂‖ + e(v) ≤ e(u) + e(v) + e(u)·e(v),
//! of which e + e²/2 is each vector's share. For kernels of normally distributed weights e is about 0.008.
//!
//! Measured on one core of an AMD EPYC (Zen 4), 512 kernels of 4608 numbers, in 10⁹ multiply-adds a second: these products
//! 230; bfloat16 by the CPU's own instructions 112, with a smaller error; OpenBLAS 0.3.21 in
//! float32 (`ssyrk`) 43. Exact tests of what is left open cost less than what bytes save, so bfloat16 is not used.

use std::marker::PhantomData;
use std::ops::Range;

use bytemuck::Zeroable;
use bytemuck::allocation::zeroed_vec;

use crate::simd::{self, Loop};
use crate::weight::Element;

use super::super::bound::SLACK;

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
    lines: usize,
    data: Vec<Line>,
    /// By vector: s, by which its integers are multiplied.
    scales: Vec<f32>,
    /// By vector: −128 times the sum of its integers.
    offsets: Vec<i32>,
}

/// One panel, to be written.
pub(in super::super) struct PanelMut<'p> {
    data: &'p mut [Line],
    scales: &'p mut [f32],
    offsets: &'p mut [i32],
}

impl Panels {
    /// Room for `n` vectors of `d` numbers, all zero.
    pub fn zero(n: usize, d: usize) -> Self {
        let (panels, lines) = (n.div_ceil(PANEL), d.div_ceil(STEP));
        Self {
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
        #[cfg(target_arch = "x86_64")]
        if is_fast() {
            // SAFETY: the CPU has these instructions, as was just found out.
            return unsafe { vnni::run(tile) };
        }
        simd::widest(tile);
    }

    fn panel(&self, panel: usize) -> &[Line] {
        &self.data[panel * self.lines..(panel + 1) * self.lines]
    }
}

/// Whether this CPU has instructions for products of bytes (AVX-512 VNNI).
pub(super) fn is_fast() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
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
        let factor = E::factor(127.0 / greatest);
        let rounded = simd::widest(Round::<E> {
            kernel,
            factor,
            place,
            panel: self.data,
            of: PhantomData,
        });
        let scale = 1.0 / (factor * norm);
        self.scales[place] = scale as f32;
        self.offsets[place] = -128 * rounded.sum;
        // The factor makes up for summing the squares in float32, d/16 in a lane.
        let e = rounded.squared_error.sqrt() * scale * (1.0 + 2f64.powi(-10));
        e + e * e / 2.0 + SLACK
    }
}

/// Rounds `factor` times a kernel to integers, and puts them into a panel.
struct Round<'a, E> {
    kernel: &'a [u8],
    factor: f64,
    place: usize,
    panel: &'a mut [Line],
    of: PhantomData<E>,
}

/// What rounding a vector came to.
struct Rounded {
    /// The sum of its integers.
    sum: i32,
    /// The squared distance of the integers from what they stand for.
    squared_error: f64,
}

/// Numbers rounded at a time.
const CHUNK: usize = 4 * STEP;

/// Added to a number of magnitude below 2²², this leaves the nearest integer in the lowest bits.
const TO_INTEGER: f32 = 12_582_912.0;

impl<E: Element> Round<'_, E> {
    #[inline(always)]
    fn round(&mut self, lines: usize, numbers: [f32; CHUNK], sums: &mut [[f32; CHUNK]; 2]) {
        let mut integers = [0u8; CHUNK];
        for i in 0..CHUNK {
            let shifted = numbers[i] + TO_INTEGER;
            integers[i] = shifted.to_bits() as u8;
            let integer = shifted - TO_INTEGER;
            sums[0][i] += integer;
            sums[1][i] += (numbers[i] - integer) * (numbers[i] - integer);
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
        let mut sums = [[0.0f32; CHUNK]; 2];
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
        Rounded {
            // At most 127·d < 2²⁴, so the lanes and their sum are exact.
            sum: sums[0].iter().sum::<f32>() as i32,
            squared_error: sums[1].iter().copied().map(f64::from).sum(),
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

/// The products of a tile, by instructions that every CPU has.
struct TileLoop<'a> {
    panels: &'a Panels,
    rows: Range<usize>,
    columns: Range<usize>,
    out: &'a mut [f32],
}

impl TileLoop<'_> {
    /// Writes the sums of a row with a panel.
    #[inline(always)]
    fn put(&mut self, row: usize, panel: usize, sums: [i32; PANEL]) {
        let columns = panel * PANEL..self.columns.end.min((panel + 1) * PANEL);
        let start =
            (row - self.rows.start) * self.columns.len() + columns.start - self.columns.start;
        let out = &mut self.out[start..start + columns.len()];
        let scale = self.panels.scales[row];
        for ((out, sum), column) in out.iter_mut().zip(sums).zip(&self.panels.scales[columns]) {
            *out = sum as f32 * (scale * column);
        }
    }

    /// The first panel that has products to compute with a row.
    #[inline(always)]
    fn first_panel(&self, row: usize) -> usize {
        self.columns.start.max(row / PANEL * PANEL) / PANEL
    }
}

impl Loop for TileLoop<'_> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        for row in self.rows.clone() {
            for panel in self.first_panel(row)..self.columns.end.div_ceil(PANEL) {
                let mut sums = [0i32; PANEL];
                let own = self.panels.panel(row / PANEL);
                for (own, others) in own.iter().zip(self.panels.panel(panel)) {
                    let own = own.0[row % PANEL].to_le_bytes();
                    for (sum, other) in sums.iter_mut().zip(others.0) {
                        let other = other.to_le_bytes();
                        for step in 0..STEP {
                            *sum += i32::from(own[step] as i8) * i32::from(other[step] as i8);
                        }
                    }
                }
                self.put(row, panel, sums);
            }
        }
    }
}

/// The products of a tile, by AVX-512 VNNI.
#[cfg(target_arch = "x86_64")]
mod vnni {
    use std::arch::x86_64::{
        __m512i, _mm512_dpbusd_epi32, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_xor_si512,
    };

    use bytemuck::must_cast;

    use super::{Line, PANEL, TileLoop};

    /// Rows worked on together: with two panels of columns they take 16 registers, and each column read serves all.
    const ROWS: usize = 8;

    /// Panels of columns worked on together.
    const COLUMNS: usize = 2;

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) fn run(mut tile: TileLoop<'_>) {
        let panels = tile.columns.start / PANEL..tile.columns.end.div_ceil(PANEL);
        let mut panel = panels.start;
        while panel < panels.end {
            let count = COLUMNS.min(panels.end - panel);
            for row in tile.rows.clone().step_by(ROWS) {
                if tile.first_panel(row) >= panel + count {
                    break;
                }
                if count == COLUMNS {
                    block::<COLUMNS>(&mut tile, row, panel);
                } else {
                    block::<1>(&mut tile, row, panel);
                }
            }
            panel += count;
        }
    }

    /// The products of [`ROWS`] rows with `N` panels.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn block<const N: usize>(tile: &mut TileLoop<'_>, row: usize, panel: usize) {
        let sums = {
            let own = tile.panels.panel(row / PANEL);
            let others = std::array::from_fn(|n| &tile.panels.panel(panel + n)[..own.len()]);
            let offsets = std::array::from_fn(|r| tile.panels.offsets[row + r]);
            sums::<N>(own, row % PANEL, others, offsets)
        };
        for (row, sums) in (row..tile.rows.end).zip(sums) {
            for (n, sums) in sums.into_iter().enumerate() {
                tile.put(row, panel + n, must_cast(sums));
            }
        }
    }

    /// The instruction multiplies unsigned bytes by signed ones, so the columns' are taken 128 higher than they are, which
    /// the rows' `offsets` undo.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn sums<const N: usize>(
        own: &[Line],
        first: usize,
        others: [&[Line]; N],
        offsets: [i32; ROWS],
    ) -> [[__m512i; N]; ROWS] {
        let higher = _mm512_set1_epi32(i32::from_le_bytes([0x80; 4]));
        let mut sums = [[_mm512_setzero_si512(); N]; ROWS];
        for (sums, offset) in sums.iter_mut().zip(offsets) {
            *sums = [_mm512_set1_epi32(offset); N];
        }
        for (at, own) in own.iter().enumerate() {
            let mut columns = [higher; N];
            for (column, other) in columns.iter_mut().zip(&others) {
                *column = _mm512_xor_si512(*column, must_cast(other[at].0));
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let row = _mm512_set1_epi32(own.0[first + r]);
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = _mm512_dpbusd_epi32(*sum, column, row);
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of `d` bytes without structure, the extremes among them.
    fn panels(n: usize, d: usize) -> (Panels, Vec<Vec<i8>>) {
        let mut state = 1u32;
        let vectors: Vec<Vec<i8>> = (0..n)
            .map(|_| {
                let mut number = || {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    ((state >> 24) as i8).max(-127)
                };
                (0..d).map(|_| number()).collect()
            })
            .collect();
        let mut panels = Panels::zero(n, d);
        for (panel, vectors) in panels.each_mut().zip(vectors.chunks(PANEL)) {
            for (place, vector) in vectors.iter().enumerate() {
                let mut scaled: Vec<f32> = vector.iter().map(|&q| f32::from(q)).collect();
                scaled[0] = 127.0;
                let kernel: Vec<u8> = scaled.iter().flat_map(|x| x.to_le_bytes()).collect();
                let mut panel = PanelMut {
                    data: &mut *panel.data,
                    scales: &mut *panel.scales,
                    offsets: &mut *panel.offsets,
                };
                // Of norm 1/127 and greatest 127, the scale is 127 and the integers are the kernel's own numbers.
                let error = panel.write::<f32>(place, &kernel, 1.0 / 127.0, 127.0);
                assert_eq!(error, SLACK);
            }
        }
        let vectors = vectors.into_iter().map(|mut vector| {
            vector[0] = 127;
            vector
        });
        (panels, vectors.collect())
    }

    #[test]
    fn products_are_exact_with_and_without_the_instructions() {
        for (n, d) in [(1, 1), (5, 3), (16, 16), (37, 18), (70, 131)] {
            let (panels, vectors) = panels(n, d);
            for (rows, columns) in [(0..n, 0..n), (0..n.min(16), n / 16 * 16..n)] {
                let width = columns.len();
                let mut fast = vec![0.0; rows.len() * width];
                panels.products(rows.clone(), columns.clone(), &mut fast);
                let mut plain = vec![0.0; rows.len() * width];
                TileLoop {
                    panels: &panels,
                    rows: rows.clone(),
                    columns: columns.clone(),
                    out: &mut plain,
                }
                .run();
                for (i, a) in rows.enumerate() {
                    for (k, b) in columns.clone().enumerate().filter(|&(_, b)| b >= a) {
                        let pairs = vectors[a].iter().zip(&vectors[b]);
                        let sum: i32 = pairs.map(|(&x, &y)| i32::from(x) * i32::from(y)).sum();
                        let scale = panels.scales[a] * panels.scales[b];
                        assert_eq!(fast[i * width + k], sum as f32 * scale, "{n} {d} {a} {b}");
                        assert_eq!(plain[i * width + k], sum as f32 * scale, "{n} {d} {a} {b}");
                    }
                }
            }
        }
    }
}
