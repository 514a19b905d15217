//! `analyze IN…`: report how redundant the kernels of each layer are.

use std::env;
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use crate::analyze::{self, About, AnalyzeRequest};
use crate::checkpoint::Checkpoint;
use crate::cli::{Analyze, durability};
use crate::compute::ComputeOptions;
use crate::console::Console;
use crate::error::Error;
use crate::report::AnalysisSummary;
use crate::report::figures::{FormatSets, Titles};
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
            formats: FormatSets {
                png: args.png.into(),
                pdf: args.pdf.into(),
            },
            titles: Titles::unless(args.no_titles),
            warnings: layers.warnings.iter().map(ToString::to_string).collect(),
        },
        folder: &folder,
        durability: durability(args.no_sync),
    };
    let analyzed = analyze::run(request, options, &meter)?;
    let summary = AnalysisSummary::new(&analyzed.report, folder.path());
    console.document(&analyzed.json, || summary.to_text(console.columns()))?;
    console.warn(&analyzed.report.warnings);
    Ok(Outcome::Done)
}

/// `reports/NAME`, after a file's path from here without its ending, or that of the folder that a checkpoint is:
/// `r1/last.safetensors` and `r2/last.safetensors` have reports of their own, `reports/r1-last` and `reports/r2-last`.
pub(super) fn default_folder(source: &Checkpoint) -> PathBuf {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let whole = match source.folder() {
        Some(folder) => real(folder.path()),
        // The folder that a file lies in, and the file's own name, which may be a link's.
        None => {
            let path = source.path();
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            let folder = real(folder.unwrap_or(Path::new(".")));
            folder.join(path.file_stem().unwrap_or_default())
        }
    };
    let here = env::current_dir().map(|here| real(&here));
    let from_here = here.ok().and_then(|here| whole.strip_prefix(here).ok());
    let parts = from_here.unwrap_or(&whole).components();
    let parts = parts.filter(|part| matches!(part, Component::Normal(_)));
    let parts: Vec<&OsStr> = parts.map(Component::as_os_str).collect();
    let name = match &parts[..] {
        [] => "checkpoint".into(),
        parts => parts.join(OsStr::new("-")),
    };
    Path::new("reports").join(name)
}
