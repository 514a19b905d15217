//! The flags of `analyze`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::{InputFlags, LayerFlags};

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
    #[command(flatten)]
    pub from: InputFlags,
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
