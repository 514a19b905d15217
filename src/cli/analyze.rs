//! The flags of `analyze`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use crate::report::figures::FigureSet;

use super::{InputFlags, LayerFlags};

/// Some of the figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum WhichFigures {
    /// Every figure
    All,
    /// Those of the whole net
    #[default]
    Overview,
    /// None
    None,
}

impl From<WhichFigures> for FigureSet {
    fn from(policy: WhichFigures) -> Self {
        match policy {
            WhichFigures::All => Self::All,
            WhichFigures::Overview => Self::Overview,
            WhichFigures::None => Self::None,
        }
    }
}

/// Report how redundant each layer's kernels are.
#[derive(Debug, Args)]
#[command(
    after_long_help = "The folder holds index.html, one page to look at in a browser; its figures as SVG, and those of the whole net as PDF and PNG too; all numbers in \
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
    /// Which figures are there as PNG too, beside SVG; with all of them a report takes several times as long
    #[arg(
        long,
        value_enum,
        value_name = "WHICH",
        default_value_t,
        help_heading = "Output options"
    )]
    pub png: WhichFigures,
    /// Which figures are there as PDF too, for LaTeX
    #[arg(
        long,
        value_enum,
        value_name = "WHICH",
        default_value_t,
        help_heading = "Output options"
    )]
    pub pdf: WhichFigures,
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
