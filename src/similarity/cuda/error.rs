//! Errors of a GPU, with a remedy each.

use cudarc::cublas::result::CublasError;
use cudarc::driver::{DriverError, sys::CUresult};

use super::inventory::{Failure, Unresponsive};
use super::libraries::Missing;

/// A GPU cannot be used, or has failed. Nothing was decided with what it computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "every variant's message says what it means")]
pub enum Error {
    #[error(transparent)]
    Missing(#[from] Missing),
    #[error(
        "{device}: is of compute capability {}.{}, and 7.5 or later is needed; use --backend cpu",
        capability.0, capability.1
    )]
    TooOld {
        device: String,
        capability: (u32, u32),
    },
    #[error(
        "{device}: there is no such GPU; `inmerge-ckpt doctor` says which there are, or why none"
    )]
    NoSuchGpu { device: String },
    #[error(
        "{device}: out of memory {doing}; close what else runs on it, let this program take less with INMERGE_GPU_MEMORY=2GiB or the like, or use --backend cpu"
    )]
    OutOfMemory { device: String, doing: &'static str },
    #[error(
        "{device}: {have} bytes of its memory for each of the layers worked on at once, which are too few for kernels of {kernel_bytes} bytes; give more with INMERGE_GPU_MEMORY, or use fewer --threads or --backend cpu"
    )]
    TooSmall {
        device: String,
        have: usize,
        kernel_bytes: usize,
    },
    #[error("{device}: failed {doing} ({problem}); try again, or use --backend cpu")]
    Failed {
        device: String,
        doing: &'static str,
        problem: String,
    },
    #[error("{device}: computes wrongly ({what}); do not trust it, and use --backend cpu")]
    Wrong { device: String, what: &'static str },
    #[error(
        "{device}: has compute capability {major}.{minor}, which has no {precision} products; use --screen f32"
    )]
    Unsupported {
        device: String,
        major: u32,
        minor: u32,
        precision: String,
    },
    #[error(
        "INMERGE_GPU_MEMORY={0}: is no size; give a number of bytes, or one with KiB, MiB or GiB"
    )]
    MemoryLimit(String),
}

/// An error before the device and the step that failed are attached ([`Error::at`]).
pub(super) enum Cause {
    OutOfMemory,
    /// The GPU's result differs from the CPU's, or exceeds its error bound.
    Wrong(&'static str),
    Other(String),
}

impl From<DriverError> for Cause {
    fn from(error: DriverError) -> Self {
        match error.0 {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => Self::OutOfMemory,
            _ => Self::Other(Failure::from(error).to_string()),
        }
    }
}

impl From<CublasError> for Cause {
    /// By number: later versions may return codes that `cublasStatus_t` has no name for.
    fn from(error: CublasError) -> Self {
        use cudarc::cublas::sys::cublasStatus_t as Status;
        const ALLOC_FAILED: u32 = Status::CUBLAS_STATUS_ALLOC_FAILED as u32;
        const NOT_INITIALIZED: u32 = Status::CUBLAS_STATUS_NOT_INITIALIZED as u32;
        const ARCH_MISMATCH: u32 = Status::CUBLAS_STATUS_ARCH_MISMATCH as u32;
        const NOT_SUPPORTED: u32 = Status::CUBLAS_STATUS_NOT_SUPPORTED as u32;
        let problem = match error.0 as u32 {
            ALLOC_FAILED => return Self::OutOfMemory,
            // cuBLAS also returns this if it cannot allocate its initial memory.
            NOT_INITIALIZED => "cuBLAS does not start; is the memory full?".to_owned(),
            ARCH_MISMATCH | NOT_SUPPORTED => {
                "cuBLAS does not know this GPU; a newer one may".to_owned()
            }
            status => format!("cuBLAS gives status {status}"),
        };
        Self::Other(problem)
    }
}

impl Error {
    /// The error of a device, `doing` a step.
    pub(super) fn at(device: &str, doing: &'static str, cause: Cause) -> Self {
        let device = device.to_owned();
        match cause {
            Cause::OutOfMemory => Self::OutOfMemory { device, doing },
            Cause::Wrong(what) => Self::Wrong { device, what },
            Cause::Other(problem) => Self::Failed {
                device,
                doing,
                problem,
            },
        }
    }
}

impl From<&Unresponsive> for Error {
    fn from(Unresponsive { ordinal, failure }: &Unresponsive) -> Self {
        let cause = Cause::Other(failure.to_string());
        Self::at(&format!("cuda:{ordinal}"), "as it was listed", cause)
    }
}
