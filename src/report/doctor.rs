//! The report of the command `doctor`.

use serde::Serialize;

use crate::blas;
use crate::similarity::cost::{BreakEven, SOURCE};
use crate::similarity::cuda::inventory::{LOWEST_CAPABILITY, NoGpu, Unresponsive};
use crate::similarity::cuda::libraries::LibrarySearch;
use crate::similarity::gpus::{Tried, TriedGpu};
use crate::similarity::{Backend, Precision, Reason};

use super::table::{Align, COLUMNS, bytes, count, counted, table};
use super::{TOOL, printable};

/// What `doctor --json` prints.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DoctorReport {
    /// The program and its version.
    pub tool: &'static str,
    /// The CPU and its BLAS.
    #[serde(rename = "processor")]
    pub cpu: CpuReport,
    /// The NVIDIA driver's library.
    pub driver: LibraryReport,
    /// The version of the NVIDIA driver itself, if the system reports it.
    pub nvidia_driver: Option<String>,
    /// The library that multiplies matrices.
    pub cublas: LibraryReport,
    /// The GPUs, by their ordinal.
    pub gpus: Vec<GpuReport>,
    /// GPUs that the driver lists and cannot tell of.
    pub unresponsive: Vec<UnresponsiveReport>,
    /// Why there are no GPUs.
    pub no_gpu: Option<String>,
    /// The backend of a run with the same flags.
    pub auto: AutoReport,
}

/// The CPU and its BLAS.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CpuReport {
    /// OpenBLAS's description of its version and build, or why it cannot be used.
    pub blas: String,
    /// Threads that a run with the same flags computes on.
    pub threads: usize,
    /// The precision in which it screens similarities.
    pub screen: String,
    /// Whether the CPU has instructions for products of 8-bit integers that are faster than float32's.
    pub fast_int8: bool,
    /// Their name.
    pub int8_instructions: Option<String>,
}

/// The paths at which a library was looked for.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LibraryReport {
    /// The library that is used.
    pub found: Option<FoundReport>,
    /// The places tried before it, in order.
    pub tried: Vec<TriedReport>,
}

/// A library that is used.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FoundReport {
    /// The path of its file.
    pub path: String,
    /// The CUDA version that the driver is made for, or cuBLAS's own version.
    pub version: String,
    /// How the path was found: an environment variable's name, or a phrase.
    pub source: String,
    /// The file that was chosen, if the system's loader uses the above instead.
    pub chosen: Option<String>,
}

/// A path without a usable library.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TriedReport {
    /// How the path was found.
    pub source: String,
    /// The file or folder.
    pub path: String,
    /// Why its library cannot be used.
    pub problem: String,
}

/// A GPU, and why it cannot be used.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GpuReport {
    /// N of `--backend cuda:N`.
    pub ordinal: usize,
    /// The name that the driver gives it.
    pub name: String,
    /// Total memory.
    pub memory_bytes: u64,
    /// Free memory; none if the GPU does not tell.
    pub free_bytes: Option<u64>,
    /// Compute capability, such as `"8.0"`.
    pub compute_capability: String,
    /// Number of multiprocessors.
    pub multiprocessors: u32,
    /// Maximum clock rate of the multiprocessors.
    pub clock_mhz: u64,
    /// Why the GPU cannot be used; none if it can.
    pub problem: Option<String>,
}

/// A GPU that the driver lists and cannot tell of.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UnresponsiveReport {
    /// N of `--backend cuda:N`.
    pub ordinal: usize,
    /// What the driver says instead.
    pub problem: String,
}

/// The backend of a run with the same `--backend` and `--screen`, and the reason for it.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AutoReport {
    /// `cpu`, or `cuda:N` if that GPU computes (for `auto` only large layers); none if such a run fails.
    #[cfg_attr(test, schemars(regex(pattern = super::BACKEND)))]
    pub backend: Option<String>,
    /// The precision in which it screens similarities there.
    pub screen: Option<String>,
    /// Why that backend is chosen, or the run fails.
    pub reason: String,
    /// The number of kernels n from which a float32 layer `[n,n,3,3]` goes to the GPU in a run that uses it.
    pub layer_kernels: Option<usize>,
    /// The same if it is the run's only layer.
    pub run_kernels: Option<usize>,
}

impl DoctorReport {
    /// Reports on this machine; `threads` and `screen` are those of the CPU.
    pub fn new(
        threads: usize,
        screen: Precision,
        searches: [&LibrarySearch; 2],
        gpus: Result<Tried, NoGpu>,
        nvidia_driver: Option<String>,
        auto: AutoReport,
    ) -> Self {
        let [driver, cublas] = searches.map(LibraryReport::new);
        Self {
            tool: TOOL,
            cpu: CpuReport {
                blas: blas::description()
                    .map_or_else(|error| format!("none: {error}"), str::to_owned),
                threads,
                screen: screen.to_string(),
                fast_int8: Precision::int8_instructions().is_some(),
                int8_instructions: Precision::int8_instructions().map(str::to_owned),
            },
            driver,
            nvidia_driver,
            cublas,
            no_gpu: gpus.as_ref().err().map(ToString::to_string),
            gpus: gpus
                .iter()
                .flat_map(|tried| &tried.gpus)
                .map(GpuReport::new)
                .collect(),
            unresponsive: gpus
                .iter()
                .flat_map(|tried| &tried.unresponsive)
                .map(|Unresponsive { ordinal, failure }| UnresponsiveReport {
                    ordinal: *ordinal,
                    problem: failure.to_string(),
                })
                .collect(),
            auto,
        }
    }

    /// The report as text: one paragraph for each field.
    pub fn to_text(&self) -> String {
        let CpuReport {
            blas,
            threads,
            screen,
            fast_int8: _,
            int8_instructions,
        } = &self.cpu;
        let instructions = match int8_instructions {
            Some(name) => format!("has instructions for int8 ({name})"),
            None => "has no instructions for int8 (AVX2, AVX-VNNI, AVX-512 VNNI)".to_owned(),
        };
        let threads = counted(*threads as u64, "thread");
        let mut text = paragraph(
            "CPU",
            &format!("{threads}, similarities screened in {screen}; it {instructions}"),
        );
        text += &paragraph("BLAS", blas);
        let version = self.nvidia_driver.as_deref();
        let driver = version.map_or_else(String::new, |version| format!("{version}, "));
        text += &self.driver.to_text("driver", &format!("{driver}for CUDA "));
        text += &self.cublas.to_text("cuBLAS", "");
        text += &match &self.no_gpu {
            Some(_) if self.driver.found.is_none() => paragraph("GPUs", "none without a driver"),
            Some(reason) => paragraph("GPUs", &format!("none: {reason}")),
            None => paragraph("GPUs", &self.gpu_table()),
        };
        text + &paragraph("auto", &self.auto.to_text())
    }

    fn gpu_table(&self) -> String {
        let columns = [
            ("--backend", Align::Left),
            ("name", Align::Left),
            ("memory", Align::Right),
            ("free", Align::Right),
            ("capability", Align::Right),
            ("multiprocessors", Align::Right),
            ("clock", Align::Right),
            ("can be used", Align::Left),
        ];
        let rows = self.gpus.iter().map(|gpu| {
            vec![
                format!("cuda:{}", gpu.ordinal),
                gpu.name.clone(),
                bytes(gpu.memory_bytes),
                gpu.free_bytes.map_or_else(|| "-".to_owned(), bytes),
                gpu.compute_capability.clone(),
                gpu.multiprocessors.to_string(),
                format!("{} MHz", gpu.clock_mhz),
                match &gpu.problem {
                    None => "yes".to_owned(),
                    Some(problem) => format!("no: {problem}"),
                },
            ]
        });
        let table = table(&columns, rows, COLUMNS);
        let rows = table.lines().map(|line| line.trim_start().to_owned());
        let unresponsive = self
            .unresponsive
            .iter()
            .map(|gpu| format!("cuda:{} does not respond: {}", gpu.ordinal, gpu.problem));
        rows.chain(unresponsive).collect::<Vec<_>>().join("\n")
    }
}

impl LibraryReport {
    fn new(search: &LibrarySearch) -> Self {
        let found = search.found.as_ref().map(|library| FoundReport {
            path: library.path.display().to_string(),
            version: library.version.to_string(),
            source: library.source.to_string(),
            chosen: library
                .chosen
                .as_ref()
                .map(|path| path.display().to_string()),
        });
        let tried = search.tried.iter().map(|attempt| TriedReport {
            source: attempt.source.to_string(),
            path: attempt.path.display().to_string(),
            problem: attempt.fault.to_string(),
        });
        Self {
            found,
            tried: tried.collect(),
        }
    }

    /// The library that was found, or else all paths that were tried.
    fn to_text(&self, name: &str, before_version: &str) -> String {
        let Some(found) = &self.found else {
            let tried = self.tried.iter().map(|tried| {
                let TriedReport {
                    source,
                    path,
                    problem,
                } = tried;
                format!("\n{source}: {path}: {problem}")
            });
            return paragraph(
                name,
                &format!("none that can be used{}", tried.collect::<String>()),
            );
        };
        let chosen = found.chosen.as_ref().map(|chosen| {
            format!("\nthe system's loader uses it instead of {chosen}, which was chosen")
        });
        paragraph(
            name,
            &format!(
                "{before_version}{}\n{} ({}){}",
                found.version,
                found.path,
                found.source,
                chosen.unwrap_or_default()
            ),
        )
    }
}

impl GpuReport {
    fn new(TriedGpu { gpu, free, problem }: &TriedGpu) -> Self {
        let (major, minor) = gpu.capability;
        Self {
            ordinal: gpu.ordinal,
            name: gpu.name.clone(),
            memory_bytes: gpu.memory,
            free_bytes: *free,
            compute_capability: format!("{major}.{minor}"),
            multiprocessors: gpu.multiprocessors,
            clock_mhz: gpu.clock / 1_000_000,
            problem: problem.as_ref().map(ToString::to_string),
        }
    }
}

impl AutoReport {
    /// Reports the backend that was chosen for the largest layer.
    pub fn new(backend: &Backend) -> Self {
        Self::of(
            backend.name(),
            backend.screen(),
            backend.reason(),
            backend.break_even(),
        )
    }

    fn of(backend: String, screen: String, reason: &Reason, even: Option<BreakEven>) -> Self {
        let (major, minor) = LOWEST_CAPABILITY;
        let reason = match reason {
            Reason::Requested => "--backend names it".to_owned(),
            Reason::TooLittleWork => "a GPU takes longer to start".to_owned(),
            Reason::NoGpu(error) => error.to_string(),
            Reason::NoRecentGpu => format!("no GPU has compute capability {major}.{minor} or later"),
            Reason::FasterOnCpu => {
                "by the cost model the CPU is faster for all layers".to_owned()
            }
            Reason::FasterOnGpu(_) => {
                "by the cost model the GPU is faster for large layers, where a run has enough of them to make up for its \
                start"
                    .to_owned()
            }
            Reason::GpusFailed(failures) => failures.to_string(),
        };
        Self {
            backend: Some(backend),
            screen: Some(screen),
            reason,
            layer_kernels: even.and_then(|even| even.layer),
            run_kernels: even.and_then(|even| even.run),
        }
    }

    /// A run that fails for this reason, because it must compute on a GPU that cannot be used.
    pub fn failed(reason: String) -> Self {
        Self {
            backend: None,
            screen: None,
            reason,
            layer_kernels: None,
            run_kernels: None,
        }
    }

    fn to_text(&self) -> String {
        let backend = self.backend.as_deref().unwrap_or("none");
        let (Some(layer), Some(run)) = (self.layer_kernels, self.run_kernels) else {
            return format!("{backend}: {}", self.reason);
        };
        format!(
            "{backend}: {}\na float32 layer [n,n,3,3] goes there from n = {} on, and from n = {} on if it is the only one\n\
            (estimated: {SOURCE})",
            self.reason,
            count(layer as u64),
            count(run as u64)
        )
    }
}

/// Width of the names of paragraphs, in columns.
const INDENT: usize = 11;

/// A name, with one or more lines of text beside it.
fn paragraph(name: &str, text: &str) -> String {
    let mut lines = String::new();
    for (number, line) in printable(text).lines().enumerate() {
        let name = if number == 0 { name } else { "" };
        lines += &format!("{name:INDENT$}{line}\n");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::similarity::GpuFailures;
    use crate::similarity::cuda::inventory::{Failure, Gpu};
    use crate::similarity::cuda::libraries::{Attempt, Fault, Library, Missing, Source, Version};
    use crate::similarity::gpus::GpuProblem;

    fn library(path: &str, major: u32, patch: Option<u32>) -> Library {
        Library {
            source: Source::SystemLoader,
            path: path.into(),
            version: Version {
                major,
                minor: 4,
                patch,
            },
            chosen: None,
        }
    }

    fn found(library: Library) -> LibrarySearch {
        LibrarySearch {
            found: Some(library),
            tried: Vec::new(),
        }
    }

    fn a100() -> Gpu {
        Gpu {
            ordinal: 1,
            name: "NVIDIA A100".to_owned(),
            memory: 42_000_000_000,
            capability: (8, 0),
            multiprocessors: 108,
            clock: 1_410_000_000,
        }
    }

    fn auto(backend: &str, reason: &Reason, even: Option<BreakEven>) -> AutoReport {
        AutoReport::of(backend.to_owned(), "f32".to_owned(), reason, even)
    }

    /// The report of a machine with these GPUs and both libraries.
    fn with(gpus: Vec<TriedGpu>, auto: AutoReport) -> DoctorReport {
        let searches = [
            &found(library("/usr/lib/libcuda.so.1", 12, None)),
            &found(library("/opt/libcublas.so.12", 12, Some(1))),
        ];
        let version = Some("550.54.14".to_owned());
        let tried = Tried {
            gpus,
            unresponsive: Vec::new(),
        };
        DoctorReport::new(2, Precision::Int8, searches, Ok(tried), version, auto)
    }

    #[test]
    fn a_machine_with_gpus_says_from_which_size_on_one_is_used() {
        let old = Gpu {
            ordinal: 0,
            name: "Tesla P4".to_owned(),
            capability: (6, 1),
            ..a100()
        };
        let tried = |gpu, problem| TriedGpu {
            gpu,
            free: Some(41_000_000_000),
            problem,
        };
        let even = BreakEven {
            layer: Some(88),
            run: Some(2064),
        };
        let auto = auto(
            "cuda:1",
            &Reason::FasterOnGpu(GpuFailures::default()),
            Some(even),
        );
        let gpus = vec![tried(old, Some(GpuProblem::TooOld)), tried(a100(), None)];
        let text = with(gpus, auto).to_text();
        for line in [
            "driver     550.54.14, for CUDA 12.4\n           /usr/lib/libcuda.so.1 (system loader)\n",
            "cuBLAS     12.4.1\n           /opt/libcublas.so.12 (system loader)\n",
            "cuda:1     NVIDIA A100  42.0 GB  41.0 GB         8.0              108  1410 MHz  yes\n",
            "no: its compute capability is below 7.5\n",
            "auto       cuda:1: by the cost model the GPU is faster for large layers",
            "from n = 88 on, and from n = 2,064 on",
        ] {
            assert!(text.contains(line), "no {line:?} in\n{text}");
        }
    }

    #[test]
    fn a_gpu_that_cannot_be_used_has_its_problem_named() {
        let busy = Failure {
            code: 2,
            name: "CUDA_ERROR_OUT_OF_MEMORY".to_owned(),
            remedy: "wait",
        };
        let auto = auto("cpu", &Reason::FasterOnCpu, None);
        let gpu = TriedGpu {
            gpu: a100(),
            free: None,
            problem: Some(GpuProblem::NoContext(busy)),
        };
        let report = with(vec![gpu], auto);
        assert_eq!(report.gpus[0].free_bytes, None);
        let problem = report.gpus[0].problem.as_deref();
        assert_eq!(problem, Some("CUDA_ERROR_OUT_OF_MEMORY (2): wait"));
    }

    #[test]
    fn every_place_is_named_where_none_is_of_use() {
        let attempt = |path: &str, fault| Attempt {
            source: Source::UsrLocal,
            path: path.into(),
            fault,
        };
        let search = LibrarySearch {
            found: None,
            tried: vec![
                attempt("/usr/local/cuda-11.8/lib64", Fault::NoLibrary),
                attempt("/usr/local/cu\u{1b}[31mda", Fault::Empty),
            ],
        };
        let missing = NoGpu::from(Missing::Driver(Fault::NotThere));
        let auto = auto("cpu", &Reason::NoGpu(missing.clone()), None);
        let report = DoctorReport::new(
            1,
            Precision::F32,
            [&LibrarySearch::default(), &search],
            Err(missing),
            None,
            auto,
        );
        assert!(report.auto.reason.contains("no NVIDIA driver"));
        let text = report.to_text();
        assert!(text.contains("CPU        1 thread, similarities screened in f32;"));
        assert!(
            text.contains(
                "cuBLAS     none that can be used\n           \
            CUDA toolkit: /usr/local/cuda-11.8/lib64: not a shared library\n           \
            CUDA toolkit: /usr/local/cu\\u{1b}[31mda: no libcublas in it\n"
            ),
            "{text}"
        );
    }
}
