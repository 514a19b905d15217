//! The command line, and its translation into what the rest of the program speaks of: one file a command, and one for each
//! group of flags that several share.

mod analyze;
mod apply;
mod carry;
mod common;
mod diff;
mod input;
mod inspect;
mod layers;
mod merge;
mod merging;
mod momentum;
mod sensitivity;
mod wait;
mod watch;
mod writing;

use std::str::FromStr;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

pub(crate) use analyze::Analyze;
pub(crate) use apply::Apply;
pub(crate) use carry::CarryFlags;
pub(crate) use common::Common;
pub(crate) use diff::Diff;
pub(crate) use input::InputFlags;
pub(crate) use inspect::Inspect;
pub(crate) use layers::LayerFlags;
pub(crate) use merge::Merge;
pub(crate) use merging::Merging;
pub(crate) use momentum::{MomentumFlags, MomentumPolicy};
pub(crate) use sensitivity::{
    RunSweep, Running, Sensitivity, SensitivityStep, SweepFlags, grid, time_limit,
};
pub(crate) use wait::Wait;
pub(crate) use watch::{Watch, seconds};
pub(crate) use writing::{Writing, durability};

/// Command lines, one a line, that show what the program is for.
pub(crate) const EXAMPLES: &str = "\
    inmerge-ckpt inspect epoch3.safetensors                      which layers there are, and which take part\n  \
    inmerge-ckpt merge epoch3.safetensors next.safetensors --tau 0.9\n  \
    inmerge-ckpt merge last.safetensors last.safetensors --force --tau 5%   in place, 5 % of each layer at most\n  \
    inmerge-ckpt merge in.safetensors out.safetensors --tau 5% --dry-run --plan plan.json   decide only\n  \
    inmerge-ckpt merge last.ckpt next.ckpt --tau 5%              as the trainer wrote it, optimizer and all\n  \
    inmerge-ckpt merge run/checkpoint-500 merged/checkpoint-500 --tau 5%   a trainer's folder\n  \
    inmerge-ckpt apply plan.json in.safetensors out.safetensors  do what a plan says\n  \
    inmerge-ckpt diff in.safetensors out.safetensors             what changed\n  \
    inmerge-ckpt watch checkpoints --out merged --tau 5%         merge each new checkpoint in a folder\n  \
    inmerge-ckpt wait merged/epoch3.ckpt                         until watch has merged it\n  \
    inmerge-ckpt analyze epoch3.safetensors                      how redundant each layer is, as a page with figures\n  \
    inmerge-ckpt sensitivity epoch3.safetensors --vary tau=0.1:0.9:0.1 --eval 'python3 eval.py --weights {checkpoint}'\n  \
    inmerge-ckpt doctor                                          which GPUs and libraries there are";

/// What exit codes mean.
pub(crate) const EXIT_CODES: &str =
    "0 done; 1 failed, the output untouched; 2 wrong usage; 3 --require-merges and nothing merged.";

/// Merge similar convolution kernels of a safetensors or PyTorch checkpoint between fine-tuning epochs (InMerge).
#[derive(Debug, Parser)]
#[command(
    name = "inmerge-ckpt",
    version,
    about,
    long_about = "Merge similar convolution kernels of a safetensors or PyTorch checkpoint between fine-tuning epochs.\n\n\
        InMerge (arXiv 2502.20516) regularises a network by pulling kernels of one layer that are alike towards each \
        other: K_i <- alpha*K_i + (1-alpha)*K_j where their cosine similarity exceeds tau, with probability p, leaving \
        the first L_s convolutions alone. This program does it to a checkpoint on disk, a file or a folder; your training \
        script saves, runs it, and loads the result. No shape, name or other byte changes.",
    after_long_help = format!("Examples:\n  {EXAMPLES}\n\nExit codes: {EXIT_CODES}")
)]
pub struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Checks what no single flag can tell.
    ///
    /// # Errors
    ///
    /// Where flags contradict each other.
    pub fn check(&self) -> Result<(), clap::Error> {
        let conflict = |problem| Self::command().error(ErrorKind::ArgumentConflict, problem);
        if let Command::Sensitivity(args) = &self.command {
            let checked = match &args.step {
                Some(SensitivityStep::Plan(plan)) => plan.sweep.check(),
                Some(_) => Ok(()),
                None => args.sweep.check(),
            };
            checked.map_err(|error| conflict(error.to_string()))?;
        }
        self.common.check().map_err(conflict)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Decide which kernels merge, and write the checkpoint with them merged
    Merge(Merge),
    /// Write a checkpoint with the merges that a plan lists
    Apply(Apply),
    /// Merge each new checkpoint that a trainer saves in a folder
    Watch(Watch),
    /// Wait until `watch` has merged a checkpoint, e.g. in a trainer that goes on from it
    Wait(Wait),
    /// Report how redundant each layer's kernels are: heatmaps, curves over tau, spectra, as one page
    Analyze(Analyze),
    /// List the layers: order, kind, and which would take part
    Inspect(Inspect),
    /// Say what differs between two checkpoints, kernel by kernel
    Diff(Diff),
    /// Score variants of a checkpoint, and draw how sensitive the net is to layers, tau, alpha and p
    Sensitivity(Box<Sensitivity>),
    /// Say what there is to compute with: BLAS, GPUs, the libraries these take, and what auto would choose
    #[command(
        long_about = "Say what there is to compute with.\n\nWhich BLAS and how many threads; which GPUs; where the NVIDIA \
        driver's library and cuBLAS were found, or every place that was tried and what is wrong there; and what --backend \
        auto would choose, and why. Exits with 0 whatever it finds.\n\ncuBLAS is looked for where the system's loader looks \
        (LD_LIBRARY_PATH too), in CUDA_HOME, CUDA_PATH and /usr/local/cuda*, and among the packages of VIRTUAL_ENV, of \
        CONDA_PREFIX, of the python3 on PATH and in ~/.local; in INMERGE_CUBLAS alone, a file or a folder, if that is set."
    )]
    Doctor,
    /// Print a completion script for a shell
    #[command(
        long_about = "Print a completion script for a shell.\n\nFor bash: inmerge-ckpt completions bash > ~/.local/share/bash-completion/completions/inmerge-ckpt"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual pages of all commands, one behind the other, for a package to split
    #[command(hide = true)]
    Man,
}

/// Parses a number that counts or names something.
fn whole_number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("it is not a whole number within [0, {}]", u64::MAX))
}

/// Parses a time such as 90s or 10m; a bare number is of seconds.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    match text.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => humantime::parse_duration(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_one_grammar() {
        let [second, minute] = [1, 60].map(Duration::from_secs);
        for (text, time) in [
            ("1", second),
            (" 1s ", second),
            ("0.5", second / 2),
            ("500ms", second / 2),
            ("1m", minute),
            ("60", minute),
        ] {
            assert_eq!(duration(text), Some(time), "{text}");
            assert_eq!(seconds(text), Ok(time), "{text}");
        }
        for text in ["", "-1", "nan", "inf", "1e30", "1 parsec", "s"] {
            assert_eq!(duration(text), None, "{text}");
        }
        assert!(seconds("2d").is_err() && seconds("10ms").is_err());
        assert!(time_limit("0.5").is_err() && time_limit("2d").is_ok());
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
