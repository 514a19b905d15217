//! Merging one complete checkpoint of a watched folder.

use std::time::Instant;

use crate::checkpoint::{Checkpoint, Destination};
use crate::merge::{self, MergeRequest};
use crate::meter::Level;
use crate::selection;
use crate::settings::Settings;

use super::folders::output_stamp;
use super::run::Watcher;
use super::{Entry, Error, Stamp, seed};

impl Watcher<'_> {
    /// Merges a checkpoint, replaces the output of this name, whose stamp is `existing`, and updates the record.
    pub fn merge(
        &mut self,
        source: &Checkpoint,
        name: &str,
        stamp: Stamp,
        existing: Option<Stamp>,
    ) -> Result<(), Error> {
        let started = Instant::now();
        let (request, meter) = (self.request, self.meter);
        let settings = self.settings_of(name);
        let layers = selection::find(source, &settings, request.declaration.as_ref());
        let layers = layers.map_err(merge::Error::from)?;
        let output = request.out.join(name);
        let destination = Destination::check(source, &output, existing.is_some());
        let destination = destination.map_err(merge::Error::from)?;
        let momentum = request.merges_momentum.then(|| source.momentum());
        let momentum = momentum.transpose().map_err(merge::Error::from)?;
        let of_checkpoint = MergeRequest {
            source,
            layers: &layers,
            settings: &settings,
            non_finite: request.non_finite,
            carry: request.carry,
            momentum: momentum.as_ref(),
            destination: Some(&destination),
        };
        // Each merge starts its own backend, so that no GPU memory is held while the trainer needs it.
        let mut merged = merge::run(&of_checkpoint, self.options, meter)?;
        let draft = merged.draft_metadata().map_err(merge::Error::from)?;
        let entry = Entry {
            name: name.to_owned(),
            source: stamp,
            header_sha256: source.header_sha256(),
            seed: settings.parameters.seed,
            output: Stamp::together(draft.iter().map(Stamp::of)),
        };
        // Another program may have put a file there meanwhile.
        if output_stamp(&output)? != existing {
            return Err(Error::Foreign(output));
        }
        self.record.publishing(&entry)?;
        let published = merged.publish(request.durability, meter);
        published.map_err(merge::Error::from)?;
        meter.finish();
        merged.compute.say_times(meter);
        merged.warnings.extend(merged.compute.backend.warning());
        if let Err(error) = (self.on_merged)(&merged, started.elapsed()) {
            let warning = format!("the report on it could not be printed ({error})");
            merged.warnings.push(warning);
        }
        for warning in &merged.layer_warnings {
            // These are the same in every epoch.
            self.warn_once(warning.clone());
        }
        for warning in &merged.warnings {
            meter.say(Level::Warning, &format!("{name}: {warning}"));
        }
        self.record.done(&entry)
    }

    /// The settings for the checkpoint of this name, which has its own seed.
    fn settings_of(&self, name: &str) -> Settings {
        let mut settings = self.request.settings.clone();
        settings.parameters.seed = seed(settings.parameters.seed, name);
        settings
    }
}
