//! What computes: the threads, OpenBLAS on them, and the backend for similarities.

mod threads;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;

use rayon::ThreadPool;

use crate::blas;
use crate::limits::MemoryLimits;
use crate::meter::{Level, Meter};
use crate::similarity::cuda::inventory::NoGpu;
use crate::similarity::gpus::Tried;
use crate::similarity::{
    self, Backend, BackendRequest, DeviceError, LayerSize, Precision, ScreenPrecisions,
};

/// What stopped a computation.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "every variant's message says what it means")]
pub enum Error {
    #[error(transparent)]
    Blas(#[from] blas::Error),
    #[error(
        "cannot start a thread ({0}); end other programs, or raise the limit on processes and threads (ulimit -u) or on memory (ulimit -v)"
    )]
    Threads(std::io::Error),
    #[error(transparent)]
    Device(Box<DeviceError>),
    #[error("{}: {error}", file.display())]
    Similarity {
        file: PathBuf,
        error: Box<similarity::Error>,
    },
}

/// What to compute with. No result depends on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ComputeOptions {
    /// How many threads; `None` for one per CPU.
    pub threads: Option<NonZeroUsize>,
    /// Where similarities are computed.
    pub backend: BackendRequest,
    /// In which numbers they are screened.
    pub screens: ScreenPrecisions,
}

/// Threads with OpenBLAS ready for them, and a backend.
#[derive(Debug)]
pub struct Compute {
    /// The threads.
    pub pool: ThreadPool,
    /// Where similarities are computed.
    pub(crate) backend: Backend,
}

/// What a run could compute on.
#[derive(Debug)]
pub(crate) struct Trial {
    /// The GPUs, or why there are none.
    pub gpus: Result<Tried, NoGpu>,
    /// The backend that a run would have, or why it would fail.
    pub backend: Result<Backend, DeviceError>,
}

impl From<DeviceError> for Error {
    fn from(error: DeviceError) -> Self {
        Self::Device(Box::new(error))
    }
}

impl Error {
    /// Of similarities in a checkpoint.
    pub(crate) fn of_similarity(error: similarity::Error, file: &Path) -> Self {
        Self::Similarity {
            file: file.to_owned(),
            error: Box::new(error),
        }
    }
}

impl Compute {
    /// Says what layers took on a GPU.
    pub fn say_times(&self, meter: &dyn Meter) {
        if let Some(times) = self.backend.device_times() {
            meter.say(Level::Detail, &format!("{}: {times}", self.backend.name()));
        }
    }
}

impl ComputeOptions {
    /// The same for similarities that are drawn, which are computed in float32.
    pub fn for_drawing(self) -> Self {
        Self {
            screens: ScreenPrecisions::FLOAT32,
            ..self
        }
    }

    /// The numbers in which the CPU screens similarities.
    pub fn cpu_precision(&self) -> Precision {
        self.screens.cpu.unwrap_or_else(Precision::fastest)
    }

    /// Starts threads, and chooses the backend for layers of these sizes. The meter hears what was chosen.
    ///
    /// # Errors
    ///
    /// Where there is no memory for a single thread's BLAS, no thread can be started, or the user asked for a GPU that cannot
    /// be used.
    pub fn start(&self, layers: &[LayerSize], meter: &dyn Meter) -> Result<Compute, Error> {
        let pool = self.threads_with_blas(meter)?;
        let threads = pool.current_num_threads();
        let backend = Backend::choose(self.backend, self.screens, layers, threads)?;
        if let Some(note) = backend.passed_over() {
            meter.say(Level::Detail, &note);
        }
        meter.say(
            Level::Detail,
            &format!("similarities computed on {backend}"),
        );
        Ok(Compute { pool, backend })
    }

    /// Tries every GPU, and chooses the backend as [`ComputeOptions::start`] does for layers of these sizes and so many threads.
    pub(crate) fn try_all(&self, layers: &[LayerSize], threads: usize) -> Trial {
        let (gpus, backend) =
            Backend::choose_after_trying_all(self.backend, self.screens, layers, threads);
        Trial { gpus, backend }
    }

    /// Starts threads for work that takes no BLAS: as many as were asked for, or fewer where no more can be had.
    ///
    /// # Errors
    ///
    /// Where not even two can be started.
    pub fn start_threads(&self, meter: &dyn Meter) -> Result<ThreadPool, Error> {
        threads::start(self.threads.map_or(0, usize::from), |error, fewer| {
            let note = format!("a thread could not be started ({error}): using {fewer}");
            meter.say(Level::Detail, &note);
        })
    }

    /// Starts threads for work that takes neither BLAS nor a GPU.
    ///
    /// # Errors
    ///
    /// As [`ComputeOptions::start_threads`].
    pub fn start_without_blas(&self, meter: &dyn Meter) -> Result<Compute, Error> {
        let pool = self.start_threads(meter)?;
        let backend = Backend::choose(
            BackendRequest::Cpu,
            self.screens,
            &[],
            pool.current_num_threads(),
        )?;
        Ok(Compute { pool, backend })
    }

    fn threads_with_blas(&self, meter: &dyn Meter) -> Result<ThreadPool, Error> {
        let wanted = self
            .threads
            .or_else(|| thread::available_parallelism().ok());
        let wanted = wanted.map_or(1, usize::from);
        // Before threads are started, for each reserves memory of its own.
        let with_room = blas::make_room(wanted)?;
        let options = if with_room < wanted {
            let note = format!(
                "there is memory for OpenBLAS on {with_room} of {wanted} threads only: {}",
                MemoryLimits::current()
            );
            meter.say(Level::Detail, &note);
            Self {
                threads: NonZeroUsize::new(with_room),
                ..*self
            }
        } else {
            *self
        };
        let pool = options.start_threads(meter)?;
        let note = format!(
            "computing on {} threads ({})",
            pool.current_num_threads(),
            blas::description()?
        );
        meter.say(Level::Detail, &note);
        Ok(pool)
    }
}
