//! Merging one checkpoint: deciding which kernels merge, and writing the result.
//!
//! [`run`] decides and drafts, [`apply`] follows a plan that was made before; both give a [`Merged`], and nothing is written
//! in its place before [`Merged::publish`].

mod apply;
mod error;
mod job;
mod merged;
mod nothing_merged;

use crate::checkpoint::{Checkpoint, Destination, Draft};
use crate::compute::ComputeOptions;
use crate::layers::Layers;
use crate::meter::Meter;
use crate::settings::Settings;
use crate::similarity::NonFinite;

pub use apply::{ApplyRequest, apply, read_plan};
pub use error::Error;
pub(crate) use job::{Decided, Job};
pub use merged::Merged;
pub(crate) use nothing_merged::NothingMerged;

/// What to merge, and how.
#[derive(Clone, Copy, Debug)]
pub struct MergeRequest<'a> {
    /// The checkpoint.
    pub source: &'a Checkpoint,
    /// Its layers, selected and not.
    pub layers: &'a Layers,
    /// How they are merged.
    pub settings: &'a Settings,
    /// What to do with kernels that hold a NaN or an infinity.
    pub non_finite: NonFinite,
    /// Where the result goes; `None` to decide only.
    pub destination: Option<&'a Destination>,
}

impl<'a> MergeRequest<'a> {
    /// Only to decide; kernels that hold a NaN or an infinity are refused.
    pub fn new(source: &'a Checkpoint, layers: &'a Layers, settings: &'a Settings) -> Self {
        Self {
            source,
            layers,
            settings,
            non_finite: NonFinite::Refuse,
            destination: None,
        }
    }

    /// The same, with a result that goes there.
    pub fn writing_to(self, destination: &'a Destination) -> Self {
        Self {
            destination: Some(destination),
            ..self
        }
    }
}

/// Decides on every layer who merges with whom (InMerge, arXiv 2502.20516), and makes a draft of the result.
///
/// # Errors
///
/// Where the checkpoint cannot be read, kernels cannot be compared, there is nothing to compute with, or the draft cannot be
/// written.
///
/// # Examples
///
/// Deciding only:
///
/// ```
/// use inmerge_ckpt::checkpoint::Checkpoint;
/// use inmerge_ckpt::merge::{self, MergeRequest};
/// use inmerge_ckpt::{compute::ComputeOptions, selection, settings::Settings};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let source = Checkpoint::open("fixtures/checkpoints/demo.safetensors".as_ref())?;
/// let settings = Settings::default();
/// let layers = selection::find(&source, &settings, None)?;
/// let request = MergeRequest::new(&source, &layers, &settings);
/// let merged = merge::run(&request, &ComputeOptions::default(), &())?;
/// for layer in &merged.plan.layers {
///     println!("{}: {} merges", layer.name, layer.merges.len());
/// }
/// # Ok(())
/// # }
/// ```
pub fn run<'a>(
    request: &MergeRequest<'a>,
    options: &ComputeOptions,
    meter: &dyn Meter,
) -> Result<Merged<'a>, Error> {
    let MergeRequest {
        source,
        layers,
        settings,
        ..
    } = *request;
    let job = Job::of_selected(source, layers, settings, request.non_finite)?;
    let compute = options.start(&job.sizes(), meter)?;
    let destination = request.destination;
    let mut draft = destination
        .map(|destination| Draft::begin(source, destination))
        .transpose()?;
    meter.expect(job.estimate(draft.is_some()));
    meter.stage("merging");
    let decided = job.merge(draft.as_mut(), &compute, meter)?;

    let pairs_above_tau = decided.pairs_above_tau();
    let Decided { decisions, changes } = decided;
    let greatest = decisions.iter().map(|decision| decision.max_similarity);
    let mut max_similarities: Vec<Option<f64>> = greatest.collect();
    let mut warnings = Vec::new();
    let plan = job.plan(layers, settings, decisions);
    if plan.is_empty() {
        meter.stage("explaining");
        let nearest = job.nearest(&compute, meter)?;
        max_similarities = nearest
            .iter()
            .map(|(_, nearest)| nearest.greatest())
            .collect();
        let why = NothingMerged::new(settings.parameters, pairs_above_tau, &nearest, layers);
        warnings.push(why.to_string());
    }
    Ok(Merged {
        source,
        plan,
        changes,
        max_similarities,
        pairs_above_tau,
        layer_warnings: layers.warnings.iter().map(ToString::to_string).collect(),
        warnings,
        compute,
        draft: draft.zip(destination),
        output: None,
    })
}
