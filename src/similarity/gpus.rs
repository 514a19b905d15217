//! The GPUs of this machine, as a run tries them: the one with the most free memory first, until one works.

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::sync::Arc;

use super::cuda::inventory::{
    self, Failure, FreeMemory, Gpu, LOWEST_CAPABILITY, NoGpu, Unresponsive,
};
use super::cuda::{self, Device, DevicePrecision, libraries};

/// The GPUs of this machine, listed when somebody first asks for them, and each started once at most.
#[derive(Debug)]
pub struct Gpus {
    precision: Option<DevicePrecision>,
    layers: usize,
    listed: OnceCell<Result<Listed, NoGpu>>,
}

/// The GPUs that the driver lists.
#[derive(Debug)]
pub struct Listed {
    /// Those that respond, by their ordinal; at least one.
    pub candidates: Vec<Candidate>,
    /// The others.
    pub unresponsive: Vec<Unresponsive>,
}

/// What came of trying every GPU.
#[derive(Debug)]
pub struct Tried {
    /// Those that respond, by their ordinal; at least one.
    pub gpus: Vec<TriedGpu>,
    /// The others.
    pub unresponsive: Vec<Unresponsive>,
}

/// A GPU that has been started, and the precision in which it screens.
pub type Started = (Arc<Device>, DevicePrecision);

/// A GPU that the driver lists.
#[derive(Debug)]
pub struct Candidate {
    pub gpu: Gpu,
    precision: Option<DevicePrecision>,
    layers: usize,
    /// With a context, so that starting it afterwards need not create one again.
    free: OnceCell<Result<FreeMemory, Failure>>,
    started: OnceCell<Result<Started, cuda::Error>>,
}

/// A GPU that has been tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriedGpu {
    pub gpu: Gpu,
    /// Free bytes of its memory before it was started; `None` if it does not tell.
    pub free: Option<u64>,
    pub problem: Option<GpuProblem>,
}

/// Why a GPU cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GpuProblem {
    /// There are no kernels for it.
    #[error("its compute capability is below {}.{}", LOWEST_CAPABILITY.0, LOWEST_CAPABILITY.1)]
    TooOld,
    /// It is busy or broken: not even a context can be created on it.
    #[error(transparent)]
    NoContext(Failure),
    /// It does not start, or fails at its first work.
    #[error(transparent)]
    Failed(cuda::Error),
}

impl Gpus {
    /// Those of this machine, for so many layers at a time, screened in this precision or in each one's best.
    pub fn new(precision: Option<DevicePrecision>, layers: usize) -> Self {
        Self {
            precision,
            layers,
            listed: OnceCell::new(),
        }
    }

    /// Those that the driver lists.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn list(&self) -> Result<&Listed, NoGpu> {
        let listed = self.listed.get_or_init(|| {
            let candidate = |gpu| Candidate {
                gpu,
                precision: self.precision,
                layers: self.layers,
                free: OnceCell::new(),
                started: OnceCell::new(),
            };
            let inventory = inventory::gpus(libraries::survey())?;
            Ok(Listed {
                candidates: inventory.gpus.into_iter().map(candidate).collect(),
                unresponsive: inventory.unresponsive,
            })
        });
        listed.as_ref().map_err(NoGpu::clone)
    }

    /// The GPU of this ordinal, started.
    ///
    /// # Errors
    ///
    /// If there is none, or it cannot be used.
    pub fn start(&self, ordinal: usize) -> Result<Started, cuda::Error> {
        let candidates = self.list().map_or(&[][..], |listed| &listed.candidates);
        match candidates
            .iter()
            .find(|listed| listed.gpu.ordinal == ordinal)
        {
            Some(candidate) => candidate.start(),
            None => Device::start(ordinal, self.layers, self.precision),
        }
    }

    /// Starts every GPU, in the order in which `auto` tries them, and tells what came of it, by ordinal.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn try_all(&self) -> Result<Tried, NoGpu> {
        let listed = self.list()?;
        let mut gpus: Vec<TriedGpu> = by_free_memory(&listed.candidates)
            .into_iter()
            .map(Candidate::tried)
            .collect();
        gpus.sort_by_key(|tried| tried.gpu.ordinal);
        Ok(Tried {
            gpus,
            unresponsive: listed.unresponsive.clone(),
        })
    }
}

impl Candidate {
    /// Starts it, unless it has been.
    ///
    /// # Errors
    ///
    /// If it cannot be used.
    pub fn start(&self) -> Result<Started, cuda::Error> {
        let start = || Device::start(self.gpu.ordinal, self.layers, self.precision);
        self.started.get_or_init(start).clone()
    }

    fn free(&self) -> Result<u64, &Failure> {
        let free = self.free.get_or_init(|| self.gpu.free_memory());
        free.as_ref().map(|free| free.bytes)
    }

    fn tried(&self) -> TriedGpu {
        let free = self.free();
        let problem = match free {
            _ if !self.gpu.is_recent() => Some(GpuProblem::TooOld),
            Err(failure) => Some(GpuProblem::NoContext(failure.clone())),
            Ok(_) => self.start().err().map(GpuProblem::Failed),
        };
        TriedGpu {
            gpu: self.gpu.clone(),
            free: free.ok(),
            problem,
        }
    }
}

/// GPUs in the order in which they are tried: the one with the most free memory first, of equal ones the lower ordinal, and
/// those that do not tell last. Creates a context on each, where there are several.
pub fn by_free_memory<'c>(
    candidates: impl IntoIterator<Item = &'c Candidate>,
) -> Vec<&'c Candidate> {
    let mut candidates: Vec<&Candidate> = candidates.into_iter().collect();
    if candidates.len() > 1 {
        candidates.sort_by_key(|candidate| Reverse(candidate.free().ok()));
    }
    candidates
}
