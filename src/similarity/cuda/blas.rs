//! Gram matrices by cuBLAS.

use std::ffi::{c_int, c_void};
use std::mem::ManuallyDrop;
use std::sync::Arc;

use cudarc::cublas::sys::{cublasGemmAlgo_t, cublasOperation_t, cudaDataType};
use cudarc::cublas::{CudaBlas, result};
use cudarc::driver::{CudaSlice, CudaStream, CudaView, DevicePtr, DevicePtrMut};

use super::error::Cause;
use super::precision::DevicePrecision;

/// cuBLAS on a stream.
pub(super) struct Blas {
    stream: Arc<CudaStream>,
    /// Never dropped: `CudaBlas` panics if cuBLAS cannot destroy its handle, as on a device that was lost. There is one for each
    /// lane until the process ends.
    blas: ManuallyDrop<CudaBlas>,
}

/// Unit vectors, each with zeros at its end, one after the other.
pub(super) struct UnitRows<'p> {
    pub bytes: CudaView<'p, u8>,
    pub count: usize,
}

impl Blas {
    pub fn new(stream: Arc<CudaStream>) -> Result<Self, Cause> {
        let blas = ManuallyDrop::new(CudaBlas::new(Arc::clone(&stream))?);
        Ok(Self { stream, blas })
    }

    /// Writes the products of all `rows` with all `columns` to `out`, row by row: `rows·columnsᵀ`.
    ///
    /// The zeros at the end of the vectors are multiplied too: they change nothing, and cuBLAS is faster if vectors are a multiple
    /// of 16 bytes.
    pub fn products(
        &self,
        precision: DevicePrecision,
        stride: usize,
        rows: &UnitRows<'_>,
        columns: &UnitRows<'_>,
        out: &mut CudaSlice<f32>,
    ) -> Result<(), Cause> {
        let needed = |count: usize| count * stride * precision.size();
        assert!(rows.bytes.len() >= needed(rows.count));
        assert!(columns.bytes.len() >= needed(columns.count));
        assert!(out.len() >= rows.count * columns.count);
        let extent = |extent: usize| {
            c_int::try_from(extent).map_err(|_| Cause::Other(format!("{extent} is beyond cuBLAS")))
        };
        let (m, n, k) = (extent(columns.count)?, extent(rows.count)?, extent(stride)?);
        let (numbers, arithmetic) = precision.arithmetic();
        let (one, zero) = (1.0f32, 0.0f32);
        let (a, _a) = columns.bytes.device_ptr(&self.stream);
        let (b, _b) = rows.bytes.device_ptr(&self.stream);
        let (c, _c) = out.device_ptr_mut(&self.stream);
        // SAFETY: cuBLAS is column-major: it sees the unit vectors as columns of `k` numbers, and writes
        // columns·rowsᵀ with `m` numbers a column, which is rows·columnsᵀ by rows. All three are within their memory, as
        // asserted above; it is kept until the stream is through with it, by the events that `_a`, `_b` and `_c`
        // record. Both factors are float32 on the host, as all three kinds of arithmetic take them.
        unsafe {
            result::gemm_ex(
                *self.blas.handle(),
                cublasOperation_t::CUBLAS_OP_T,
                cublasOperation_t::CUBLAS_OP_N,
                m,
                n,
                k,
                (&raw const one).cast::<c_void>(),
                a as *const c_void,
                numbers,
                k,
                b as *const c_void,
                numbers,
                k,
                (&raw const zero).cast::<c_void>(),
                c as *mut c_void,
                cudaDataType::CUDA_R_32F,
                m,
                arithmetic,
                cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }?;
        Ok(())
    }
}
