//! What a watch does with one complete checkpoint.

use std::time::Instant;

use crate::checkpoint::{Checkpoint, Destination, Draft};
use crate::commands::merging::{Job, Machine, Merged};
use crate::commands::{Session, selecting};
use crate::error::Error;
use crate::report::{FinishedRun, MergeReport};
use crate::settings::Settings;
use crate::watch::{self, Entry, Stamp, seed};

use super::{Watcher, standing};

impl Watcher<'_> {
    /// Merges a checkpoint of this name and state into the place where `there` stands now, and keeps the record.
    pub(super) fn merge(
        &mut self,
        source: &Checkpoint,
        name: &str,
        stamp: Stamp,
        there: Option<Stamp>,
        session: &mut Session<'_>,
    ) -> Result<(), Error> {
        let started = Instant::now();
        let settings = self.settings_of(name);
        let declared = self.declared.as_ref();
        let layers = selecting::find_in(source, declared, &self.args.layers, &settings)?;
        let job = Job::of_selected(source, &layers, &settings, self.args.merging.non_finite())?;
        let output = self.args.out.join(name);
        let destination = Destination::check(source, &output, there.is_some())?;
        // Made anew for each checkpoint, so that no GPU's memory is held while the trainer needs it.
        let pool = session.pool_with_blas()?;
        let backend = session.backend(&job.sizes(), &pool)?;
        let machine = Machine { pool, backend };
        let mut draft = Draft::begin(source, &destination)?;
        let progress = session.progress("merging", job.amount(true), machine.backend.cpu());
        let merged = job.merge(Some(&mut draft), &machine, &progress)?;

        let mut warnings = Vec::new();
        let (is_nothing, pairs_above_tau) = (merged.is_nothing(), merged.pairs_above_tau());
        let Merged { decisions, changes } = merged;
        let greatest = decisions.iter().map(|decision| decision.max_similarity);
        let mut max_similarities: Vec<Option<f64>> = greatest.collect();
        if is_nothing {
            progress.now("explaining");
            let (why, greatest) = job.explain(
                settings.parameters,
                pairs_above_tau,
                &layers,
                &machine,
                &progress,
            )?;
            warnings.push(why.to_string());
            max_similarities = greatest;
        }
        progress.now("saving");
        let entry = Entry {
            name: name.to_owned(),
            source: stamp,
            header_sha256: source.header_sha256(),
            seed: settings.parameters.seed,
            output: Stamp::of(&draft.metadata()?[0]),
        };
        // Somebody may have put another file there since.
        if standing(&output)? != there {
            return Err(watch::Error::Foreign(output).into());
        }
        self.record.publishing(&entry)?;
        let durability = self.args.durability();
        let of_output = machine.pool.install(|| draft.publish(durability))?;
        warnings.extend(of_output.iter().map(ToString::to_string));
        progress.finish();
        warnings.extend(machine.backend.warning());
        session.note_times(&machine.backend);
        let report = MergeReport::new(&FinishedRun {
            source,
            output: Some(&output),
            report: None,
            plan: &job.plan(&layers, &settings, decisions),
            changes: &changes,
            max_similarities: &max_similarities,
            pairs_above_tau,
            backend: machine.backend.name(),
            layer_warnings: layers.warnings.iter().map(ToString::to_string).collect(),
            run_warnings: warnings.clone(),
            seconds: started.elapsed().as_secs_f64(),
        });
        if let Err(error) = session.line(&report, MergeReport::to_line) {
            warnings.push(format!("the report on it could not be printed ({error})"));
        }
        for warning in &layers.warnings {
            // The same in every epoch.
            self.warn_once(warning.to_string(), session);
        }
        let warnings = warnings.iter().map(|warning| format!("{name}: {warning}"));
        session.warn(&warnings.collect::<Vec<_>>());
        Ok(self.record.done(&entry)?)
    }

    /// The settings for the checkpoint of this name: with a seed of its own.
    fn settings_of(&self, name: &str) -> Settings {
        let mut settings = self.settings.clone();
        settings.parameters.seed = seed(settings.parameters.seed, name);
        settings
    }
}
