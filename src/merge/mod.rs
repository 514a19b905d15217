//! Merging one checkpoint: deciding which kernels merge, and writing the result.
//!
//! [`run`] decides which kernels merge, and [`apply`] follows a plan. Both return a [`Merged`], whose draft appears at the
//! destination only with [`Merged::publish`].

mod apply;
mod carry;
mod chance;
mod error;
mod job;
mod merged;
mod momentum;
mod narrow;
mod nothing_merged;

use crate::checkpoint::{Checkpoint, Destination, Draft, Momentum};
use crate::compute::ComputeOptions;
use crate::layers::Layers;
use crate::meter::Meter;
use crate::plan::Carry;
use crate::settings::Settings;
use crate::similarity::{Nearest, NonFinite};

pub use apply::{ApplyRequest, apply, read_plan};
pub use error::Error;
pub(crate) use job::{Decided, Job};
pub use merged::Merged;
pub(crate) use nothing_merged::NothingMerged;

/// Multiply-adds up to which all pairs are compared once more where nothing merges, to say which thresholds would merge: some ten
/// seconds on two cores. A ResNet-50 takes 10¹⁰, the linear layers of a language model of 7·10⁹ parameters 2·10¹³.
const EXPLAINED: u64 = 2_000_000_000_000;

/// The checkpoint to merge, and the settings to merge it with.
#[derive(Clone, Copy, Debug)]
pub struct MergeRequest<'a> {
    /// The checkpoint to merge.
    pub source: &'a Checkpoint,
    /// All its layers, selected or not.
    pub layers: &'a Layers,
    /// The parameters, and those of single layers.
    pub settings: &'a Settings,
    /// What to do with kernels that hold a NaN or an infinity.
    pub non_finite: NonFinite,
    /// What is changed along with the kernels.
    pub carry: Carry,
    /// The momentum to merge along with the weights; `None` to leave it as it is.
    pub momentum: Option<&'a Momentum>,
    /// Where the result goes; `None` to make a plan without writing a result.
    pub destination: Option<&'a Destination>,
}

impl<'a> MergeRequest<'a> {
    /// A request that writes nothing and refuses kernels that hold a NaN or an infinity.
    pub fn new(source: &'a Checkpoint, layers: &'a Layers, settings: &'a Settings) -> Self {
        Self {
            source,
            layers,
            settings,
            non_finite: NonFinite::Refuse,
            carry: Carry::default(),
            momentum: None,
            destination: None,
        }
    }

    /// The same request, with a destination.
    pub fn writing_to(self, destination: &'a Destination) -> Self {
        Self {
            destination: Some(destination),
            ..self
        }
    }
}

/// Decides which kernels of every layer merge (InMerge, arXiv 2502.20516), and writes a draft of the result.
///
/// # Errors
///
/// If the checkpoint cannot be read, kernels cannot be compared, the backend cannot be used, or the draft cannot be written.
///
/// # Examples
///
/// Without a result:
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
    let Decided {
        mut decisions,
        changes,
    } = decided;
    let greatest = decisions.iter().map(|decision| decision.max_similarity);
    let mut max_similarities: Vec<Option<f64>> = greatest.collect();
    let mut warnings = Vec::new();
    let known = decisions.iter_mut().map(|decision| decision.nearest.take());
    let known = known.collect();
    let plan = job.plan(layers, settings, request.carry, decisions);
    if plan.is_empty() {
        let nearest = if job.pairs_products() <= EXPLAINED {
            meter.stage("explaining");
            let nearest = job.nearest(known, &compute, meter)?;
            max_similarities = nearest.iter().map(Nearest::greatest).collect();
            Some(nearest)
        } else {
            None
        };
        let names = plan.layers.iter().map(|layer| &layer.name[..]);
        let greatest = names.zip(max_similarities.iter().copied());
        let (parameters, nearest) = (settings.parameters, nearest.as_deref());
        let why = NothingMerged::new(parameters, pairs_above_tau, greatest, nearest, layers);
        warnings.push(why.to_string());
    }
    warnings.extend(carry::warning(request.carry, layers, &plan));
    let is_carried = request.carry.is_any();
    let carried = is_carried.then(|| carry::carry(source, &plan, draft.as_mut(), &compute, meter));
    let momentum = request
        .momentum
        .map(|momentum| momentum::merge(source, &plan, momentum, draft.as_mut(), &compute, meter));
    Ok(Merged {
        source,
        carried: carried.transpose()?,
        momentum: momentum.transpose()?,
        plan,
        changes,
        max_similarities,
        pairs_above_tau,
        layer_warnings: {
            let warnings = layers.warnings.iter().map(ToString::to_string);
            warnings
                .chain(job.warnings())
                .chain(momentum::warning(request.momentum))
                .collect()
        },
        warnings,
        compute,
        draft: draft.zip(destination),
        output: None,
    })
}

/// As many layers as take part, in words.
fn all_of(layers: usize) -> String {
    match layers {
        1 => "the one layer that takes part".to_owned(),
        _ => format!("the {layers} layers that take part"),
    }
}

/// So many of all layers that take part, in words.
fn some_of(count: usize, layers: usize) -> String {
    match layers {
        1 => all_of(layers),
        _ => format!("{count} of {}", all_of(layers)),
    }
}
