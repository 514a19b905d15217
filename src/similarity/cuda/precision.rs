//! The number types in which a GPU screens similarities, and their error bounds.

use std::fmt;

use cudarc::cublas::sys::{cublasComputeType_t, cudaDataType};

use super::super::bound::{SLACK, guard_band};

/// The number type in which a GPU screens similarities. Decisions do not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DevicePrecision {
    /// Float32, not on tensor cores.
    F32,
    /// Float32 with 10 bits of mantissa, multiplied by tensor cores (compute capability 8.0 and later).
    Tf32,
    /// Bfloat16, multiplied by tensor cores (compute capability 8.0 and later): half the memory, twice the rate.
    Bf16,
}

impl fmt::Display for DevicePrecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        })
    }
}

impl DevicePrecision {
    /// The best one on a GPU of this compute capability: TF32 if it is certainly faster than float32.
    ///
    /// Bfloat16 products are twice as fast again, but both take less time than the copy of the weights to the GPU, and TF32
    /// leaves a quarter as many pairs open.
    pub(super) fn best(capability: (u32, u32)) -> Self {
        let rate = |precision: Self| precision.multiply_adds_per_cycle(capability);
        if rate(Self::Tf32) > rate(Self::F32) {
            Self::Tf32
        } else {
            Self::F32
        }
    }

    /// Multiply-adds a cycle of a multiprocessor of this compute capability, of dense matrices. Where cards of one
    /// capability differ (GeForce's tensor cores run at half the rate of the others') the lower; capabilities that are not
    /// listed count as 8.6 does, and formats that a capability lacks as float32.
    ///
    /// From NVIDIA's data sheets, as peak / (2 · multiprocessors · boost clock): T4, A100, RTX 3090, RTX 4090, H100 SXM,
    /// B200, RTX 5090.
    pub(in super::super) fn multiply_adds_per_cycle(self, capability: (u32, u32)) -> f64 {
        let [single, tf32, bf16] = match capability {
            (..8, _) => [64.0, 64.0, 64.0],
            (8, 0) => [64.0, 512.0, 1024.0],
            (8, _) => [128.0, 128.0, 256.0],
            (9, _) => [128.0, 1024.0, 2048.0],
            (10, _) => [128.0, 2048.0, 4096.0],
            _ => [128.0, 128.0, 256.0],
        };
        match self {
            Self::F32 => single,
            Self::Tf32 => tf32,
            Self::Bf16 => bf16,
        }
    }

    /// Whether a GPU of this compute capability has it.
    pub(super) fn is_supported(self, (major, _): (u32, u32)) -> bool {
        self == Self::F32 || major >= 8
    }

    /// The number by which the kernels know it.
    pub(super) fn code(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::Tf32 => 1,
            Self::Bf16 => 2,
        }
    }

    /// Bytes of a number in a unit vector.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F32 | Self::Tf32 => 4,
            Self::Bf16 => 2,
        }
    }

    /// What cuBLAS calls the unit vectors' numbers, and the arithmetic.
    pub(super) fn arithmetic(self) -> (cudaDataType, cublasComputeType_t) {
        match self {
            // Pedantic, so that no environment variable replaces float32 products by emulated ones.
            Self::F32 => (
                cudaDataType::CUDA_R_32F,
                cublasComputeType_t::CUBLAS_COMPUTE_32F_PEDANTIC,
            ),
            Self::Tf32 => (
                cudaDataType::CUDA_R_32F,
                cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
            ),
            Self::Bf16 => (
                cudaDataType::CUDA_R_16BF,
                cublasComputeType_t::CUBLAS_COMPUTE_32F,
            ),
        }
    }

    /// What every kernel of `d` numbers adds to the error bound of a similarity, beside what rounding its own unit vector
    /// costs.
    ///
    /// In float32 that is [`guard_band`]. The kernels round unit vectors to TF32 and bfloat16 themselves, so that the products
    /// of tensor cores are exact and what the rounding costs is known, e = ‖û − u‖: by Cauchy and Schwarz, e + e²/2 is each
    /// vector's share. What is left is the sum. Tensor cores add k ≥ 4 products and the sum so far at a time, each
    /// aligned to the greatest and cut off, and cut off the result (Fasi, Higham, Mikaitis and Pranesh, *Numerical
    /// behavior of NVIDIA tensor cores*, PeerJ Comput. Sci. 7, 2021): k + 2 errors of at most 2⁻²³ for k products, so at
    /// most 1.5·d·2⁻²³ in all, as no partial sum of two unit vectors' products exceeds 1 by more than the rounding of the vectors,
    /// 2⁻⁸ at most. (d + 8)·2⁻²² has room for both.
    pub(super) fn share(self, d: usize) -> f64 {
        let sum = match self {
            Self::F32 => guard_band(d),
            Self::Tf32 | Self::Bf16 => (d as f64 + 8.0) * 2f64.powi(-22),
        };
        sum / 2.0 + SLACK
    }
}
