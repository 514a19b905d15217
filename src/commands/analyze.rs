//! `analyze IN…`: report how redundant the kernels of each layer are.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rayon::ThreadPool;

use crate::analysis::{EpochPoint, Evolution, LayerEvolution, LayerNumbers};
use crate::checkpoint::Checkpoint;
use crate::cli::Analyze;
use crate::diff::relative_change;
use crate::error::Error;
use crate::report::folder::ReportFolder;
use crate::report::{AnalysisSummary, Redundancy};
use crate::schedule::{Load, work_on_layers};
use crate::similarity::{LayerSize, Precision};

use super::merging::Machine;
use super::progress::Progress;
use super::reporting::{self, About, Subject};
use super::{Outcome, Session, selecting};

pub(super) fn run(args: &Analyze, session: &mut Session<'_>) -> Result<Outcome, Error> {
    let checkpoints: Vec<Checkpoint> = args
        .inputs
        .iter()
        .map(|input| Checkpoint::open(input))
        .collect::<Result<_, _>>()?;
    let (source, earlier) = checkpoints
        .split_last()
        .expect("the command line asks for one at least");
    let path = args.report.clone();
    let path = path.unwrap_or_else(|| default_folder(source));
    let folder = ReportFolder::check(&path, args.force)?;
    let settings = selecting::settings(
        args.layers.settings(),
        args.layers.config.as_deref(),
        source,
    )?;
    let layers = selecting::find(source, &args.layers, &settings)?;
    let last = Subject::new(source, &layers, !args.no_spectrum)?;
    let earlier: Vec<Subject<'_>> = earlier
        .iter()
        .map(|checkpoint| last.counterpart(checkpoint))
        .collect::<Result<_, _>>()?;

    let pool = session.pool_with_blas()?;
    let draft = folder.begin()?;
    let all = || earlier.iter().chain([&last]);
    let sizes: Vec<LayerSize> = all().flat_map(Subject::sizes).collect();
    let backend = session.drawing_backend(&sizes, &pool)?;
    let amount = all().map(Subject::amount).sum();
    let machine = Machine { pool, backend };
    let progress = session.progress("analysing", amount, Precision::F32);
    let epochs = earlier
        .iter()
        .map(|epoch| epoch.analyse(&machine, &progress, |_, numbers, _| Ok(point(&numbers))));
    let mut epochs: Vec<Vec<EpochPoint>> = epochs.collect::<Result<_, _>>()?;
    let about = About {
        skip_shallow: settings.parameters.skip_shallow,
        selecting: args.layers.words(),
        merging: None,
        warnings: layers.warnings.iter().map(ToString::to_string).collect(),
    };
    let mut report = reporting::analyse(&last, about, &draft, &machine, &progress)?;
    if !earlier.is_empty() {
        let numbers = report.layers.iter().map(|layer| &layer.numbers);
        epochs.push(numbers.map(point).collect());
        let subjects: Vec<&Subject<'_>> = all().collect();
        for (pair, epoch) in subjects.windows(2).zip(&mut epochs[1..]) {
            let changes = changes(pair[0], pair[1], &machine.pool, &progress)?;
            for (point, change) in epoch.iter_mut().zip(changes) {
                point.relative_change = change;
            }
        }
        report.evolution = Some(evolution(&args.inputs, &report, &epochs));
    }
    progress.now("saving");
    let json = reporting::write_rest(&draft, &report, &machine.pool)?;
    let warnings = machine.pool.install(|| draft.publish(args.durability()))?;
    progress.finish();
    report
        .warnings
        .extend(warnings.iter().map(ToString::to_string));
    report.warnings.extend(machine.backend.warning());
    session.note_times(&machine.backend);
    let summary = AnalysisSummary::new(&report, folder.path());
    session.document(&json, || summary.to_text())?;
    session.warn(&report.warnings);
    Ok(Outcome::Done)
}

/// `reports/NAME`, after a file's name without its ending, or a sharded checkpoint's folder.
pub(super) fn default_folder(source: &Checkpoint) -> PathBuf {
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = match source.index() {
        Some(index) => whole(index.folder()).file_name().map(OsStr::to_owned),
        None => source.path().file_stem().map(OsStr::to_owned),
    };
    Path::new("reports").join(name.unwrap_or_else(|| "checkpoint".into()))
}

/// What is kept of a layer in one epoch.
fn point(numbers: &LayerNumbers) -> EpochPoint {
    let square = |norm: &f64| norm * norm;
    EpochPoint {
        nearest: numbers.nearest_spread(),
        effective_rank: numbers.spectrum.as_ref().map(|s| s.effective_rank),
        norm: numbers.norms.iter().map(square).sum::<f64>().sqrt(),
        relative_change: None,
    }
}

/// How much every layer has changed from one checkpoint to the next.
fn changes(
    before: &Subject<'_>,
    after: &Subject<'_>,
    pool: &ThreadPool,
    progress: &Progress,
) -> Result<Vec<Option<f64>>, Error> {
    let loads: Vec<Load<'_>> = after
        .layers
        .iter()
        .map(|(_, task)| Load {
            tensor: task.weight.tensor(),
            copies: &[],
            work: task.weight.bytes() as u64,
            memory: 0,
            allowance: 0,
        })
        .collect();
    pool.install(|| {
        work_on_layers(after.source, None, &loads, progress, |layer, values, _| {
            let weight = &before.layers[layer].1.weight;
            let change = |old: &[u8]| relative_change(old, values, weight.float());
            Ok(before.source.with_values(weight.tensor(), change)?)
        })
    })
}

fn evolution(inputs: &[PathBuf], report: &Redundancy, epochs: &[Vec<EpochPoint>]) -> Evolution {
    let layers = report.layers.iter().enumerate();
    Evolution {
        epochs: labels(inputs),
        layers: layers
            .map(|(place, layer)| LayerEvolution {
                name: layer.facts.name.clone(),
                depth: layer.facts.depth,
                points: epochs.iter().map(|epoch| epoch[place]).collect(),
            })
            .collect(),
    }
}

/// What to call each of some files: as many of the last parts of their paths as tell them apart, without the common ending.
fn labels(paths: &[PathBuf]) -> Vec<String> {
    let parts = |path: &Path| -> Vec<String> {
        let path = match path.extension() {
            Some(extension) if extension == "safetensors" => path.with_extension(""),
            _ => path.to_owned(),
        };
        path.components()
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect()
    };
    let parts: Vec<Vec<String>> = paths.iter().map(|path| parts(path)).collect();
    let longest = parts.iter().map(Vec::len).max().unwrap_or(1);
    let ends = |count: usize| -> Vec<String> {
        let end = |parts: &Vec<String>| parts[parts.len().saturating_sub(count)..].join("/");
        parts.iter().map(end).collect()
    };
    let are_distinct = |labels: &Vec<String>| {
        let mut sorted = labels.clone();
        sorted.sort_unstable();
        sorted.dedup();
        sorted.len() == labels.len()
    };
    (1..longest)
        .map(ends)
        .find(are_distinct)
        .unwrap_or_else(|| ends(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_called_by_what_tells_them_apart() {
        let labels = |paths: &[&str]| labels(&paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(
            labels(&["run/epoch1.safetensors", "run/epoch2.safetensors"]),
            ["epoch1", "epoch2"]
        );
        assert_eq!(
            labels(&["a/1/model.safetensors", "a/2/model.safetensors"]),
            ["1/model", "2/model"]
        );
        assert_eq!(labels(&["m.safetensors", "m.safetensors"]), ["m", "m"]);
        assert_eq!(labels(&["m.safetensors", "a/m.safetensors"]), ["m", "a/m"]);
    }
}
