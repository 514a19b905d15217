//! The choice between the CPU and a GPU for computing similarities.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use super::cost::{BreakEven, CpuSpeed, GpuSpeed, LayerSize, START, Speeds};
use super::cuda::inventory::{Gpu, NoGpu};
use super::cuda::{self, Device, DevicePrecision, DeviceTimes};
use super::gpus::{Candidate, Gpus, Started, Tried, by_free_memory};
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
    /// By the cost model the GPU is faster. The failures are those of GPUs that were tried before it.
    FasterOnGpu(GpuFailures),
    /// By the cost model a GPU would be faster, but none of those that would be can be used.
    GpusFailed(GpuFailures),
}

/// Why GPUs that were tried cannot be used, in the order in which they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuFailures(Vec<cuda::Error>);

impl fmt::Display for GpuFailures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, failure) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}{failure}")?;
        }
        Ok(())
    }
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
        let gpus = Gpus::new(screens.device, threads.min(layers.len()));
        Self::choose_among(&gpus, request, screens, layers, threads)
    }

    /// Chooses as [`Backend::choose`] does, after every GPU has been tried, whether or not the choice would have come to it.
    /// Returns what came of that, too.
    pub fn choose_after_trying_all(
        request: BackendRequest,
        screens: ScreenPrecisions,
        layers: &[LayerSize],
        threads: usize,
    ) -> (Result<Tried, NoGpu>, Result<Self, cuda::Error>) {
        let gpus = Gpus::new(screens.device, threads.min(layers.len()));
        let tried = gpus.try_all();
        let chosen = Self::choose_among(&gpus, request, screens, layers, threads);
        (tried, chosen)
    }

    fn choose_among(
        gpus: &Gpus,
        request: BackendRequest,
        screens: ScreenPrecisions,
        layers: &[LayerSize],
        threads: usize,
    ) -> Result<Self, cuda::Error> {
        let precision = screens.cpu.unwrap_or_else(Precision::fastest);
        let (device, reason) = match request {
            BackendRequest::Cpu => (None, Reason::Requested),
            BackendRequest::Cuda(ordinal) => {
                let device = ActiveGpu::new(ordinal, gpus.start(ordinal)?, None);
                (Some(device), Reason::Requested)
            }
            BackendRequest::Auto => {
                let cpu = CpuSpeed::new(precision, threads);
                match faster_gpu(&cpu, screens.device, layers, gpus) {
                    Ok((device, failures)) => (Some(device), Reason::FasterOnGpu(failures)),
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

    /// A note on the GPUs that were tried before the one in use and cannot be used.
    pub fn passed_over(&self) -> Option<String> {
        match &self.reason {
            Reason::FasterOnGpu(failures) if !failures.0.is_empty() => {
                Some(format!("{failures}; another GPU is used"))
            }
            _ => None,
        }
    }

    /// A warning if a GPU has failed or computes wrongly, or would have been faster but cannot be used.
    pub fn warning(&self) -> Option<String> {
        let failure = self.device.as_ref().and_then(|device| device.failure.get());
        if let Some(error) = failure {
            return Some(format!("{error}; the CPU computed the rest"));
        }
        let problem: &dyn fmt::Display = match &self.reason {
            // That others are busy is normal.
            Reason::FasterOnGpu(failures) => {
                let is_wrong = |error: &&cuda::Error| matches!(error, cuda::Error::Wrong { .. });
                let wrong = failures.0.iter().find(is_wrong)?;
                return Some(format!("{wrong}; {} computed instead", self.name()));
            }
            Reason::GpusFailed(failures) => failures,
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
    fn new(ordinal: usize, (device, precision): Started, speeds: Option<Speeds>) -> Self {
        Self {
            device,
            precision,
            ordinal,
            speeds,
            failure: OnceLock::new(),
        }
    }

    fn takes(&self, size: &LayerSize) -> bool {
        let is_faster = |speeds: Speeds| speeds.is_faster_on_gpu(size);
        self.failure.get().is_none() && self.speeds.is_none_or(is_faster)
    }
}

/// The first GPU, in the order of free memory, that works and is faster for these layers than the CPU, including its start,
/// and why those before it do not work; otherwise the reason to use the CPU.
fn faster_gpu(
    cpu: &CpuSpeed,
    precision: Option<DevicePrecision>,
    layers: &[LayerSize],
    gpus: &Gpus,
) -> Result<(ActiveGpu, GpuFailures), Reason> {
    let on_cpu: f64 = layers.iter().map(|layer| cpu.seconds(layer)).sum();
    if on_cpu < START {
        // Looking for a GPU takes longer than merging most checkpoints.
        return Err(Reason::TooLittleWork);
    }
    let speeds = |gpu: &Gpu| Speeds {
        cpu: *cpu,
        gpu: GpuSpeed::new(
            gpu.multiprocessors,
            gpu.clock,
            gpu.capability,
            precision.unwrap_or_else(|| gpu.best_precision()),
        ),
    };
    let listed = gpus.list().map_err(Reason::NoGpu)?;
    let recent = listed
        .candidates
        .iter()
        .filter(|listed| listed.gpu.is_recent());
    let recent: Vec<&Candidate> = recent.collect();
    if recent.is_empty() {
        return Err(Reason::NoRecentGpu);
    }
    let pays = |candidate: &&Candidate| speeds(&candidate.gpu).makes_up_for_start(layers);
    let faster: Vec<&Candidate> = recent.into_iter().filter(pays).collect();
    if faster.is_empty() {
        return Err(Reason::FasterOnCpu);
    }
    let mut failures = GpuFailures(listed.unresponsive.iter().map(Into::into).collect());
    for candidate in by_free_memory(faster) {
        match candidate.start() {
            Ok(started) => {
                let speeds = speeds(&candidate.gpu);
                let gpu = ActiveGpu::new(candidate.gpu.ordinal, started, Some(speeds));
                return Ok((gpu, failures));
            }
            Err(failure) => failures.0.push(failure),
        }
    }
    Err(Reason::GpusFailed(failures))
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
