//! Flags that all commands have.

use std::num::NonZeroUsize;

use clap::{Args, ValueEnum};

use crate::compute::ComputeOptions;
use crate::console::{Manner, Terminal};
use crate::similarity::{BackendRequest, DevicePrecision, Precision, ScreenPrecisions};

#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub(crate) struct Common {
    /// Print one JSON object on stdout (watch: one a line) and nothing else there
    #[arg(long, global = true)]
    pub json: bool,
    /// Print errors and warnings only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more: every skipped layer, threads, the BLAS in use
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Threads to compute on [default: one per CPU]
    ///
    /// The result does not depend on it.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        default_value_t,
        help = "Where similarities are computed: auto, cpu, cuda or cuda:N",
        long_help = "Where similarities are computed; the result does not depend on it.\n\n  \
        auto    on the NVIDIA GPU with the most free memory, where that is faster than the CPU\n  \
        cpu     on the CPU\n  \
        cuda    on the first NVIDIA GPU, or not at all\n  \
        cuda:N  on the NVIDIA GPU of this number, from 0\n\n\
        Under auto, GPUs that cannot be used are passed over, and the CPU takes over if one fails. \
        `inmerge-ckpt doctor` tells what there is."
    )]
    pub backend: BackendRequest,
    /// In which numbers similarities are screened before the exact test
    ///
    /// The result does not depend on it; auto takes the fastest. f32 and int8 are for the CPU; f32, tf32 and bf16 for a GPU.
    #[arg(long, global = true, value_name = "NAME", value_enum, default_value_t)]
    pub screen: Screen,
}

/// In which numbers similarities are screened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Screen {
    #[default]
    Auto,
    F32,
    Int8,
    Tf32,
    Bf16,
}

impl Common {
    /// Refuses a screen that the backend does not have, and says which it has.
    pub fn check(&self) -> Result<(), String> {
        let Self {
            backend, screen, ..
        } = *self;
        let (what, other) = match (backend, screen) {
            (BackendRequest::Cpu, Screen::Tf32 | Screen::Bf16) => ("a GPU", "f32 or int8"),
            (BackendRequest::Cuda(_), Screen::Int8) => ("the CPU", "f32, tf32 or bf16"),
            _ => return Ok(()),
        };
        let screen = screen.to_possible_value();
        let screen = screen.as_ref().map_or("", |screen| screen.get_name());
        let problem = format!(
            "--screen {screen} needs {what}, but --backend {backend} was given; use --screen {other}"
        );
        Err(problem)
    }

    /// What to compute with.
    pub fn compute(&self) -> ComputeOptions {
        let (cpu, device) = match self.screen {
            Screen::Auto => (None, None),
            Screen::F32 => (Some(Precision::F32), Some(DevicePrecision::F32)),
            Screen::Int8 => (Some(Precision::Int8), None),
            Screen::Tf32 => (None, Some(DevicePrecision::Tf32)),
            Screen::Bf16 => (None, Some(DevicePrecision::Bf16)),
        };
        ComputeOptions {
            threads: self.threads.and_then(|n| NonZeroUsize::new(n.into())),
            backend: self.backend,
            screens: ScreenPrecisions { cpu, device },
        }
    }

    /// How to speak, and where.
    pub fn manner(&self, terminal: Terminal) -> Manner {
        Manner {
            json: self.json,
            quiet: self.quiet,
            verbose: self.verbose,
            terminal,
        }
    }
}
