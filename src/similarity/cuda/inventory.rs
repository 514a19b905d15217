//! The GPUs of this machine, as the driver lists them.

use std::fs;
use std::sync::Arc;

use cudarc::driver::sys::CUdevice_attribute_enum as Attribute;
use cudarc::driver::{CudaContext, DriverError, result, sys};

use super::DevicePrecision;
use super::libraries::{Missing, Survey};

/// The lowest compute capability that the kernels are built for.
pub const LOWEST_CAPABILITY: (u32, u32) = (7, 5);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// The driver's number for it, from 0; N of `--backend cuda:N`.
    pub ordinal: usize,
    /// What NVIDIA calls it.
    pub name: String,
    /// Bytes of its memory.
    pub memory: u64,
    pub capability: (u32, u32),
    /// Number of its multiprocessors.
    pub multiprocessors: u32,
    /// Their greatest clock rate, in Hz.
    pub clock: u64,
}

impl Gpu {
    /// The fastest precision in which it screens similarities.
    pub fn best_precision(&self) -> DevicePrecision {
        DevicePrecision::best(self.capability)
    }

    /// Whether the kernels run on it.
    pub fn is_recent(&self) -> bool {
        self.capability >= LOWEST_CAPABILITY
    }

    /// The bytes of its memory that are free.
    ///
    /// Creates a context, which uses a few hundred MB of it and takes some tenths of a second.
    ///
    /// # Errors
    ///
    /// If the GPU is broken or busy.
    pub fn free_memory(&self) -> Result<FreeMemory, Failure> {
        let context = CudaContext::new(self.ordinal)?;
        Ok(FreeMemory {
            bytes: context.mem_get_info()?.0 as u64,
            _context: context,
        })
    }
}

/// How much of a GPU's memory is free, beside the context that was created to ask.
#[derive(Debug)]
pub struct FreeMemory {
    pub bytes: u64,
    _context: Arc<CudaContext>,
}

/// A call to the driver that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} ({code}): {remedy}")]
pub struct Failure {
    /// The driver's number for the error.
    pub code: u32,
    /// Its name, such as `CUDA_ERROR_NO_DEVICE`.
    pub name: String,
    /// What can be done.
    pub remedy: &'static str,
}

impl From<DriverError> for Failure {
    fn from(error: DriverError) -> Self {
        use sys::CUresult as Code;
        let DriverError(code) = error;
        let remedy = match code {
            Code::CUDA_ERROR_STUB_LIBRARY => {
                "libcuda.so is the toolkit's stub, made for building only; take its folder out of LD_LIBRARY_PATH"
            }
            Code::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH => {
                "the driver's library and its kernel module are of different versions; restart the machine after an update"
            }
            Code::CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE => {
                "a forward-compatibility libcuda is found that this GPU does not take; take its folder out of LD_LIBRARY_PATH"
            }
            Code::CUDA_ERROR_SYSTEM_NOT_READY => {
                "the system has not set its GPUs up yet; see that nvidia-fabricmanager runs"
            }
            Code::CUDA_ERROR_OUT_OF_MEMORY => {
                "other programs have taken its memory; wait for them or choose another GPU"
            }
            Code::CUDA_ERROR_DEVICE_UNAVAILABLE => {
                "another program has it for itself; wait for it or choose another GPU"
            }
            Code::CUDA_ERROR_JIT_COMPILER_NOT_FOUND => {
                "libnvidia-ptxjitcompiler.so.1 is missing, which belongs to the driver; install it whole"
            }
            Code::CUDA_ERROR_JIT_COMPILATION_DISABLED => "unset CUDA_DISABLE_PTX_JIT",
            Code::CUDA_ERROR_UNSUPPORTED_PTX_VERSION => {
                "the driver is too old; install one of 525 or later"
            }
            _ => "see what nvidia-smi says",
        };
        let name = match error.error_name() {
            Ok(name) => name.to_string_lossy().into_owned(),
            Err(_) => "an error without a name".to_owned(),
        };
        Self {
            code: code as u32,
            name,
            remedy,
        }
    }
}

/// Why no GPU is listed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoGpu {
    /// There is no driver, or it is too old.
    #[error(transparent)]
    NoDriver(#[from] Missing),
    /// The driver does not start.
    #[error("the NVIDIA driver does not start ({0})")]
    NoStart(Failure),
    /// CUDA_VISIBLE_DEVICES hides them.
    #[error("CUDA_VISIBLE_DEVICES={0:?} leaves no GPU to be seen; unset it")]
    Hidden(String),
    /// The driver lists none.
    #[error(
        "the NVIDIA driver finds no GPU; see what nvidia-smi says, and in a container that it was given them"
    )]
    None,
}

/// The GPUs that the driver lists.
#[derive(Debug)]
pub struct Inventory {
    /// Those that respond, by their ordinal; at least one.
    pub gpus: Vec<Gpu>,
    /// The others.
    pub unresponsive: Vec<Unresponsive>,
}

/// A GPU that the driver lists and cannot tell of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresponsive {
    pub ordinal: usize,
    pub failure: Failure,
}

/// The GPUs that the driver lists.
///
/// # Errors
///
/// [`NoGpu`], which names the remedy, where none responds.
pub fn gpus(survey: &Survey) -> Result<Inventory, NoGpu> {
    survey.driver()?;
    let none = || match std::env::var("CUDA_VISIBLE_DEVICES") {
        Ok(visible) => NoGpu::Hidden(visible),
        Err(_) => NoGpu::None,
    };
    let failed = |error: DriverError| match error.0 {
        sys::CUresult::CUDA_ERROR_NO_DEVICE => none(),
        _ => NoGpu::NoStart(error.into()),
    };
    result::init().map_err(failed)?;
    let count = result::device::get_count().map_err(failed)?;
    let ordinals = 0..usize::try_from(count).unwrap_or(0);
    if ordinals.is_empty() {
        return Err(none());
    }
    // One that does not respond does not hide the others.
    let (mut gpus, mut unresponsive) = (Vec::new(), Vec::new());
    for ordinal in ordinals {
        match gpu(ordinal) {
            Ok(gpu) => gpus.push(gpu),
            Err(error) => unresponsive.push((ordinal, error)),
        }
    }
    match unresponsive.first() {
        Some(&(_, error)) if gpus.is_empty() => Err(failed(error)),
        _ => Ok(Inventory {
            gpus,
            unresponsive: unresponsive
                .into_iter()
                .map(|(ordinal, error)| Unresponsive {
                    ordinal,
                    failure: error.into(),
                })
                .collect(),
        }),
    }
}

fn gpu(ordinal: usize) -> Result<Gpu, DriverError> {
    let device = result::device::get(ordinal as i32)?;
    let attribute = |attribute| {
        // SAFETY: the device is one that the driver has just given.
        let value = unsafe { result::device::get_attribute(device, attribute) };
        value.map(i32::unsigned_abs)
    };
    // SAFETY: as above.
    let memory = unsafe { result::device::total_mem(device) }?;
    Ok(Gpu {
        ordinal,
        name: result::device::get_name(device)?,
        memory: memory as u64,
        capability: (
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
        multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        clock: u64::from(attribute(Attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)?) * 1000,
    })
}

/// The version of NVIDIA's driver, such as 535.104.05, if Linux tells it.
pub fn nvidia_driver() -> Option<String> {
    version_in(&fs::read_to_string("/proc/driver/nvidia/version").ok()?)
}

/// The version in `NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 …`.
fn version_in(text: &str) -> Option<String> {
    let is_version = |word: &&str| {
        word.contains('.')
            && word
                .split('.')
                .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut words = text.lines().next()?.split_whitespace();
    words.find(is_version).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_s_version_is_found_in_linux_s_words() {
        for (text, version) in [
            (
                "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n",
                Some("535.104.05"),
            ),
            (
                "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  560.35.03  Release Build  (dvs-builder@U16)",
                Some("560.35.03"),
            ),
            ("NVRM version: none", None),
            ("", None),
        ] {
            assert_eq!(version_in(text).as_deref(), version, "{text}");
        }
    }
}
