//! Where a run computes similarities.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use super::cost::{BreakEven, CpuSpeed, GpuSpeed, LayerSize, START, Speeds};
use super::cuda::inventory::{self, NoGpu};
use super::cuda::{self, Device, DevicePrecision, DeviceTimes, libraries};
use super::{Engine, Error, Precision};

/// What `--backend` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendRequest {
    /// On a GPU where that is faster, otherwise on the CPU.
    #[default]
    Auto,
    /// On the CPU.
    Cpu,
    /// On the GPU of this number.
    Cuda(usize),
}

impl fmt::Display for BackendRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

impl FromStr for BackendRequest {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "it is none of auto, cpu, cuda and cuda:N";
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => {
                let digits = text.strip_prefix("cuda:").ok_or(expected)?;
                let ordinal = digits.parse::<u16>().map_err(|_| expected)?;
                // Without a sign or leading zeros.
                if ordinal.to_string() == digits {
                    Ok(Self::Cuda(ordinal.into()))
                } else {
                    Err(expected)
                }
            }
        }
    }
}

/// The precision in which the user wants similarities screened; `None` for the fastest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Screens {
    pub cpu: Option<Precision>,
    pub device: Option<DevicePrecision>,
}

impl Screens {
    /// Float32 on both.
    pub const FLOAT32: Self = Self {
        cpu: Some(Precision::F32),
        device: Some(DevicePrecision::F32),
    };
}

/// Where a run computes similarities. No decision depends on it.
#[derive(Debug)]
pub struct Backend {
    cpu: Precision,
    device: Option<InUse>,
    reason: Reason,
}

/// Why a run computes where it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The user says so.
    Requested,
    /// The CPU takes less time than starting a GPU, so that none was looked for.
    TooLittleWork,
    /// There is no GPU.
    NoGpu(NoGpu),
    /// No GPU is of a compute capability for which there are kernels.
    NoRecentGpu,
    /// By the cost model the CPU is faster.
    FasterOnCpu,
    /// By the cost model the GPU is faster.
    FasterOnGpu,
    /// By the cost model the GPU would be faster, but it cannot be used.
    GpuFailed(cuda::Error),
}

/// A GPU in use.
#[derive(Debug)]
struct InUse {
    device: Arc<Device>,
    precision: DevicePrecision,
    ordinal: usize,
    /// For `auto`: the CPU then takes the layers that it is faster at, and all of them if the GPU fails.
    speeds: Option<Speeds>,
    failure: OnceLock<cuda::Error>,
}

impl Backend {
    /// Chooses for layers of these sizes, on this many threads.
    ///
    /// # Errors
    ///
    /// If the user wants a GPU that cannot be used.
    pub fn choose(
        wanted: BackendRequest,
        screens: Screens,
        layers: &[LayerSize],
        threads: usize,
    ) -> Result<Self, cuda::Error> {
        let precision = screens.cpu.unwrap_or_else(Precision::fastest);
        let at_once = threads.min(layers.len());
        let (device, reason) = match wanted {
            BackendRequest::Cpu => (None, Reason::Requested),
            BackendRequest::Cuda(ordinal) => {
                let device = InUse::open(ordinal, screens.device, at_once)?;
                (Some(device), Reason::Requested)
            }
            BackendRequest::Auto => {
                let cpu = CpuSpeed::new(precision, threads);
                match faster_gpu(&cpu, screens.device, layers, at_once) {
                    Ok(device) => (Some(device), Reason::FasterOnGpu),
                    Err(reason) => (None, reason),
                }
            }
        };
        Ok(Self {
            cpu: precision,
            device,
            reason,
        })
    }

    /// Runs `work` for a layer of this size: on the GPU if there is one and it is faster. If the GPU fails and the user did not
    /// ask for it, runs it again on the CPU, and from then on every other layer too.
    ///
    /// # Errors
    ///
    /// Those of `work`.
    pub fn on_layer<R>(
        &self,
        size: LayerSize,
        work: impl Fn(Engine<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        if let Some(device) = self.device.as_ref().filter(|device| device.takes(&size)) {
            match work(Engine::Device(&device.device, device.precision)) {
                Err(Error::Device(error)) if device.speeds.is_some() => {
                    // If several layers fail at once, the first error is kept.
                    let _ = device.failure.set(error);
                }
                done => return done,
            }
        }
        work(Engine::Cpu(self.cpu))
    }

    /// Its name in reports: `cpu`, or `cuda:` and the number of the GPU.
    pub fn name(&self) -> String {
        match self.working_gpu() {
            Some(gpu) => format!("cuda:{}", gpu.ordinal),
            None => "cpu".to_owned(),
        }
    }

    /// Why it was chosen.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// The name of the numbers in which it screens similarities: a GPU's where one is in use.
    pub fn screen(&self) -> String {
        match self.working_gpu() {
            Some(gpu) => gpu.precision.to_string(),
            None => self.cpu.to_string(),
        }
    }

    /// From which size on layers go to the GPU that `auto` chose.
    pub fn break_even(&self) -> Option<BreakEven> {
        Some(self.device.as_ref()?.speeds?.break_even())
    }

    /// The time that layers took on the GPU so far; `None` without a GPU, or once it has failed.
    pub fn device_times(&self) -> Option<DeviceTimes> {
        Some(self.working_gpu()?.device.times())
    }

    /// The GPU in use, unless it has failed.
    fn working_gpu(&self) -> Option<&InUse> {
        let device = self.device.as_ref();
        device.filter(|device| device.failure.get().is_none())
    }

    /// The precision in which the CPU screens.
    pub fn cpu(&self) -> Precision {
        self.cpu
    }

    /// A warning for the user: a GPU would have been faster, or has failed.
    pub fn warning(&self) -> Option<String> {
        let failure = self.device.as_ref().and_then(|device| device.failure.get());
        if let Some(error) = failure {
            return Some(format!("{error}; the processor has done the rest"));
        }
        let problem: &dyn fmt::Display = match &self.reason {
            Reason::GpuFailed(error) => error,
            Reason::NoGpu(error @ NoGpu::NoStart(_)) => error,
            // A machine without a GPU is nothing to warn of.
            _ => return None,
        };
        Some(format!(
            "{problem}; the processor does it all, which takes longer"
        ))
    }
}

/// Where similarities are computed, and how they are screened.
impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(InUse {
            device,
            precision,
            speeds,
            ..
        }) = &self.device
        else {
            return write!(f, "the processor, screened in {}", self.cpu);
        };
        write!(f, "{}, screened in {precision}", device.name())?;
        match speeds {
            Some(_) => write!(f, ", small layers on the processor in {}", self.cpu),
            None => Ok(()),
        }
    }
}

impl InUse {
    fn open(
        ordinal: usize,
        precision: Option<DevicePrecision>,
        layers: usize,
    ) -> Result<Self, cuda::Error> {
        let device = Device::open(ordinal, layers)?;
        Ok(Self {
            precision: device.precision(precision)?,
            device: Arc::new(device),
            ordinal,
            speeds: None,
            failure: OnceLock::new(),
        })
    }

    fn takes(&self, size: &LayerSize) -> bool {
        let is_faster = |speeds: Speeds| speeds.is_faster_on_gpu(size);
        self.failure.get().is_none() && self.speeds.is_none_or(is_faster)
    }
}

/// The first GPU, where it is faster for these layers than the CPU, its start included; otherwise why the CPU
/// computes them.
fn faster_gpu(
    cpu: &CpuSpeed,
    precision: Option<DevicePrecision>,
    layers: &[LayerSize],
    at_once: usize,
) -> Result<InUse, Reason> {
    let on_cpu: f64 = layers.iter().map(|layer| cpu.seconds(layer)).sum();
    if on_cpu < START {
        // The search alone takes longer than most checkpoints.
        return Err(Reason::TooLittleWork);
    }
    let gpus = inventory::gpus(libraries::survey()).map_err(Reason::NoGpu)?;
    let gpu = gpus.into_iter().find(inventory::Gpu::is_recent);
    let gpu = gpu.ok_or(Reason::NoRecentGpu)?;
    let precision_there = precision.unwrap_or_else(|| gpu.best_precision());
    let speeds = Speeds {
        cpu: *cpu,
        gpu: GpuSpeed::new(
            gpu.multiprocessors,
            gpu.clock,
            gpu.capability,
            precision_there,
        ),
    };
    if !speeds.makes_up_for_start(layers) {
        return Err(Reason::FasterOnCpu);
    }
    let device = InUse::open(gpu.ordinal, precision, at_once).map_err(Reason::GpuFailed)?;
    Ok(InUse {
        speeds: Some(speeds),
        ..device
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_have_names() {
        for (text, wanted) in [
            ("auto", BackendRequest::Auto),
            ("cpu", BackendRequest::Cpu),
            ("cuda", BackendRequest::Cuda(0)),
            ("cuda:0", BackendRequest::Cuda(0)),
            ("cuda:12", BackendRequest::Cuda(12)),
        ] {
            assert_eq!(text.parse(), Ok(wanted));
        }
        for text in [
            "", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:+1", "cuda:00", "CUDA",
        ] {
            assert!(text.parse::<BackendRequest>().is_err(), "{text}");
        }
    }
}
