//! `analyze IN…`: report how redundant the kernels of each layer are.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::analyze::{self, About, AnalyzeRequest};
use crate::checkpoint::Checkpoint;
use crate::cli::{Analyze, durability};
use crate::compute::ComputeOptions;
use crate::console::Console;
use crate::error::Error;
use crate::report::AnalysisSummary;
use crate::report::folder::ReportFolder;
use crate::selection;

use super::Outcome;

pub(super) fn run(
    args: &Analyze,
    options: &ComputeOptions,
    console: &Console<'_>,
) -> Result<Outcome, Error> {
    let checkpoints = args.inputs.iter().map(|input| args.from.open(input));
    let checkpoints: Vec<Checkpoint> = checkpoints.collect::<Result<_, _>>()?;
    let source = checkpoints.last().expect("the command line asks for one");
    let path = args.report.clone();
    let path = path.unwrap_or_else(|| default_folder(source));
    let folder = ReportFolder::check(&path, args.force)?;
    let settings = args.layers.settings_for(source.path())?;
    let layers = selection::find(source, &settings, args.layers.declaration()?.as_ref())?;
    let meter = console.work_bar(options.for_drawing().cpu_precision());
    let request = AnalyzeRequest {
        checkpoints: &checkpoints,
        inputs: &args.inputs,
        layers: &layers,
        with_spectra: !args.no_spectrum,
        about: About {
            skip_shallow: settings.parameters.skip_shallow,
            selecting: args.layers.words(),
            merging: None,
            png: args.png.into(),
            warnings: layers.warnings.iter().map(ToString::to_string).collect(),
        },
        folder: &folder,
        durability: durability(args.no_sync),
    };
    let analyzed = analyze::run(request, options, &meter)?;
    let summary = AnalysisSummary::new(&analyzed.report, folder.path());
    console.document(&analyzed.json, || summary.to_text())?;
    console.warn(&analyzed.report.warnings);
    Ok(Outcome::Done)
}

/// `reports/NAME`, after a file's name without its ending, or the folder's that a checkpoint is.
pub(super) fn default_folder(source: &Checkpoint) -> PathBuf {
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = match source.folder() {
        Some(folder) => whole(folder.path()).file_name().map(OsStr::to_owned),
        None => source.path().file_stem().map(OsStr::to_owned),
    };
    Path::new("reports").join(name.unwrap_or_else(|| "checkpoint".into()))
}
