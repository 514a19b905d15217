//! The flags of `analyze`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use crate::report::figures::PngFigures;

use super::{InputFlags, LayerFlags};

/// Which figures are PNG too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PngPolicy {
    /// Every figure, which takes most of the time and room of a report
    All,
    /// Those of the whole net
    #[default]
    Overview,
    /// None
    None,
}

impl From<PngPolicy> for PngFigures {
    fn from(policy: PngPolicy) -> Self {
        match policy {
            PngPolicy::All => Self::All,
            PngPolicy::Overview => Self::Overview,
            PngPolicy::None => Self::None,
        }
    }
}

/// Report how redundant each layer's kernels are.
#[derive(Debug, Args)]
#[command(
    after_long_help = "The folder holds index.html, one page to look at in a browser; its figures as SVG, and those of the whole net as PNG too; all numbers in \
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
    #[command(flatten)]
    pub from: InputFlags,
    /// Where the report goes [default: reports/ and IN's path from here without its ending: reports/r1-last for r1/last.ckpt]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Output options")]
    pub report: Option<PathBuf>,
    /// Leave the spectra out, which take longest for layers of thousands of kernels
    #[arg(long, help_heading = "Output options")]
    pub no_spectrum: bool,
    /// Which figures are drawn as PNG too; all are there as SVG
    #[arg(
        long,
        value_enum,
        value_name = "WHICH",
        default_value_t,
        help_heading = "Output options"
    )]
    pub png: PngPolicy,
    /// Leave title and subtitle out of the figures' files, for a paper; legends stay
    ///
    /// On the page, where the figures have no other titles, they stay.
    #[arg(long, help_heading = "Output options")]
    pub no_titles: bool,
    /// Write into DIR even if it holds other files; these are kept
    ///
    /// One by a name that every report needs, such as index.html, is refused all the same.
    #[arg(long, help_heading = "Output options")]
    pub force: bool,
    /// Do not wait until the disk holds the report
    #[arg(long, help_heading = "Output options")]
    pub no_sync: bool,
}
