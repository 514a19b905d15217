//! The result of merging a checkpoint, before and after it is published.

use std::fs::Metadata;
use std::path::Path;

use crate::apply::Change;
use crate::atomic::Durability;
use crate::checkpoint::{self, Checkpoint, Destination, Draft};
use crate::compute::Compute;
use crate::meter::Meter;
use crate::plan::Plan;

/// The merges of a checkpoint, and a draft of the result, which is removed if this is dropped before [`Merged::publish`].
#[derive(Debug)]
pub struct Merged<'a> {
    /// The checkpoint that was merged.
    pub source: &'a Checkpoint,
    /// The plan that the result follows.
    pub plan: Plan,
    /// How each layer of the plan changed.
    pub changes: Vec<Change>,
    /// How many biases and statistics changed along; `None` if all were to stay as they are.
    pub carried: Option<usize>,
    /// How many tensors of momentum changed along; `None` if momentum was to stay as it is.
    pub momentum: Option<usize>,
    /// The greatest similarity of two kernels before merging, by layer of the plan; `None` if unknown.
    pub max_similarities: Vec<Option<f64>>,
    /// Unordered pairs above the layers' thresholds; `None` if they were not counted.
    pub pairs_above_tau: Option<u64>,
    /// Warnings about the layers and their thresholds, which are the same for every checkpoint of a training.
    pub layer_warnings: Vec<String>,
    /// Warnings about the run, such as why nothing merged.
    pub warnings: Vec<String>,
    /// The threads and the backend that computed it.
    pub compute: Compute,
    pub(super) draft: Option<(Draft<'a>, &'a Destination)>,
    pub(super) output: Option<&'a Path>,
}

impl Merged<'_> {
    /// The path of the result, once it is published.
    pub fn output(&self) -> Option<&Path> {
        self.output
    }

    /// The metadata of each file of the draft; empty without a draft.
    ///
    /// # Errors
    ///
    /// If the metadata cannot be read.
    pub fn draft_metadata(&self) -> Result<Vec<Metadata>, checkpoint::Error> {
        let draft = self.draft.as_ref();
        draft.map_or(Ok(Vec::new()), |(draft, _)| draft.metadata())
    }

    /// Puts the draft, if there is one, in place in one step, and adds its warnings to these.
    ///
    /// # Errors
    ///
    /// If the draft does not read back as written, the source was changed meanwhile, or the disk fails. Whatever was at the
    /// destination before is then unchanged.
    pub fn publish(
        &mut self,
        durability: Durability,
        meter: &dyn Meter,
    ) -> Result<(), checkpoint::Error> {
        if let Some((draft, destination)) = self.draft.take() {
            meter.stage("saving");
            let warnings = self.compute.pool.install(|| draft.publish(durability))?;
            self.warnings
                .extend(warnings.iter().map(ToString::to_string));
            self.output = Some(destination.path());
        }
        Ok(())
    }
}
