//! The memory on a GPU in which a lane computes one tile at a time.

use cudarc::driver::{CudaSlice, DeviceRepr};

use super::device::Lane;
use super::error::Cause;
use super::memory::MemoryPlan;

/// The index of the histogram's counter of open pairs: after one counter for every value of a byte.
pub(super) const OPEN_COUNTER: usize = 256;

/// A lane's buffers on the GPU, for one tile at a time.
pub(super) struct Buffers {
    /// The screened similarities, row by row.
    pub values: CudaSlice<f32>,
    pub open: CudaSlice<RawPair>,
    pub dots: CudaSlice<f64>,
    pub counts: CudaSlice<u64>,
    /// By row and by column, the bounds that pairs must reach.
    pub bounds: [CudaSlice<f32>; 2],
    /// By row and by column, the lower bounds of the greatest similarities; or the least losses, in thirds.
    pub keys: [CudaSlice<u32>; 2],
    /// By row and by column, the states of the streams that rank candidates, and the least ranks.
    pub words: [CudaSlice<u64>; 4],
}

/// A pair as the kernels write it.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct RawPair {
    pub row: u32,
    pub column: u32,
    pub at_most: f32,
    pub undecided: u32,
}

// SAFETY: it is laid out as `OpenPair` in kernels/types.cuh, four 32-bit numbers, and every bit pattern is valid.
unsafe impl DeviceRepr for RawPair {}

impl Buffers {
    pub fn new(lane: &Lane, plan: &MemoryPlan) -> Result<Self, Cause> {
        let (stream, side) = (&lane.stream, plan.side);
        let words = || stream.alloc_zeros::<u64>(side);
        // SAFETY: what is read of all these was written before: values by cuBLAS, pairs as many as are counted, their
        // products by `dots`.
        let (values, open, dots) = unsafe {
            (
                stream.alloc(side * side)?,
                stream.alloc(plan.open)?,
                stream.alloc(plan.open)?,
            )
        };
        Ok(Self {
            values,
            open,
            dots,
            counts: stream.alloc_zeros(OPEN_COUNTER + 1)?,
            bounds: [stream.alloc_zeros(side)?, stream.alloc_zeros(side)?],
            keys: [stream.alloc_zeros(3 * side)?, stream.alloc_zeros(side)?],
            words: [words()?, words()?, words()?, words()?],
        })
    }
}

/// The number that a key encodes: keys are ordered like the numbers.
pub(super) fn number(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 {
        key ^ (1 << 31)
    } else {
        !key
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_numbers_in_their_order() {
        let key = |number: f32| match number.to_bits() {
            bits if bits >> 31 == 1 => !bits,
            bits => bits | 1 << 31,
        };
        let numbers = [f32::NEG_INFINITY, -1.5, -1e-40, -0.0, 0.0, 1e-40, 0.25, 3.0];
        assert!(numbers.map(key).is_sorted());
        for x in numbers {
            assert_eq!(number(key(x)).to_bits(), x.to_bits());
        }
    }
}
