//! The command line, and its translation into what the rest of the program speaks of.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

use crate::atomic::Durability;
use crate::layers::Kind;
use crate::plan::{Fraction, Parameters, Partner, Threshold};
use crate::sensitivity::{Evaluator, InvalidSweep, Series, Shard, Variations, Vary};
use crate::settings::PartialSettings;
use crate::similarity::{BackendRequest, DevicePrecision, NonFinite, Precision, Screens};

/// Merge similar convolution kernels of a safetensors checkpoint between fine-tuning epochs (InMerge).
#[derive(Debug, Parser)]
#[command(
    name = "inmerge-ckpt",
    version,
    about,
    long_about = "Merge similar convolution kernels of a safetensors checkpoint between fine-tuning epochs.\n\n\
        InMerge (arXiv 2502.20516) regularises a network by pulling kernels of one layer that are alike towards each \
        other: K_i <- alpha*K_i + (1-alpha)*K_j where their cosine similarity exceeds tau, with probability p, leaving \
        the first L_s convolutions alone. This program does it to a checkpoint on disk, one file or sharded; your training \
        script saves, runs it, and loads the result. No shape, name or other byte changes.",
    after_long_help = "Examples:\n  \
        inmerge-ckpt inspect epoch3.safetensors                      which layers there are, and which take part\n  \
        inmerge-ckpt merge epoch3.safetensors next.safetensors --tau 0.9\n  \
        inmerge-ckpt merge last.safetensors last.safetensors --force --tau 5%   in place, 5 % of each layer at most\n  \
        inmerge-ckpt merge in.safetensors out.safetensors --dry-run --plan plan.json   decide only\n  \
        inmerge-ckpt apply plan.json in.safetensors out.safetensors  do what a plan says\n  \
        inmerge-ckpt diff in.safetensors out.safetensors             what changed\n  \
        inmerge-ckpt watch checkpoints --out merged --tau 5%         merge each new checkpoint in a folder\n  \
        inmerge-ckpt analyze epoch3.safetensors                      how redundant each layer is, as a page with figures\n  \
        inmerge-ckpt sensitivity epoch3.safetensors --vary tau=0.1:0.9:0.1 --eval 'python3 eval.py --weights {checkpoint}'\n  \
        inmerge-ckpt doctor                                          which GPUs and libraries there are\n\n\
        Exit codes: 0 done; 1 failed, the output untouched; 2 wrong usage; 3 --require-merges and nothing merged."
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
        let Common {
            backend, screen, ..
        } = self.common;
        let (what, other) = match (backend, screen) {
            (BackendRequest::Cpu, Screen::Tf32 | Screen::Bf16) => ("a GPU", "f32 or int8"),
            (BackendRequest::Cuda(_), Screen::Int8) => ("the processor", "f32, tf32 or bf16"),
            _ => return Ok(()),
        };
        let screen = screen.to_possible_value();
        let screen = screen.as_ref().map_or("", |screen| screen.get_name());
        let problem = format!(
            "--screen {screen} is for {what}, and --backend {backend} is another; take --screen {other}"
        );
        Err(conflict(problem))
    }
}

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
    /// Threads to compute on [default: one a processor]
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
        auto    on the first NVIDIA GPU where that is faster, otherwise on the processor, which also takes over if the GPU fails\n  \
        cpu     on the processor\n  \
        cuda    on the first NVIDIA GPU, or not at all\n  \
        cuda:N  on the NVIDIA GPU of this number, from 0\n\n\
        `inmerge-ckpt doctor` tells what there is."
    )]
    pub backend: BackendRequest,
    /// In which numbers similarities are screened before the exact test
    ///
    /// The result does not depend on it; auto takes the fastest. f32 and int8 are for the processor; f32, tf32 and bf16 for a GPU.
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
    /// The numbers for each kind of backend.
    pub fn screens(&self) -> Screens {
        let (cpu, device) = match self.screen {
            Screen::Auto => (None, None),
            Screen::F32 => return Screens::FLOAT32,
            Screen::Int8 => (Some(Precision::Int8), None),
            Screen::Tf32 => (None, Some(DevicePrecision::Tf32)),
            Screen::Bf16 => (None, Some(DevicePrecision::Bf16)),
        };
        Screens { cpu, device }
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
}

/// Decide which kernels merge, and write the checkpoint with them merged.
#[derive(Debug, Args)]
#[command(
    after_long_help = "The output is the input with only the merged kernels' bytes changed. It appears complete or \
    not at all; with --force it may be the input itself.\n\n\
    A sharded checkpoint is a folder with several .safetensors files and their model.safetensors.index.json. So is its \
    output, with the small files beside the shards (configuration, tokenizer) copied, and other weights and subfolders \
    left behind; where the output replaces the input, everything in the folder is kept.\n\n\
    Which tau? Run once with --dry-run: the table shows each layer's largest similarity, and a run that merges nothing \
    says which tau would merge 1 %, 5 % and 20 % of the kernels."
)]
pub(crate) struct Merge {
    /// The checkpoint to read: a .safetensors file, or a sharded one's folder or index
    #[arg(value_name = "IN", value_hint = ValueHint::AnyPath)]
    pub input: PathBuf,
    /// The checkpoint to write, laid out like IN: a file, or for a sharded one a folder
    #[arg(value_name = "OUT", value_hint = ValueHint::AnyPath, required_unless_present = "dry_run")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub merging: Merging,
    #[command(flatten)]
    pub layers: LayerFlags,
    /// Write the plan, as JSON: every merge with its kernel, partner and similarity
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output options")]
    pub plan: Option<PathBuf>,
    /// Decide and report, and write nothing but the plan and the report folder
    #[arg(long, help_heading = "Output options")]
    pub dry_run: bool,
    #[command(flatten)]
    pub writing: Writing,
    /// Write the report of `analyze` on IN into this folder, with what was merged marked in it
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Output options")]
    pub report: Option<PathBuf>,
    /// Leave the spectra out of the report
    #[arg(long, requires = "report", help_heading = "Output options")]
    pub no_spectrum: bool,
}

/// Report how redundant each layer's kernels are.
#[derive(Debug, Args)]
#[command(
    after_long_help = "The folder holds index.html, one page to look at in a browser; its figures as SVG and PNG; all numbers in \
    report.json; and layers.csv and pairs.csv. A report that is there already is replaced as a whole.\n\n\
    Layers left alone for their depth only (--skip-shallow) are analysed too and marked, but do not count in the net's sums. \
    Kernels that hold a NaN or an infinity are reported and left out.\n\n\
    Of several checkpoints the last one is analysed, and the report shows besides how its layers came to be what they are."
)]
pub(crate) struct Analyze {
    /// The checkpoint to analyse, or several of one run in the order of their epochs
    #[arg(value_name = "IN", value_hint = ValueHint::AnyPath, required = true)]
    pub inputs: Vec<PathBuf>,
    #[command(flatten)]
    pub layers: LayerFlags,
    /// Where the report goes [default: reports/ and IN's name without its ending]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Output options")]
    pub report: Option<PathBuf>,
    /// Leave the spectra out, which take longest for layers of thousands of kernels
    #[arg(long, help_heading = "Output options")]
    pub no_spectrum: bool,
    /// Write into DIR even if it holds other files; these are kept
    ///
    /// One by a name that every report needs, such as index.html, is refused all the same.
    #[arg(long, help_heading = "Output options")]
    pub force: bool,
    /// Do not wait until the disk holds the report
    #[arg(long, help_heading = "Output options")]
    pub no_sync: bool,
}

/// How files are written.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output options")]
pub(crate) struct Writing {
    /// Replace OUT (and the plan) if it exists; OUT may be IN
    #[arg(long)]
    pub force: bool,
    /// Exit with code 3, and write no checkpoint, if nothing merges
    #[arg(long)]
    pub require_merges: bool,
    /// Do not wait until the disk holds the output
    ///
    /// Faster; after a power cut the output may be missing or damaged.
    #[arg(long)]
    pub no_sync: bool,
}

impl Writing {
    pub fn durability(&self) -> Durability {
        durability(self.no_sync)
    }
}

impl Watch {
    pub fn durability(&self) -> Durability {
        durability(self.no_sync)
    }
}

impl Analyze {
    pub fn durability(&self) -> Durability {
        durability(self.no_sync)
    }
}

fn durability(no_sync: bool) -> Durability {
    if no_sync {
        Durability::Unsynced
    } else {
        Durability::Synced
    }
}

/// How kernels are merged.
#[derive(Debug, Args)]
#[command(next_help_heading = "Merging")]
pub(crate) struct Merging {
    #[arg(
        long,
        value_name = "T",
        allow_hyphen_values = true,
        help = format!("How similar a partner must be: above T in [-1, 1], or a share such as 5% [default: {}]", Parameters::default().tau),
        long_help = format!(
            "How similar a partner must be: a cosine similarity strictly above T, in [-1, 1].\n\n\
            A percentage such as 5% gives each layer its own threshold: the smallest at which at most 5 % of its kernels \
            have an eligible partner. [default: {}]",
            Parameters::default().tau
        )
    )]
    pub tau: Option<Threshold>,
    #[arg(
        long,
        value_name = "A",
        allow_hyphen_values = true,
        help = format!("Share of itself that a merged kernel keeps, in [0, 1] [default: {}]", Parameters::default().alpha)
    )]
    pub alpha: Option<Fraction>,
    #[arg(
        long,
        value_name = "P",
        allow_hyphen_values = true,
        help = format!("Probability that a kernel takes its turn, in [0, 1] [default: {}]", Parameters::default().prob)
    )]
    pub prob: Option<Fraction>,
    #[arg(
        long,
        value_name = "POLICY",
        help = format!("How a kernel finds its partner: eligible, nearest or random [default: {}]", Parameters::default().partner),
        long_help = format!(
            "How a kernel finds its partner:\n  \
            eligible  any of the kernels above tau, all equally likely\n  \
            nearest   the most similar kernel, if it is above tau\n  \
            random    any other kernel, if it happens to be above tau: the paper's code to the letter, made for hundreds of \
            rounds an epoch\n[default: {}]",
            Parameters::default().partner
        )
    )]
    pub partner: Option<Partner>,
    #[arg(
        long,
        value_name = "N",
        allow_hyphen_values = true,
        value_parser = clap::value_parser!(u32).range(1..),
        help = format!("Repeat the whole step N times on its own result [default: {}]", Parameters::default().rounds)
    )]
    pub rounds: Option<u32>,
    #[arg(
        long,
        value_name = "S",
        allow_hyphen_values = true,
        value_parser = whole_number::<u64>,
        help = format!("Choose the draws: the same seed gives the same bytes on any machine [default: {}]", Parameters::default().seed)
    )]
    pub seed: Option<u64>,
    /// Leave kernels that hold a NaN or an infinity as they are, instead of failing
    #[arg(long)]
    pub allow_nonfinite: bool,
}

impl Merging {
    /// The settings that these flags and those that select layers fix.
    pub fn settings(&self, layers: &LayerFlags) -> PartialSettings {
        PartialSettings {
            tau: self.tau,
            alpha: self.alpha,
            prob: self.prob,
            partner: self.partner,
            rounds: self.rounds.and_then(std::num::NonZeroU32::new),
            seed: self.seed,
            ..layers.settings()
        }
    }

    pub fn non_finite(&self) -> NonFinite {
        if self.allow_nonfinite {
            NonFinite::LeaveAlone
        } else {
            NonFinite::Refuse
        }
    }
}

/// Which layers take part.
#[derive(Debug, Args)]
#[command(next_help_heading = "Selecting layers")]
pub(crate) struct LayerFlags {
    #[arg(
        long,
        value_name = "N",
        allow_hyphen_values = true,
        value_parser = whole_number::<usize>,
        help = format!("Leave the first N convolutions in depth order alone [default: {}]", Parameters::default().skip_shallow)
    )]
    pub skip_shallow: Option<usize>,
    /// Take only layers whose weight name matches, e.g. 'layer4.*' (repeatable)
    ///
    /// Also takes convolution weights whose names do not end in `.weight`.
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// Leave layers alone whose weight name matches (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Kinds to merge: conv, pointwise, depthwise, transposed, linear [default: conv,pointwise]
    #[arg(long, value_name = "KINDS", value_delimiter = ',', action = ArgAction::Append)]
    pub kinds: Vec<Kind>,
    /// Read the depth order from a file, one weight name a line
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub order: Option<PathBuf>,
    /// Read order, kinds, groups, heads and copies of the layers from a JSON file
    ///
    /// A list in order of execution, whose items are weight names, or objects with `name` and any of `kind` (conv, pointwise,
    /// depthwise, transposed, linear), `groups`, `head` and `gate` (true or false) and `copy_of` (the name of another layer in
    /// the list, whose weight this is). What is not said is read off names and shapes. A checkpoint's metadata
    /// `inmerge.layers` may hold the same; the flag wins over it.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "order")]
    pub layers: Option<PathBuf>,
    /// Read settings from a TOML file; flags win over it
    ///
    /// Keys are the flags' names (tau, alpha, prob, skip-shallow, partner, rounds, seed, include, exclude, kinds).
    /// [[layer]] tables with `match = "GLOB"` give single layers their own tau, alpha and prob.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
}

/// Write a checkpoint with the merges that a plan lists.
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// The plan to follow, as `merge --plan` writes it
    #[arg(value_name = "PLAN", value_hint = ValueHint::FilePath)]
    pub plan: PathBuf,
    /// The checkpoint that the plan was made for; with --prefix, another one of the same net
    #[arg(value_name = "IN", value_hint = ValueHint::AnyPath)]
    pub input: PathBuf,
    /// The checkpoint to write, laid out like IN: a file, or for a sharded one a folder
    #[arg(value_name = "OUT", value_hint = ValueHint::AnyPath)]
    pub output: PathBuf,
    /// Apply the plan to other weights of the same net, whose names are the plan's with P before them
    ///
    /// For averaged weights and optimizers' buffers: --prefix ema. has the plan's `conv1.weight` mean `ema.conv1.weight`. An
    /// empty P ('') is for a file with the very same names. The file need not be the one that the plan was made for, and its
    /// dtypes may differ; every layer of the plan must be in it, with the same shape.
    #[arg(long, value_name = "P", allow_hyphen_values = true)]
    pub prefix: Option<String>,
    #[command(flatten)]
    pub writing: Writing,
}

/// Merge each new checkpoint that a trainer saves in a folder.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Every .safetensors file directly in DIR is merged once it is complete: its size is what its header says, \
    and neither size nor time of change has moved since the last look. Names that begin with '.', 'tmp', '_tmp' or '~', or have \
    .tmp, .temp, .part, .partial, .incomplete or .crdownload before the ending, are for the time being and ignored. Sharded checkpoints \
    and other folders are not looked into.\n\n\
    The output has the same name in DIR2 and appears complete or not at all. DIR2/.inmerge-watch.jsonl records what was done, so \
    a watch that is stopped or killed goes on where it was, under the same settings; others need a DIR2 of their own. A checkpoint \
    that is replaced under its name is merged again. A file in DIR2 that this watch did not write is never replaced.\n\n\
    Each checkpoint has a seed of its own, from --seed and its file name: the first 8 bytes of the SHA-256 of the seed's 8 \
    bytes and the name's, little-endian, shifted right by 11. It is printed, and `merge` with it as --seed gives the same bytes.\n\n\
    On SIGTERM, Ctrl-C or the end of its terminal it ends with 0 once the checkpoint at hand is done; another such signal, four \
    seconds later or more, ends it at once.\n\n\
    A trainer that saves to the same name again should write another file and rename it: one that is truncated while it is read \
    ends the watch, as it would end any program that maps it."
)]
pub(crate) struct Watch {
    /// The folder in which checkpoints appear
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub input: PathBuf,
    /// The folder for merged checkpoints; made if it is missing
    #[arg(long, value_name = "DIR2", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// Merge what is complete now, and end
    ///
    /// It takes two looks. Exits with 1 if a checkpoint could not be merged, or not be read.
    #[arg(long)]
    pub once: bool,
    /// Time between two looks at DIR, in seconds
    ///
    /// On network file systems, which show changes late, take longer than that: for NFS 10.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub poll: Duration,
    #[command(flatten)]
    pub merging: Merging,
    #[command(flatten)]
    pub layers: LayerFlags,
    /// Do not wait until the disk holds an output
    ///
    /// Faster; after a power cut outputs may be missing or damaged.
    #[arg(long, help_heading = "Output options")]
    pub no_sync: bool,
}

/// List the layers: order, kind, and which would take part. Reads the header, and a page of each weight to tell copies.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The checkpoint to look at
    #[arg(value_name = "IN", value_hint = ValueHint::AnyPath)]
    pub input: PathBuf,
    #[command(flatten)]
    pub layers: LayerFlags,
}

/// Say what differs between two checkpoints, kernel by kernel.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The checkpoint before
    #[arg(value_name = "A", value_hint = ValueHint::AnyPath)]
    pub before: PathBuf,
    /// The checkpoint after
    #[arg(value_name = "B", value_hint = ValueHint::AnyPath)]
    pub after: PathBuf,
}

/// Score variants of a checkpoint, and draw how sensitive the net is to merging.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_long_help = "Each variant is IN with other layers merged, or with another tau, alpha, p or L_s, and scored by the program that \
    --eval names: the paper's Figures 2 and 3, for your own net and data. Without --eval its weights are measured instead.\n\n\
    What comes of a point is in DIR/points.jsonl at once. A sweep that was stopped, however it was, goes on with the same \
    command; one with more points keeps those it has; another checkpoint or other base settings are refused.\n\n\
    The program runs in a process group of its own, and that ends with the sweep, however the sweep ends: what it starts ends with \
    it, also on kill -9, but for what makes a session of its own (setsid).\n\n\
    On several machines: `sensitivity plan IN --report DIR …` once, `sensitivity run DIR --shard I/N` in each job of an array, \
    and `sensitivity collect DIR` at the end, or to see how it goes."
)]
pub(crate) struct Sensitivity {
    #[command(subcommand)]
    pub step: Option<SensitivityStep>,
    /// The checkpoint whose variants are scored
    #[arg(value_name = "IN", value_hint = ValueHint::AnyPath, required = true)]
    pub input: Option<PathBuf>,
    #[command(flatten)]
    pub sweep: SweepFlags,
    #[command(flatten)]
    pub running: Running,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SensitivityStep {
    /// Write down the points, for `run` to work through on one machine or many
    Plan(Box<PlanSweep>),
    /// Work through a plan's points, or a share of them
    Run(RunSweep),
    /// Draw what is known of a sweep
    Collect {
        /// The sweep's folder
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        folder: PathBuf,
    },
}

/// Write down the points of a sweep.
#[derive(Debug, Args)]
pub(crate) struct PlanSweep {
    /// The checkpoint whose variants are to be scored
    #[arg(value_name = "IN", value_hint = ValueHint::AnyPath)]
    pub input: PathBuf,
    #[command(flatten)]
    pub sweep: SweepFlags,
}

/// What a sweep is.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sweep")]
pub(crate) struct SweepFlags {
    /// Where the points and the report go [default: reports/ and IN's name with -sensitivity]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub report: Option<PathBuf>,
    /// What varies, e.g. tau=0.1:0.9:0.1, alpha=0.5,0.8 or layers (repeatable)
    ///
    /// tau, alpha, prob and skip-shallow take a list (0.1,0.3), a range (start:stop:step, both ends included), or both; tau
    /// also percentages (5%:30%:5%). Everything else stays at the base settings, which the flags below fix.
    ///
    /// `layers` merges each layer alone, each stage alone (layer3, features.20–28), and everything past a depth (16 depths
    /// at most), whatever --skip-shallow says; `layers=each,stages,past` some of these only.
    #[arg(long, value_name = "WHAT", required = true)]
    pub vary: Vec<Vary>,
    /// Cross two of what varies as well, e.g. alpha,prob: a heatmap
    ///
    /// Every value of the one with every value of the other. A sweep can have 100,000 points, those of all that varies together,
    /// times --repeats.
    #[arg(long, value_name = "A,B", value_parser = grid)]
    pub grid: Option<(Series, Series)>,
    /// Make each variant N times, with the seeds from --seed on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeats: u32,
    /// The program that scores a variant, e.g. 'python3 eval.py --weights {checkpoint}'
    ///
    /// Parted into words as a shell would, but no shell runs it. {checkpoint} becomes the variant's path, one word whatever is
    /// in it. The last line it prints on stdout is its number, or with --metric a JSON object that holds it.
    #[arg(long, value_name = "COMMAND")]
    pub eval: Option<String>,
    /// Which number of the JSON object that the program prints
    #[arg(long, value_name = "NAME", requires = "eval")]
    pub metric: Option<String>,
    /// How long the program may take for one variant, e.g. 90s, 10m, 2h
    #[arg(long, value_name = "TIME", requires = "eval", default_value = "1h", value_parser = time_limit)]
    pub timeout: Duration,
    #[command(flatten)]
    pub merging: Merging,
    #[command(flatten)]
    pub layers: LayerFlags,
}

/// How a sweep's points are worked through.
#[derive(Debug, Args)]
#[command(next_help_heading = "Running")]
pub(crate) struct Running {
    /// Score N variants at a time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: u16,
    /// Make points anew that failed
    #[arg(long)]
    pub retry_failed: bool,
}

/// Work through a plan's points.
#[derive(Debug, Args)]
pub(crate) struct RunSweep {
    /// The sweep's folder
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub folder: PathBuf,
    /// Every N-th point only, from the I-th on: the part of one job out of N
    #[arg(long, value_name = "I/N", help_heading = "Running")]
    pub shard: Option<Shard>,
    #[command(flatten)]
    pub running: Running,
}

impl SweepFlags {
    /// What varies.
    ///
    /// # Errors
    ///
    /// Where that does not fit together.
    pub fn variations(&self) -> Result<Variations, InvalidSweep> {
        Variations::check(self.vary.clone(), self.grid, self.repeats)
    }

    /// How variants are scored.
    ///
    /// # Errors
    ///
    /// Where the command line of the program is no good.
    pub fn evaluator(&self) -> Result<Option<Evaluator>, InvalidSweep> {
        let evaluator = self.eval.clone().map(|command| Evaluator {
            command,
            metric: self.metric.clone(),
            seconds: self.timeout.as_secs(),
        });
        evaluator.as_ref().map(Evaluator::check).transpose()?;
        Ok(evaluator)
    }

    /// The settings that these flags fix.
    pub fn settings(&self) -> PartialSettings {
        self.merging.settings(&self.layers)
    }

    fn check(&self) -> Result<(), InvalidSweep> {
        self.variations()?;
        self.evaluator()?;
        Ok(())
    }
}

/// Parses the two parameters to cross.
pub(crate) fn grid(text: &str) -> Result<(Series, Series), InvalidSweep> {
    let cannot = || InvalidSweep::CannotCross(text.to_owned());
    let crossed = [
        Series::Tau,
        Series::Alpha,
        Series::Prob,
        Series::SkipShallow,
    ];
    let (one, other) = text.split_once(',').ok_or_else(cannot)?;
    let [one, other] = [one, other].map(|name| {
        let mut crossed = crossed.into_iter();
        crossed.find(|series| series.name() == name.trim())
    });
    one.zip(other).ok_or_else(cannot)
}

/// Parses a time of whole seconds, one at least; a bare number is of seconds.
pub(crate) fn time_limit(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let limit = match text.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text).ok(),
    };
    limit
        .filter(|limit| limit.as_secs() > 0 && limit.subsec_nanos() == 0)
        .ok_or_else(|| "it is not a time of whole seconds, such as 90s, 10m or 2h".to_owned())
}

/// Parses a number that counts or names something.
fn whole_number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("it is not a whole number within [0, {}]", u64::MAX))
}

/// Parses a time between looks.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok();
    let seconds = seconds.filter(|seconds| (0.05..=86400.0).contains(seconds));
    let seconds = seconds.ok_or("it is not a number of seconds within [0.05, 86400]")?;
    Ok(Duration::from_secs_f64(seconds))
}

/// An empty list of a repeatable flag means that it was not given.
fn given<T: Clone>(values: &[T]) -> Option<Vec<T>> {
    (!values.is_empty()).then(|| values.to_vec())
}

impl LayerFlags {
    /// The flags themselves, word by word, for a command that is to select the same layers.
    pub fn words(&self) -> Vec<String> {
        let path = |path: &PathBuf| path.display().to_string();
        let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.name()).collect();
        let kinds = (!kinds.is_empty()).then(|| kinds.join(","));
        let skip_shallow = self.skip_shallow.map(|count| count.to_string());
        let flag = |name: &'static str| move |value: String| [name.to_owned(), value];
        skip_shallow
            .map(flag("--skip-shallow"))
            .into_iter()
            .chain(self.include.iter().cloned().map(flag("--include")))
            .chain(self.exclude.iter().cloned().map(flag("--exclude")))
            .chain(kinds.map(flag("--kinds")))
            .chain(self.order.as_ref().map(path).map(flag("--order")))
            .chain(self.layers.as_ref().map(path).map(flag("--layers")))
            .chain(self.config.as_ref().map(path).map(flag("--config")))
            .flatten()
            .collect()
    }

    /// The settings that these flags fix.
    pub fn settings(&self) -> PartialSettings {
        PartialSettings {
            skip_shallow: self.skip_shallow,
            include: given(&self.include),
            exclude: given(&self.exclude),
            kinds: given(&self.kinds),
            ..PartialSettings::default()
        }
    }
}

impl Merge {
    /// The settings that these flags fix.
    pub fn settings(&self) -> PartialSettings {
        self.merging.settings(&self.layers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
