//! The unit vectors of kernels, in the number type in which similarities are screened.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2};

use crate::blas;
use crate::simd::{self, Loop};
use crate::weight::Element;

use super::super::bound::{SLACK, guard_band};
use super::bytes::{self, Panels};

/// The number type in which similarities are screened. Decisions do not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Float32, multiplied by BLAS.
    F32,
    /// 8-bit integers, whose products are exact: two to four times as many products in the same time, but more pairs left for the exact
    /// test.
    Int8,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Int8 => "int8",
        })
    }
}

impl Precision {
    /// The fastest on this CPU.
    pub fn fastest() -> Self {
        Self::int8_instructions().map_or(Self::F32, |_| Self::Int8)
    }

    /// The name of this CPU's instructions for products of 8-bit integers, if it has any that are faster than float32's.
    pub fn int8_instructions() -> Option<&'static str> {
        bytes::instructions()
    }

    /// The precision in which kernels of `d` numbers can be screened, this one if possible.
    fn for_kernels_of(self, d: usize) -> Self {
        if d > bytes::LONGEST { Self::F32 } else { self }
    }

    /// Bytes that the unit vectors of a group of `n` kernels of `d` numbers take.
    pub fn memory(self, n: usize, d: usize) -> usize {
        match self.for_kernels_of(d) {
            Self::F32 => n * d * size_of::<f32>(),
            Self::Int8 => n.next_multiple_of(bytes::PANEL) * d,
        }
    }
}

/// The unit vectors of some kernels.
#[derive(Clone, Debug)]
pub(in super::super) enum UnitVectors {
    F32 { d: usize, numbers: Vec<f32> },
    Int8(Panels),
}

/// Vectors written at a time: those that share a panel of int8.
pub(in super::super) const BATCH: usize = bytes::PANEL;

impl UnitVectors {
    /// Room for `n` vectors of `d` numbers, all zero.
    pub fn zero(precision: Precision, n: usize, d: usize) -> Self {
        match precision.for_kernels_of(d) {
            Precision::F32 => Self::F32 {
                d,
                numbers: vec![0.0; n * d],
            },
            Precision::Int8 => Self::Int8(Panels::zero(n, d)),
        }
    }

    /// The vectors in batches of [`BATCH`], to be written by several threads.
    pub fn batches(&mut self) -> Vec<Batch<'_>> {
        match self {
            Self::F32 { d, numbers } => numbers
                .chunks_mut(BATCH * *d)
                .map(|numbers| Batch::F32 { d: *d, numbers })
                .collect(),
            Self::Int8(panels) => panels.each_mut().map(Batch::Int8).collect(),
        }
    }

    /// Whether float32 would leave fewer pairs open than these.
    pub fn are_coarse(&self) -> bool {
        matches!(self, Self::Int8(_))
    }

    /// The products of the vectors in `rows` with those in `columns`, row by row. Where the two are the same, what lies
    /// below the diagonal is left undefined. A product that is surely below `floor`, its error included, may be given as −2.
    pub fn products(&self, rows: Range<usize>, columns: Range<usize>, floor: f32, out: &mut [f32]) {
        match self {
            Self::F32 { d, numbers } => {
                let part = |places: &Range<usize>| {
                    let numbers = &numbers[places.start * d..places.end * d];
                    ArrayView2::from_shape((places.len(), *d), numbers).expect("rows of d numbers")
                };
                let shape = (rows.len(), columns.len());
                let out = ArrayViewMut2::from_shape(shape, out).expect("a tile");
                if rows == columns {
                    blas::self_products(part(&rows), out);
                } else {
                    blas::products(part(&rows), part(&columns), out);
                }
            }
            Self::Int8(panels) => panels.products(rows, columns, floor, out),
        }
    }
}

/// Up to [`BATCH`] neighbouring vectors.
pub(in super::super) enum Batch<'u> {
    F32 { d: usize, numbers: &'u mut [f32] },
    Int8(bytes::PanelMut<'u>),
}

impl Batch<'_> {
    /// Writes one of the batch's vectors: a kernel as stored, scaled to unit length. `norm` is its length, at least
    /// [`EPSILON`](crate::similarity::exact::EPSILON) and finite, and `greatest` its greatest magnitude. What it adds to the error
    /// bound of every product with it.
    pub fn write<E: Element>(
        &mut self,
        place: usize,
        kernel: &[u8],
        norm: f64,
        greatest: f64,
    ) -> f64 {
        match self {
            Self::F32 { d, numbers } => {
                let unit = &mut numbers[place * *d..(place + 1) * *d];
                write_unit::<E>(kernel, norm, unit);
                guard_band(*d) / 2.0 + SLACK
            }
            Self::Int8(panel) => panel.write::<E>(place, kernel, norm, greatest),
        }
    }
}

/// Writes a kernel's unit vector, or a part of it, rounded to float32 once.
pub(super) fn write_unit<E: Element>(kernel: &[u8], norm: f64, unit: &mut [f32]) {
    simd::widest(WriteUnit::<E> {
        kernel,
        norm,
        unit,
        of: PhantomData,
    });
}

struct WriteUnit<'a, E> {
    kernel: &'a [u8],
    norm: f64,
    unit: &'a mut [f32],
    of: PhantomData<E>,
}

impl<E: Element> Loop for WriteUnit<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        // Two float64 roundings instead of one, in a tenth of a division's time: the error bound covers both.
        let inverse = 1.0 / self.norm;
        for (unit, x) in self.unit.iter_mut().zip(self.kernel.chunks_exact(E::SIZE)) {
            *unit = (E::read(x).widen() * inverse) as f32;
        }
    }
}
