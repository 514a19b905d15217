//! The report on a checkpoint that is merged, which marks the merged kernels.

use crate::atomic::{Durability, Warning};
use crate::checkpoint::Checkpoint;
use crate::layers::Layers;
use crate::merge::Merged;
use crate::meter::{Meter, WorkEstimate};
use crate::report::figures::{FormatSets, Titles};
use crate::report::folder::{self, ReportDraft, ReportFolder};

use super::{About, Error, Subject, draw_layers, merges_of, write_rest};

/// A report in the making, which is gone if this is dropped before [`MarkedReport::publish`].
#[derive(Debug)]
pub struct MarkedReport<'a> {
    subject: Subject<'a>,
    draft: ReportDraft<'a>,
}

impl<'a> MarkedReport<'a> {
    /// Begins a report on these layers of a checkpoint.
    ///
    /// # Errors
    ///
    /// Where a layer is too large to be compared, or nothing can be written at the folder's place.
    pub fn begin(
        folder: &'a ReportFolder,
        source: &'a Checkpoint,
        layers: &'a Layers,
        with_spectra: bool,
    ) -> Result<Self, Error> {
        Ok(Self {
            subject: Subject::new(source, layers, with_spectra)?,
            draft: folder.begin()?,
        })
    }

    /// The work ahead.
    pub fn estimate(&self) -> WorkEstimate {
        self.subject.estimate()
    }

    /// Analyses the checkpoint, given which flags selected the layers, and draws it, in files with these titles.
    ///
    /// # Errors
    ///
    /// Where the checkpoint cannot be read, kernels cannot be compared, or the report cannot be written.
    pub fn draw(
        &self,
        merged: &Merged<'_>,
        selecting: Vec<String>,
        titles: Titles,
        meter: &dyn Meter,
    ) -> Result<(), Error> {
        meter.stage("analysing");
        let parameters = merged.plan.parameters;
        let about = About {
            skip_shallow: parameters.skip_shallow,
            selecting,
            merging: Some((parameters, merges_of(&merged.plan))),
            formats: FormatSets::default(),
            titles,
            warnings: merged.layer_warnings.clone(),
        };
        let report = draw_layers(&self.subject, about, &self.draft, &merged.compute, meter)?;
        write_rest(&self.draft, &report, &merged.compute.pool)?;
        Ok(())
    }

    /// Puts the report in its place in one step. What the user should know of it.
    ///
    /// # Errors
    ///
    /// As [`ReportDraft::publish`].
    pub fn publish(
        self,
        merged: &Merged<'_>,
        durability: Durability,
    ) -> Result<Vec<Warning>, folder::Error> {
        let pool = &merged.compute.pool;
        pool.install(|| self.draft.publish(durability))
    }
}
