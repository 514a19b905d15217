//! Analysing a checkpoint, or the epochs of one run, into a report folder.

mod error;
mod evolution;
mod marked;
mod report;
mod subject;

use std::path::PathBuf;

use crate::atomic::Durability;
use crate::checkpoint::Checkpoint;
use crate::compute::ComputeOptions;
use crate::layers::Layers;
use crate::meter::Meter;
use crate::report::Redundancy;
use crate::report::folder::ReportFolder;
use crate::similarity::LayerSize;

use report::{draw_layers, merges_of, write_rest};

pub use error::Error;
pub use marked::MarkedReport;
pub use report::About;
pub use subject::Subject;

/// What to analyse, and where the report goes.
#[derive(Debug)]
pub struct AnalyzeRequest<'a> {
    /// Checkpoints of one run in the order of their epochs, at least one. The report is on the last.
    pub checkpoints: &'a [Checkpoint],
    /// What the user calls each of them.
    pub inputs: &'a [PathBuf],
    /// The layers of the last.
    pub layers: &'a Layers,
    /// Whether spectra are computed.
    pub with_spectra: bool,
    /// What else the report says.
    pub about: About,
    /// Where it goes.
    pub folder: &'a ReportFolder,
    /// Whether it must survive a power cut.
    pub durability: Durability,
}

/// An analysis whose report is in its place.
#[derive(Debug)]
pub struct Analyzed {
    /// All that the report says, and warnings about the report itself.
    pub report: Redundancy,
    /// The report as JSON, as it is in the folder.
    pub json: Vec<u8>,
}

/// Analyses the layers of a checkpoint that take part, and those that are left alone for their depth only, and writes the
/// report.
///
/// # Errors
///
/// Where a checkpoint cannot be read, kernels cannot be compared, the checkpoints are not of one run, or the report cannot be
/// written. What stood in its place is then whole.
///
/// # Examples
///
/// ```
/// use std::path::PathBuf;
///
/// use inmerge_ckpt::analyze::{self, About, AnalyzeRequest};
/// use inmerge_ckpt::checkpoint::Checkpoint;
/// use inmerge_ckpt::compute::ComputeOptions;
/// use inmerge_ckpt::atomic::Durability;
/// use inmerge_ckpt::report::folder::ReportFolder;
/// use inmerge_ckpt::selection;
/// use inmerge_ckpt::settings::Settings;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let desk = tempfile::tempdir()?;
/// let input = PathBuf::from("fixtures/checkpoints/demo.safetensors");
/// let checkpoints = [Checkpoint::open(&input)?];
/// let layers = selection::find(&checkpoints[0], &Settings::default(), None)?;
/// let request = AnalyzeRequest {
///     checkpoints: &checkpoints,
///     inputs: &[input],
///     layers: &layers,
///     with_spectra: false,
///     about: About::default(),
///     folder: &ReportFolder::check(&desk.path().join("report"), false)?,
///     durability: Durability::Synced,
/// };
/// let analyzed = analyze::run(request, &ComputeOptions::default(), &())?;
/// println!("{} layers", analyzed.report.layers.len());
/// # Ok(())
/// # }
/// ```
pub fn run(
    request: AnalyzeRequest<'_>,
    options: &ComputeOptions,
    meter: &dyn Meter,
) -> Result<Analyzed, Error> {
    let (source, earlier) = request.checkpoints.split_last().expect("one at least");
    let last = Subject::new(source, request.layers, request.with_spectra)?;
    let earlier = earlier.iter().map(|epoch| last.counterpart(epoch));
    let earlier: Vec<Subject<'_>> = earlier.collect::<Result<_, _>>()?;
    let all: Vec<&Subject<'_>> = earlier.iter().chain([&last]).collect();
    let sizes: Vec<LayerSize> = all.iter().flat_map(|subject| subject.sizes()).collect();
    let compute = options.for_drawing().start(&sizes, meter)?;
    let draft = request.folder.begin()?;

    meter.expect(all.iter().map(|subject| subject.estimate()).sum());
    meter.stage("analysing");
    let epochs = evolution::measure(&earlier, &compute, meter)?;
    let mut report = draw_layers(&last, request.about, &draft, &compute, meter)?;
    if !earlier.is_empty() {
        let inputs = request.inputs;
        let pool = &compute.pool;
        report.evolution = Some(evolution::follow(
            inputs, &all, &report, epochs, pool, meter,
        )?);
    }
    meter.stage("saving");
    let json = write_rest(&draft, &report, &compute.pool)?;
    let durability = request.durability;
    let warnings = compute.pool.install(|| draft.publish(durability))?;
    meter.finish();
    compute.say_times(meter);
    report
        .warnings
        .extend(warnings.iter().map(ToString::to_string));
    report.warnings.extend(compute.backend.warning());
    Ok(Analyzed { report, json })
}
