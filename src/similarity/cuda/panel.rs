//! Neighbouring kernels of a layer on a GPU: as stored, and as unit vectors.

use std::ops::Range;
use std::sync::Arc;

use cudarc::driver::{CudaSlice, CudaStream, CudaView, PushKernelArg};

use crate::weight::{Rows, with_element};

use super::super::exact;
use super::blas::UnitRows;
use super::device::{Device, Lane};
use super::error::Cause;
use super::launch::{ROWS_A_BLOCK, blocks, type_code};
use super::precision::DevicePrecision;

/// The unit vectors' stride is rounded up to a multiple of this many numbers, so that each begins at 16 bytes.
const ALIGNMENT: usize = 8;

/// How unit vectors lie in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnitFormat {
    pub precision: DevicePrecision,
    /// Numbers from one vector to the next.
    pub stride: usize,
}

impl UnitFormat {
    /// For kernels of `d` numbers.
    pub fn new(precision: DevicePrecision, d: usize) -> Self {
        Self {
            precision,
            stride: d.next_multiple_of(ALIGNMENT),
        }
    }

    /// Bytes of a vector.
    pub fn bytes(self) -> usize {
        self.stride * self.precision.size()
    }
}

/// Some neighbouring kernels on a GPU.
#[derive(Debug)]
pub(super) struct Panel {
    /// The number of the first.
    start: usize,
    /// Bytes of a kernel as stored, and of its unit vector.
    row_bytes: usize,
    unit_bytes: usize,
    rows: CudaSlice<u8>,
    units: CudaSlice<u8>,
    errors: CudaSlice<f32>,
    squares: CudaSlice<f64>,
}

/// Some neighbouring kernels of a panel.
pub(super) struct PanelSlice<'p> {
    pub rows: CudaView<'p, u8>,
    pub units: UnitRows<'p>,
    pub errors: CudaView<'p, f32>,
}

impl Panel {
    /// Copies kernels to the GPU, measures them and writes their unit vectors.
    pub fn copy(
        device: &Device,
        format: UnitFormat,
        rows: &Rows<'_>,
        kernels: Range<usize>,
        lane: &Lane,
    ) -> Result<Self, Cause> {
        let (stream, functions) = (&lane.stream, &device.functions);
        let count = kernels.len();
        let start = kernels.start;
        let stored = rows.bytes(kernels);
        let _wait = lane.wait_at_the_end();
        let copying = device.clock.copying.run();
        let bytes = stream.clone_htod(&*stored)?;
        drop(copying);
        // SAFETY: all three are written in full by the kernels below before anything reads them.
        let (mut units, mut errors, mut squares) = unsafe {
            (
                stream.alloc::<u8>(count * format.bytes())?,
                stream.alloc::<f32>(count)?,
                stream.alloc::<f64>(count)?,
            )
        };
        let type_code = type_code(rows.float());
        let (n, d, stride) = (count as u64, rows.row_len() as u64, format.stride as u64);
        let mut measure = stream.launch_builder(&functions.measure);
        measure
            .arg(&bytes)
            .arg(&type_code)
            .arg(&n)
            .arg(&d)
            .arg(&mut squares);
        // SAFETY: the arguments are those of `measure` in kernels/; it reads `count` rows of d numbers, which `bytes` holds,
        // and writes as many squares.
        unsafe { measure.launch(blocks(count.div_ceil(ROWS_A_BLOCK), 256)) }?;
        let precision = format.precision.code();
        let share = format.precision.share(rows.row_len());
        let mut write_units = stream.launch_builder(&functions.write_units);
        write_units
            .arg(&bytes)
            .arg(&type_code)
            .arg(&n)
            .arg(&d)
            .arg(&stride)
            .arg(&squares);
        write_units
            .arg(&precision)
            .arg(&share)
            .arg(&mut units)
            .arg(&mut errors);
        // SAFETY: the arguments are those of `write_units` in kernels/; it reads what `measure` did and its squares, and writes
        // `count` rows of `stride` numbers of this precision, and as many errors.
        unsafe { write_units.launch(blocks(count, 128)) }?;
        Ok(Self {
            start,
            row_bytes: rows.row_bytes(),
            unit_bytes: format.bytes(),
            rows: bytes,
            units,
            errors,
            squares,
        })
    }

    /// Reads each kernel's dot product with itself, by the definition, and its error bound.
    pub fn measured(&self, rows: &Rows<'_>, lane: &Lane) -> Result<Vec<(f64, f32)>, Cause> {
        let squares = lane.read(&self.squares)?;
        let errors = lane.read(&self.errors)?;
        check_squares(rows, self.start, &squares)?;
        Ok(squares.into_iter().zip(errors).collect())
    }

    /// Some of its kernels, by their numbers within the layer.
    pub fn slice(&self, kernels: Range<usize>) -> PanelSlice<'_> {
        let within = kernels.start - self.start..kernels.end - self.start;
        let bytes = |size: usize| within.start * size..within.end * size;
        PanelSlice {
            rows: self.rows.slice(bytes(self.row_bytes)),
            units: UnitRows {
                bytes: self.units.slice(bytes(self.unit_bytes)),
                count: within.len(),
            },
            errors: self.errors.slice(within),
        }
    }

    /// The stream on which its memory was allocated.
    pub fn stream(&self) -> Arc<CudaStream> {
        Arc::clone(self.rows.stream())
    }
}

/// Checks the GPU's measurements of the first and the last of some kernels against the CPU's.
fn check_squares(rows: &Rows<'_>, start: usize, squares: &[f64]) -> Result<(), Cause> {
    for index in [0, squares.len() - 1] {
        let row = rows.row(start + index);
        let square = with_element!(rows.float(), E => exact::dot::<E>(row, row));
        if square.to_bits() != squares[index].to_bits()
            && !(square.is_nan() && squares[index].is_nan())
        {
            return Err(Cause::Wrong("the norm of a kernel differs from the CPU's"));
        }
    }
    Ok(())
}
