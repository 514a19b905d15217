//! Gram matrices by cuBLAS.

use std::ffi::{c_int, c_longlong, c_void};
use std::mem::ManuallyDrop;
use std::sync::Arc;

use cudarc::cublas::sys::{cublasGemmAlgo_t, cublasOperation_t, cudaDataType};
use cudarc::cublas::{CudaBlas, result};
use cudarc::driver::result::memset_d8_async;
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

    /// Writes the products of the `rows` of each group, which are so many, with all of that group to `out`: those of all rows with
    /// all, row by row, with NaN where two are not of one group. No comparison with a NaN holds.
    pub fn products_within_groups(
        &self,
        precision: DevicePrecision,
        stride: usize,
        rows: &UnitRows<'_>,
        group: usize,
        out: &mut CudaSlice<f32>,
    ) -> Result<(), Cause> {
        let count = rows.count;
        assert!(count.is_multiple_of(group));
        assert!(rows.bytes.len() >= count * stride * precision.size());
        assert!(out.len() >= count * count);
        let (m, width, k) = (extent(group)?, extent(count)?, extent(stride)?);
        let between_vectors = (group * stride) as c_longlong;
        let between_products = (group * (count + 1)) as c_longlong;
        let (numbers, arithmetic) = precision.arithmetic();
        let (one, zero) = (1.0f32, 0.0f32);
        let (a, _a) = rows.bytes.device_ptr(&self.stream);
        let (c, _c) = out.device_ptr_mut(&self.stream);
        let bytes = count * count * size_of::<f32>();
        // SAFETY: `out` has so many bytes, as asserted above, and is kept as below. Any bytes make float32 numbers, and these NaN.
        unsafe { memset_d8_async(c, 0xff, bytes, self.stream.cu_stream()) }?;
        // SAFETY: as in `products`, for each group: its unit vectors follow those of the group before, and its products begin
        // `group` rows and columns further on; the last end where those of all rows do. Groups have no number in common.
        unsafe {
            result::gemm_strided_batched_ex(
                *self.blas.handle(),
                cublasOperation_t::CUBLAS_OP_T,
                cublasOperation_t::CUBLAS_OP_N,
                m,
                m,
                k,
                (&raw const one).cast::<c_void>(),
                a as *const c_void,
                numbers,
                k,
                between_vectors,
                a as *const c_void,
                numbers,
                k,
                between_vectors,
                (&raw const zero).cast::<c_void>(),
                c as *mut c_void,
                cudaDataType::CUDA_R_32F,
                width,
                between_products,
                extent(count / group)?,
                arithmetic,
                cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }?;
        Ok(())
    }
}

/// A number of rows, columns or products, as cuBLAS takes it.
fn extent(extent: usize) -> Result<c_int, Cause> {
    c_int::try_from(extent).map_err(|_| Cause::Other(format!("{extent} is beyond cuBLAS")))
}
