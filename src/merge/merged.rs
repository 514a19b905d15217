//! A checkpoint that was merged, before and after the result is in its place.

use std::fs::Metadata;
use std::path::Path;

use crate::apply::Change;
use crate::atomic::Durability;
use crate::checkpoint::{self, Checkpoint, Destination, Draft};
use crate::compute::Compute;
use crate::meter::Meter;
use crate::plan::Plan;

/// What was decided on a checkpoint, and a draft of the result, which is gone if this is dropped before [`Merged::publish`].
#[derive(Debug)]
pub struct Merged<'a> {
    /// The checkpoint that was read.
    pub source: &'a Checkpoint,
    /// Every merge.
    pub plan: Plan,
    /// What it changes, by layer of the plan.
    pub changes: Vec<Change>,
    /// The greatest similarity of two kernels before merging, by layer of the plan, where it is known.
    pub max_similarities: Vec<Option<f64>>,
    /// Unordered pairs above the layers' thresholds, where they were counted.
    pub pairs_above_tau: Option<u64>,
    /// What the user should know of the layers.
    pub layer_warnings: Vec<String>,
    /// What the user should know of the run, such as why nothing merges.
    pub warnings: Vec<String>,
    /// What computed it.
    pub compute: Compute,
    pub(super) draft: Option<(Draft<'a>, &'a Destination)>,
    pub(super) output: Option<&'a Path>,
}

impl Merged<'_> {
    /// The checkpoint that was written.
    pub fn output(&self) -> Option<&Path> {
        self.output
    }

    /// What the system says of each file of the draft.
    ///
    /// # Errors
    ///
    /// Where it does not say.
    pub fn draft_metadata(&self) -> Result<Vec<Metadata>, checkpoint::Error> {
        let draft = self.draft.as_ref();
        draft.map_or(Ok(Vec::new()), |(draft, _)| draft.metadata())
    }

    /// Puts the result in its place in one step, if one was drafted, and adds what the user should know of it to the warnings.
    ///
    /// # Errors
    ///
    /// Where the draft does not read back as written, the source was changed meanwhile, or the disk fails. Whatever stood at
    /// the destination before is then still whole.
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
