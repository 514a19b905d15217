//! The flags of `sensitivity` and its steps.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueHint};

use crate::plan::Control;
use crate::sensitivity::{Evaluator, InvalidSweep, Series, Shard, Variations, Vary};

use super::{InputFlags, LayerFlags, Merging, duration};

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
    /// Leave title and subtitle out of the figures' files, for a paper; legends stay
    ///
    /// On the page, where the figures have no other titles, they stay.
    #[arg(long, help_heading = "Output options")]
    pub no_titles: bool,
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
        /// Leave title and subtitle out of the figures' files, for a paper; legends stay
        #[arg(long, help_heading = "Output options")]
        no_titles: bool,
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
    /// Where the points and the report go [default: reports/ and IN's path from here with -sensitivity]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub report: Option<PathBuf>,
    /// What varies, e.g. tau=0.1:0.9:0.1, alpha=0.5,0.8 or layers (repeatable)
    ///
    /// tau, alpha, prob and skip-shallow take a list (0.1,0.3), a range (start:stop:step, both ends included), or both; tau
    /// also percentages (5%:30%:5%, chance=1%:5%:1%). Everything else stays at the base settings, which the flags below fix.
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
    #[arg(long, value_name = "COMMAND", value_hint = ValueHint::CommandString)]
    pub eval: Option<String>,
    /// Which number of the JSON object that the program prints
    #[arg(long, value_name = "NAME", requires = "eval")]
    pub metric: Option<String>,
    /// How long the program may take for one variant, e.g. 90s, 10m, 2h
    #[arg(long, value_name = "TIME", requires = "eval", default_value = "1h", value_parser = time_limit)]
    pub timeout: Duration,
    /// The less the program prints, the better: a loss
    ///
    /// For the recommendation: the strongest merge within one standard error of the unmerged score. The standard error is the one
    /// that the program prints beside the score (with --metric auroc, auroc_stderr), or else that of a setting's mean over --repeats.
    #[arg(long, requires = "eval")]
    pub lower_is_better: bool,
    /// Change the same kernels otherwise beside each variant: random, shrink or both
    ///
    /// random blends each kernel that merges with a random partner of its layer instead of a similar one, shrink keeps its direction
    /// and scales it to the norm that the merge gives it. Where they score as well, it is not the similarity that matters.
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub control: Vec<Control>,
    #[command(flatten)]
    pub merging: Merging,
    #[command(flatten)]
    pub layers: LayerFlags,
    #[command(flatten)]
    pub from: InputFlags,
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
        let variations = Variations::check(self.vary.clone(), self.grid, self.repeats)?;
        variations.with_controls(self.control.iter().copied().collect())
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
            lower_is_better: self.lower_is_better,
        });
        evaluator.as_ref().map(Evaluator::check).transpose()?;
        Ok(evaluator)
    }

    pub fn check(&self) -> Result<(), InvalidSweep> {
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

/// Parses a time of whole seconds, one at least.
pub(crate) fn time_limit(text: &str) -> Result<Duration, String> {
    duration(text)
        .filter(|limit| limit.as_secs() > 0 && limit.subsec_nanos() == 0)
        .ok_or_else(|| "it is not a time of whole seconds, such as 90s, 10m or 2h".to_owned())
}
