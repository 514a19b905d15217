//! How the layers of a network change over the epochs of one run.

use std::path::{Path, PathBuf};

use rayon::ThreadPool;

use crate::analysis::{EpochPoint, Evolution, LayerEvolution, LayerNumbers};
use crate::compute::Compute;
use crate::diff::relative_change;
use crate::meter::Meter;
use crate::report::Redundancy;
use crate::schedule::{Load, for_each_layer};

use super::{Error, Subject};

/// Measures the layers of the epochs before the last, in their order.
///
/// # Errors
///
/// Where a checkpoint cannot be read or kernels cannot be compared.
pub(super) fn measure(
    earlier: &[Subject<'_>],
    compute: &Compute,
    meter: &dyn Meter,
) -> Result<Vec<Vec<EpochPoint>>, Error> {
    let measure =
        |epoch: &Subject<'_>| epoch.analyse(compute, meter, |_, numbers, _| Ok(point(&numbers)));
    earlier.iter().map(measure).collect()
}

/// What `inputs`, whose last is the one that the report is on, show in their order, given what was measured in those before.
///
/// # Errors
///
/// Where a checkpoint cannot be read.
pub(super) fn follow(
    inputs: &[PathBuf],
    subjects: &[&Subject<'_>],
    report: &Redundancy,
    mut epochs: Vec<Vec<EpochPoint>>,
    pool: &ThreadPool,
    meter: &dyn Meter,
) -> Result<Evolution, Error> {
    let numbers = report.layers.iter().map(|layer| &layer.numbers);
    epochs.push(numbers.map(point).collect());
    for (pair, epoch) in subjects.windows(2).zip(&mut epochs[1..]) {
        let changes = changes(pair[0], pair[1], pool, meter)?;
        for (point, change) in epoch.iter_mut().zip(changes) {
            point.relative_change = change;
        }
    }
    Ok(evolution(inputs, report, &epochs))
}

/// What is kept of a layer in one epoch.
fn point(numbers: &LayerNumbers) -> EpochPoint {
    let square = |norm: &f64| norm * norm;
    EpochPoint {
        nearest: numbers.nearest_spread(),
        above_chance: numbers.by_chance.kernels as f64 / numbers.norms.len() as f64,
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
    meter: &dyn Meter,
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
        for_each_layer(after.source, None, &loads, meter, |layer, values, _| {
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
                takes_part: layer.facts.reason.is_none(),
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
