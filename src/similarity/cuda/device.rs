//! A GPU that has been started.

use std::fmt;
use std::ops::Deref;
use std::ptr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys::{self, CUresult};
use cudarc::driver::{CudaContext, CudaFunction, CudaStream, DevicePtr, DeviceRepr, DriverError};
use cudarc::nvrtc::Ptx;

use super::blas::Blas;
use super::clock::{Clock, DeviceTimes};
use super::error::{Cause, Error};
use super::inventory::LOWEST_CAPABILITY;
use super::libraries;
use super::precision::DevicePrecision;

/// The kernels, compiled ahead for a low virtual architecture; the driver compiles them for its GPU.
const PTX: &str = include_str!("../../../kernels/inmerge.ptx");

/// The share of the free memory that is used: the rest is for cuBLAS's workspaces and other programs.
const MEMORY_SHARE: f64 = 0.8;

/// Lanes at a time: enough to copy a layer while others are computed and evaluated. Each has a cuBLAS handle, with up to 32 MiB.
pub(super) const LANES: usize = 4;

/// The variable that limits the memory used.
const MEMORY_VARIABLE: &str = "INMERGE_GPU_MEMORY";

/// A GPU with our kernels on it.
pub struct Device {
    name: String,
    capability: (u32, u32),
    context: Arc<CudaContext>,
    pub(super) functions: Functions,
    pub(super) clock: Clock,
    /// Bytes for each layer.
    share: usize,
    lanes: Mutex<Lanes>,
    given_back: Condvar,
}

#[derive(Default)]
struct Lanes {
    idle: Vec<Lane>,
    lent: usize,
}

/// A queue of work that runs in order: a stream, and cuBLAS on it.
pub(super) struct Lane {
    pub stream: Arc<CudaStream>,
    pub blas: Blas,
}

impl Lane {
    /// Copies from the GPU, and waits until that is done.
    pub fn read<T: DeviceRepr>(&self, from: &impl DevicePtr<T>) -> Result<Vec<T>, Cause> {
        let copy = self.stream.clone_dtoh(from)?;
        if let Err(error) = self.stream.synchronize() {
            // The GPU may still write to it.
            std::mem::forget(copy);
            return Err(error.into());
        }
        Ok(copy)
    }

    /// A guard that waits for the stream when it is dropped: for copies to the GPU from memory that outlives it.
    pub fn wait_at_the_end(&self) -> impl Drop + use<'_> {
        WaitAtTheEnd(&self.stream)
    }
}

struct WaitAtTheEnd<'l>(&'l CudaStream);

impl Drop for WaitAtTheEnd<'_> {
    fn drop(&mut self) {
        // An error here shows again when the result is read.
        let _ = self.0.synchronize();
    }
}

/// A lane that is in use, given back when this is dropped.
pub(super) struct LentLane<'d> {
    device: &'d Device,
    lane: Option<Lane>,
}

/// The kernels in `kernels/`, by name.
pub(super) struct Functions {
    pub measure: CudaFunction,
    pub write_units: CudaFunction,
    pub reached: CudaFunction,
    pub open_pairs: CudaFunction,
    pub best_ranked: CudaFunction,
    pub least_losses: CudaFunction,
    pub intervals: CudaFunction,
    pub cells: CudaFunction,
    pub dots: CudaFunction,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Device").field(&self.name).finish()
    }
}

impl Device {
    /// Starts a GPU, whose memory `layers` at a time share equally.
    ///
    /// # Errors
    ///
    /// If a library is missing, there is no GPU of this number, or the kernels do not load on it.
    pub(super) fn open(ordinal: usize, layers: usize) -> Result<Self, Error> {
        libraries::load()?;
        let limit = memory_limit()?;
        let mut name = format!("cuda:{ordinal}");
        let started = |name: &str, error: DriverError| match error.0 {
            CUresult::CUDA_ERROR_INVALID_DEVICE | CUresult::CUDA_ERROR_NO_DEVICE => {
                Error::NoSuchGpu {
                    device: name.to_owned(),
                }
            }
            _ => Error::at(name, "as it was started", Cause::from(error)),
        };
        let context = CudaContext::new(ordinal).map_err(|error| started(&name, error))?;
        if let Ok(model) = context.name() {
            name = format!("cuda:{ordinal} ({})", model.trim());
        }
        let capability = context.compute_capability();
        let capability = capability.map_err(|error| started(&name, error))?;
        let capability = (capability.0.unsigned_abs(), capability.1.unsigned_abs());
        if capability < LOWEST_CAPABILITY {
            return Err(Error::TooOld {
                device: name,
                capability,
            });
        }
        let functions = keep_freed_memory(&context).and_then(|()| Functions::load(&context));
        let mut device = Self {
            functions: functions.map_err(|error| started(&name, error))?,
            name,
            capability,
            context,
            clock: Clock::default(),
            share: 0,
            lanes: Mutex::default(),
            given_back: Condvar::new(),
        };
        // With cuBLAS on it, which uses memory too.
        drop(device.lane()?);
        let free = device.context.mem_get_info();
        let (free, _) = free.map_err(|error| started(&device.name, error))?;
        let budget = (free as f64 * MEMORY_SHARE) as usize;
        device.share = budget.min(limit.unwrap_or(usize::MAX)) / layers.max(1);
        Ok(device)
    }

    /// Such as `cuda:0 (NVIDIA A100)`.
    pub(in super::super) fn name(&self) -> &str {
        &self.name
    }

    /// The precision asked for, or the best.
    ///
    /// # Errors
    ///
    /// If the GPU does not have the one asked for.
    pub(super) fn precision(
        &self,
        wanted: Option<DevicePrecision>,
    ) -> Result<DevicePrecision, Error> {
        let precision = wanted.unwrap_or(DevicePrecision::best(self.capability));
        if precision.is_supported(self.capability) {
            return Ok(precision);
        }
        let (major, minor) = self.capability;
        Err(Error::Unsupported {
            device: self.name.clone(),
            major,
            minor,
            precision: precision.to_string(),
        })
    }

    /// The time that its layers took so far.
    pub(in super::super) fn times(&self) -> DeviceTimes {
        self.clock.times()
    }

    /// Bytes that a layer may use.
    pub(super) fn share(&self) -> usize {
        self.share
    }

    /// An error of this device.
    pub(super) fn error(&self, doing: &'static str, cause: impl Into<Cause>) -> Error {
        Error::at(&self.name, doing, cause.into())
    }

    /// A lane, as soon as one of [`LANES`] is free. A thread that has one must not wait for a second one.
    pub(super) fn lane(&self) -> Result<LentLane<'_>, Error> {
        let mut lanes = self.lanes();
        while lanes.lent >= LANES {
            lanes = self
                .given_back
                .wait(lanes)
                .unwrap_or_else(PoisonError::into_inner);
        }
        lanes.lent += 1;
        let idle = lanes.idle.pop();
        drop(lanes);
        let mut lent = LentLane {
            device: self,
            lane: idle,
        };
        if lent.lane.is_none() {
            let lane = self.new_lane();
            lent.lane = Some(lane.map_err(|cause| self.error("as cuBLAS was started", cause))?);
        }
        Ok(lent)
    }

    fn new_lane(&self) -> Result<Lane, Cause> {
        let stream = self.context.new_stream()?;
        let blas = Blas::new(Arc::clone(&stream))?;
        Ok(Lane { stream, blas })
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for LentLane<'_> {
    type Target = Lane;

    fn deref(&self) -> &Lane {
        self.lane
            .as_ref()
            .expect("a lane, from when it is lent until it is given back")
    }
}

impl Drop for LentLane<'_> {
    fn drop(&mut self) {
        let mut lanes = self.device.lanes();
        lanes.idle.extend(self.lane.take());
        lanes.lent -= 1;
        self.device.given_back.notify_one();
    }
}

/// Makes the driver keep freed memory, which it would otherwise return to the system at every wait and allocate again.
fn keep_freed_memory(context: &CudaContext) -> Result<(), DriverError> {
    if !context.has_async_alloc() {
        return Ok(());
    }
    let mut pool = ptr::null_mut();
    let mut most = u64::MAX;
    // SAFETY: the device is the context's, and the driver writes its pool, which lives as long as it, to `pool`.
    unsafe { sys::cuDeviceGetDefaultMemPool(&raw mut pool, context.cu_device()) }.result()?;
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the pool was just given, and the value of this attribute is a 64-bit number.
    unsafe { sys::cuMemPoolSetAttribute(pool, attribute, (&raw mut most).cast()) }.result()
}

impl Functions {
    fn load(context: &Arc<CudaContext>) -> Result<Self, DriverError> {
        let module = context.load_module(Ptx::from_src(PTX))?;
        let function = |name| module.load_function(name);
        Ok(Self {
            measure: function("measure")?,
            write_units: function("write_units")?,
            reached: function("reached")?,
            open_pairs: function("open_pairs")?,
            best_ranked: function("best_ranked")?,
            least_losses: function("least_losses")?,
            intervals: function("intervals")?,
            cells: function("cells")?,
            dots: function("dots")?,
        })
    }
}

/// The number of bytes that the user allows, if they set one.
fn memory_limit() -> Result<Option<usize>, Error> {
    let Some(text) = std::env::var_os(MEMORY_VARIABLE) else {
        return Ok(None);
    };
    let text = text.to_string_lossy();
    if text.is_empty() {
        return Ok(None);
    }
    match size(&text) {
        Some(bytes) => Ok(Some(bytes)),
        None => Err(Error::MemoryLimit(text.into_owned())),
    }
}

/// A number of bytes, or one of KiB, MiB or GiB.
fn size(text: &str) -> Option<usize> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let of_unit = |(unit, shift)| Some((text.strip_suffix(unit)?, shift));
    let (number, shift) = units.into_iter().find_map(of_unit).unwrap_or((text, 0));
    number.trim().parse::<usize>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("4096"), Some(4096));
        assert_eq!(size("512MiB"), Some(512 << 20));
        assert_eq!(size("2 GiB"), Some(2 << 30));
        for wrong in ["", "MiB", "1.5GiB", "-1", "2GB", "99999999999GiB"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }
}
