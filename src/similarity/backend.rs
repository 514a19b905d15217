//! The choice between the CPU and a GPU for computing similarities.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use super::cost::{BreakEven, CpuSpeed, GpuSpeed, LayerSize, START, Speeds};
use super::cuda::inventory::{self, NoGpu};
use super::cuda::{self, Device, DevicePrecision, DeviceTimes, libraries};
use super::{Engine, Error, Precision};

/// The value of `--backend`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendRequest {
    /// A GPU if it is faster, otherwise the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU of this ordinal.
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
                // Refuses a sign or leading zeros.
                if ordinal.to_string() == digits {
                    Ok(Self::Cuda(ordinal.into()))
                } else {
                    Err(expected)
                }
            }
        }
    }
}

/// The precisions of `--screen`; `None` for the fastest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScreenPrecisions {
    pub cpu: Option<Precision>,
    pub device: Option<DevicePrecision>,
}

impl ScreenPrecisions {
    /// Float32 on the CPU and on a GPU.
    pub const FLOAT32: Self = Self {
        cpu: Some(Precision::F32),
        device: Some(DevicePrecision::F32),
    };
}

/// The CPU, or a GPU and the CPU, on which a run computes similarities. No merge depends on the choice.
#[derive(Debug)]
pub struct Backend {
    cpu: Precision,
    device: Option<ActiveGpu>,
    reason: Reason,
}

/// Why a backend was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `--backend` names it.
    Requested,
    /// The CPU takes less time than starting a GPU, so none was looked for.
    TooLittleWork,
    /// No GPU was found.
    NoGpu(NoGpu),
    /// No GPU has a compute capability for which there are kernels.
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
struct ActiveGpu {
    device: Arc<Device>,
    precision: DevicePrecision,
    ordinal: usize,
    /// `Some` for `auto`: the CPU then computes the layers for which it is faster, and all layers if the GPU fails.
    speeds: Option<Speeds>,
    failure: OnceLock<cuda::Error>,
}

impl Backend {
    /// Chooses the backend for layers of these sizes.
    ///
    /// # Errors
    ///
    /// If the user asks for a GPU that cannot be used.
    pub fn choose(
        request: BackendRequest,
        screens: ScreenPrecisions,
        layers: &[LayerSize],
        threads: usize,
    ) -> Result<Self, cuda::Error> {
        let precision = screens.cpu.unwrap_or_else(Precision::fastest);
        let parallel_layers = threads.min(layers.len());
        let (device, reason) = match request {
            BackendRequest::Cpu => (None, Reason::Requested),
            BackendRequest::Cuda(ordinal) => {
                let device = ActiveGpu::open(ordinal, screens.device, parallel_layers)?;
                (Some(device), Reason::Requested)
            }
            BackendRequest::Auto => {
                let cpu = CpuSpeed::new(precision, threads);
                match faster_gpu(&cpu, screens.device, layers, parallel_layers) {
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

    /// Runs `work` for a layer of this size, on the GPU if there is one and it is faster. If the GPU fails and the user did not
    /// ask for it, the CPU runs the layer again, and all later layers.
    ///
    /// # Errors
    ///
    /// If `work` fails.
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

    /// Why this backend was chosen.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// The name of the precision in which it screens similarities: the GPU's if one is in use.
    pub fn screen(&self) -> String {
        match self.working_gpu() {
            Some(gpu) => gpu.precision.to_string(),
            None => self.cpu.to_string(),
        }
    }

    /// The size from which layers go to the GPU; `None` unless `auto` chose one.
    pub fn break_even(&self) -> Option<BreakEven> {
        Some(self.device.as_ref()?.speeds?.break_even())
    }

    /// The time that layers have taken on the GPU so far; `None` without a GPU, or once it has failed.
    pub fn device_times(&self) -> Option<DeviceTimes> {
        Some(self.working_gpu()?.device.times())
    }

    /// The GPU in use, unless it has failed.
    fn working_gpu(&self) -> Option<&ActiveGpu> {
        let device = self.device.as_ref();
        device.filter(|device| device.failure.get().is_none())
    }

    /// The precision in which the CPU screens.
    pub fn cpu(&self) -> Precision {
        self.cpu
    }

    /// A warning if a GPU has failed, or would have been faster but cannot be used.
    pub fn warning(&self) -> Option<String> {
        let failure = self.device.as_ref().and_then(|device| device.failure.get());
        if let Some(error) = failure {
            return Some(format!("{error}; the CPU computed the rest"));
        }
        let problem: &dyn fmt::Display = match &self.reason {
            Reason::GpuFailed(error) => error,
            Reason::NoGpu(error @ NoGpu::NoStart(_)) => error,
            // It is normal for a machine to have no GPU.
            _ => return None,
        };
        Some(format!(
            "{problem}; the CPU computes everything, which takes longer"
        ))
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(ActiveGpu {
            device,
            precision,
            speeds,
            ..
        }) = &self.device
        else {
            return write!(f, "the CPU, screened in {}", self.cpu);
        };
        write!(f, "{}, screened in {precision}", device.name())?;
        match speeds {
            Some(_) => write!(f, ", small layers on the CPU in {}", self.cpu),
            None => Ok(()),
        }
    }
}

impl ActiveGpu {
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

/// The first GPU if it is faster for these layers than the CPU, including its start; otherwise the reason to use the CPU.
fn faster_gpu(
    cpu: &CpuSpeed,
    precision: Option<DevicePrecision>,
    layers: &[LayerSize],
    parallel_layers: usize,
) -> Result<ActiveGpu, Reason> {
    let on_cpu: f64 = layers.iter().map(|layer| cpu.seconds(layer)).sum();
    if on_cpu < START {
        // Looking for a GPU takes longer than merging most checkpoints.
        return Err(Reason::TooLittleWork);
    }
    let gpus = inventory::gpus(libraries::survey()).map_err(Reason::NoGpu)?;
    let gpu = gpus.into_iter().find(inventory::Gpu::is_recent);
    let gpu = gpu.ok_or(Reason::NoRecentGpu)?;
    let gpu_precision = precision.unwrap_or_else(|| gpu.best_precision());
    let speeds = Speeds {
        cpu: *cpu,
        gpu: GpuSpeed::new(
            gpu.multiprocessors,
            gpu.clock,
            gpu.capability,
            gpu_precision,
        ),
    };
    if !speeds.makes_up_for_start(layers) {
        return Err(Reason::FasterOnCpu);
    }
    let device =
        ActiveGpu::open(gpu.ordinal, precision, parallel_layers).map_err(Reason::GpuFailed)?;
    Ok(ActiveGpu {
        speeds: Some(speeds),
        ..device
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_have_names() {
        for (text, request) in [
            ("auto", BackendRequest::Auto),
            ("cpu", BackendRequest::Cpu),
            ("cuda", BackendRequest::Cuda(0)),
            ("cuda:0", BackendRequest::Cuda(0)),
            ("cuda:12", BackendRequest::Cuda(12)),
        ] {
            assert_eq!(text.parse(), Ok(request));
        }
        for text in [
            "", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:+1", "cuda:00", "CUDA",
        ] {
            assert!(text.parse::<BackendRequest>().is_err(), "{text}");
        }
    }
}
