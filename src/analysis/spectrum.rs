//! The eigenvalues of a layer's Gram matrix, and how many directions its kernels really use.

use std::marker::PhantomData;
use std::ops::Range;

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;

use crate::blas;
use crate::meter::Meter;
use crate::schedule::per_task;
use crate::simd::{self, Loop};
use crate::similarity::{Error, square_and_greatest};
use crate::weight::{ConvWeight, Element, Rows, with_element};

/// Numbers of each kernel, or kernels, that are made float64 at once.
const PANEL: usize = 512;

/// Rows of the Gram matrix that a thread works on.
const ROWS: usize = 128;

/// Multiply-adds in the time that the eigenvalues of an m × m matrix take, by m³: on one core of an AMD EPYC (Zen 3) 4.9 s
/// for m = 4096 and 0.085 s for m = 1000, in which tiles of float32 come to 2.7·m³ and 3.2·m³.
const PRODUCTS_PER_CUBE: u64 = 3;

/// Beyond it no power of two can be multiplied with; the numbers left are in a range whose squares float64 holds.
const GREATEST_EXPONENT: i32 = 1000;

/// What may be missing of a share of a sum.
const ROUNDING: f64 = 1e-12;

/// The spectrum of the Gram matrix K·Kᵀ of a layer's kernels K (n × d) as they are: the squared singular values of its weight.
/// Of layers with groups the matrix is block-diagonal.
///
/// With p = λ / Σλ, the three ranks are exp of the Rényi entropies of p of orders 1, ∞ and 2.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrum {
    /// Eigenvalues λ, falling, as many as kernels; 0 where they are below what float64 resolves (n·ε·λ₁).
    pub eigenvalues: Vec<f64>,
    /// exp(−Σ p ln p); 0 for a layer of zeros, as for the following two.
    pub effective_rank: f64,
    /// Σλ / λ₁ = ‖W‖²_F / ‖W‖²₂.
    pub stable_rank: f64,
    /// (Σλ)² / Σλ².
    pub participation_ratio: f64,
    /// Fewest eigenvalues that sum up to 90 % of Σλ, but for a relative 10⁻¹² that rounding may take.
    pub for_90_percent: usize,
    /// To 99 %.
    pub for_99_percent: usize,
}

impl Spectrum {
    /// Of the kernels of a weight, all of whose numbers are finite; `None` where its eigenvalues are beyond float64. `meter` is
    /// told of the multiply-adds.
    ///
    /// # Errors
    ///
    /// Where LAPACK does not converge.
    pub(super) fn of(
        weight: &ConvWeight<'_>,
        rows: &Rows<'_>,
        meter: &dyn Meter,
    ) -> Result<Option<Self>, Error> {
        let n = weight.layout().kernels();
        let exponent = exponent(rows, n);
        let mut eigenvalues = Vec::with_capacity(n);
        let group = n / weight.groups();
        for start in (0..n).step_by(group) {
            let matrix = Scaled {
                rows,
                kernels: start..start + group,
                scale: 2f64.powi(-exponent),
            };
            let found = matrix.eigenvalues().ok_or_else(|| Error::NoSpectrum {
                layer: weight.tensor().name.clone(),
            })?;
            eigenvalues.extend(found);
            eigenvalues.resize(start + group, 0.0);
        }
        meter.multiplied(products(weight));
        Ok(Self::of_eigenvalues(eigenvalues, exponent))
    }

    /// From the eigenvalues over 2^(2 · exponent), in any order.
    fn of_eigenvalues(mut scaled: Vec<f64>, exponent: i32) -> Option<Self> {
        scaled.sort_unstable_by(|a, b| b.total_cmp(a));
        let greatest = scaled.first().copied().unwrap_or(0.0).max(0.0);
        let resolved = scaled.len() as f64 * f64::EPSILON * greatest;
        for value in scaled.iter_mut().filter(|value| **value < resolved) {
            *value = 0.0;
        }
        // From the least, for which the sum is still small.
        let sum_of = |of: &dyn Fn(f64) -> f64| scaled.iter().rev().map(|&value| of(value)).sum();
        let sum: f64 = sum_of(&|value| value);
        let squares: f64 = sum_of(&|value| value * value);
        let entropy: f64 = sum_of(&|value| match value / sum {
            p if p > 0.0 => -p * p.ln(),
            _ => 0.0,
        });
        let for_share = |share: f64| {
            let mut reached = 0.0;
            let falls_short = |&&value: &&f64| {
                let short = reached < share * sum * (1.0 - ROUNDING);
                reached += value;
                short
            };
            scaled.iter().take_while(falls_short).count()
        };
        let or_zero = |rank: f64| if sum > 0.0 { rank } else { 0.0 };
        let spectrum = Self {
            effective_rank: or_zero(entropy.exp()),
            stable_rank: or_zero(sum / greatest),
            participation_ratio: or_zero(sum * sum / squares),
            for_90_percent: for_share(0.9),
            for_99_percent: for_share(0.99),
            // In two steps: one factor may be beyond float64.
            eigenvalues: scaled
                .iter()
                .map(|value| value * 2f64.powi(exponent) * 2f64.powi(exponent))
                .collect(),
        };
        spectrum.eigenvalues[0].is_finite().then_some(spectrum)
    }

    /// Bytes that it takes to compute.
    pub(super) fn memory(weight: &ConvWeight<'_>) -> usize {
        let (n, d) = (
            weight.layout().kernels() / weight.groups(),
            weight.layout().kernel_len(),
        );
        let (side, other) = (n.min(d), n.max(d));
        side * (side + other.min(PANEL)) * size_of::<f64>()
    }
}

/// Multiply-adds that the spectrum of a weight takes, those of its eigenvalues by their time.
pub(super) fn products(weight: &ConvWeight<'_>) -> u64 {
    let groups = weight.groups() as u64;
    let (n, d) = (
        weight.layout().kernels() as u64 / groups,
        weight.layout().kernel_len() as u64,
    );
    let (side, other) = (n.min(d), n.max(d));
    // In float64 half as many at a time.
    let gram = side.saturating_mul(side).saturating_mul(other);
    let cube = side.saturating_mul(side).saturating_mul(side);
    gram.saturating_add(cube.saturating_mul(PRODUCTS_PER_CUBE))
        .saturating_mul(groups)
}

/// The exponent of the power of two that makes the greatest magnitude about 1.
fn exponent(rows: &Rows<'_>, n: usize) -> i32 {
    let greatest_of = |kernel: usize| square_and_greatest(rows.float(), rows.row(kernel)).1;
    let greatest = (0..n)
        .into_par_iter()
        .with_min_len(per_task(rows.row_bytes()))
        .map(greatest_of)
        .reduce(|| 0.0, f64::max);
    if greatest == 0.0 {
        return 0;
    }
    (greatest.log2() as i32).clamp(-GREATEST_EXPONENT, GREATEST_EXPONENT)
}

/// Kernels of one group as a float64 matrix, times a power of two.
struct Scaled<'r, 'a> {
    rows: &'r Rows<'a>,
    kernels: Range<usize>,
    scale: f64,
}

impl Scaled<'_, '_> {
    /// The eigenvalues of its Gram matrix, in any order: of K·Kᵀ, or of the smaller Kᵀ·K, which has the same but for zeros.
    /// `None` where LAPACK does not converge.
    fn eigenvalues(&self) -> Option<Vec<f64>> {
        let (n, d) = (self.kernels.len(), self.rows.row_len());
        let side = n.min(d);
        let mut gram = Array2::<f64>::zeros((side, side));
        if n <= d {
            for from in (0..d).step_by(PANEL) {
                let panel = self.panel(self.kernels.clone(), from..d.min(from + PANEL));
                add_upper(panel.view(), gram.view_mut());
            }
        } else {
            for from in self.kernels.clone().step_by(PANEL) {
                let panel = self.panel(from..self.kernels.end.min(from + PANEL), 0..d);
                add_upper(panel.t(), gram.view_mut());
            }
        }
        let gram = gram.as_slice_mut().expect("a matrix without gaps");
        blas::eigenvalues(side, gram)
    }

    /// Some numbers of some kernels.
    fn panel(&self, kernels: Range<usize>, numbers: Range<usize>) -> Array2<f64> {
        let mut panel = Array2::zeros((kernels.len(), numbers.len()));
        panel
            .axis_iter_mut(Axis(0))
            .zip(kernels)
            .collect::<Vec<_>>()
            .into_par_iter()
            .with_min_len(per_task(numbers.len() * size_of::<f64>()))
            .for_each(|(mut out, kernel)| {
                let row = self.rows.row(kernel);
                let out = out.as_slice_mut().expect("row-major rows");
                with_element!(self.rows.float(), E => {
                    let row = &row[numbers.start * E::SIZE..numbers.end * E::SIZE];
                    let scale = self.scale;
                    simd::widest(Scale::<E> { row, scale, out, of: PhantomData });
                });
            });
        panel
    }
}

/// Numbers as stored, in float64 and times a factor.
struct Scale<'w, E> {
    row: &'w [u8],
    scale: f64,
    out: &'w mut [f64],
    of: PhantomData<E>,
}

impl<E: Element> Loop for Scale<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (out, x) in self.out.iter_mut().zip(self.row.chunks_exact(E::SIZE)) {
            *out = E::read(x).widen() * self.scale;
        }
    }
}

/// Adds the products of all rows of `a` with each other to the upper triangle of `gram`, a few rows of it a task, so that
/// which thread does them makes no difference.
fn add_upper(a: ArrayView2<'_, f64>, mut gram: ArrayViewMut2<'_, f64>) {
    gram.axis_chunks_iter_mut(Axis(0), ROWS)
        .enumerate()
        .collect::<Vec<_>>()
        .into_par_iter()
        .for_each(|(chunk, mut out)| {
            let from = chunk * ROWS;
            let rows = a.slice(s![from..from + out.nrows(), ..]);
            let columns = a.slice(s![from.., ..]);
            let out = out.slice_mut(s![.., from..]);
            blas::add_products(rows, columns, out);
        });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_the_definition() {
        let spectrum = Spectrum::of_eigenvalues(vec![1.0, 0.0, 2.0, 1.0, -1e-16], 1).unwrap();
        assert_eq!(spectrum.eigenvalues, [8.0, 4.0, 4.0, 0.0, 0.0]);
        // p = 1/2, 1/4, 1/4: an entropy of 3/2 ln 2.
        assert!((spectrum.effective_rank - 2f64.powf(1.5)).abs() < 1e-14);
        assert_eq!(
            (spectrum.stable_rank, spectrum.participation_ratio),
            (2.0, 16.0 / 6.0)
        );
        assert_eq!((spectrum.for_90_percent, spectrum.for_99_percent), (3, 3));
    }

    #[test]
    fn a_share_may_be_met_exactly() {
        let spectrum = Spectrum::of_eigenvalues(vec![0.1; 10], 0).unwrap();
        assert_eq!((spectrum.for_90_percent, spectrum.for_99_percent), (9, 10));
    }

    #[test]
    fn zeros_have_no_rank_and_what_is_beyond_float64_has_no_spectrum() {
        let zeros = Spectrum::of_eigenvalues(vec![0.0; 3], 0).unwrap();
        let ranks = [
            zeros.effective_rank,
            zeros.stable_rank,
            zeros.participation_ratio,
        ];
        assert_eq!((ranks, zeros.for_90_percent), ([0.0; 3], 0));
        assert_eq!(Spectrum::of_eigenvalues(vec![1.0, 0.5], 600), None);
        let least = Spectrum::of_eigenvalues(vec![1.0, 1.0], -600).unwrap();
        assert_eq!((least.eigenvalues[0], least.stable_rank), (0.0, 2.0));
    }
}
