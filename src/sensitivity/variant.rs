//! Making the variant of the checkpoint for a point.

use std::path::{Path, PathBuf};

use crate::apply::{Change, squares};
use crate::atomic::Durability;
use crate::checkpoint::{Checkpoint, Destination, Draft, Tensor};
use crate::compute::Compute;
use crate::files;
use crate::merge::Job;
use crate::plan::{Rules, Task};
use crate::schedule::{Load, for_each_layer};
use crate::selection;
use crate::similarity::NonFinite;
use crate::weight::ConvWeight;

use super::{Error, MergedAtPoint, Point, Series, Sweep, SweptLayer};

/// The checkpoint from which variants are made.
pub(super) struct Original<'a> {
    pub source: &'a Checkpoint,
    pub sweep: &'a Sweep,
    /// The weights, by layer of the sweep.
    weights: Vec<ConvWeight<'a>>,
    /// ‖W‖² by layer of the sweep; `None` if that is not finite.
    squares: Vec<Option<f64>>,
}

/// A variant on the disk, removed when this is dropped.
pub(super) struct Variant {
    pub path: PathBuf,
    pub merging: MergedAtPoint,
}

impl Drop for Variant {
    fn drop(&mut self) {
        // If this fails, it is removed with the scratch folder.
        let _ = match files::is_folder(&self.path) {
            Ok(true) => files::remove_folder_and_all(&self.path),
            _ => files::remove_file(&self.path),
        };
    }
}

impl<'a> Original<'a> {
    /// Finds the sweep's layers in its checkpoint.
    ///
    /// # Errors
    ///
    /// If one is missing or too large to be compared, or the checkpoint cannot be read.
    pub fn new(source: &'a Checkpoint, sweep: &'a Sweep, compute: &Compute) -> Result<Self, Error> {
        let weights = weights(source, sweep)?;
        let load = |weight: &ConvWeight<'a>| Load {
            tensor: weight.tensor(),
            copies: &[],
            work: weight.bytes() as u64,
            memory: weight.bytes(),
            allowance: weight.bytes(),
        };
        let loads: Vec<Load<'_>> = weights.iter().map(load).collect();
        let squares = compute.pool.install(|| {
            for_each_layer(source, None, &loads, &(), |layer, values, _| {
                let rows = weights[layer].rows(values);
                let kernels = weights[layer].layout().kernels();
                let squares: f64 = squares(&rows, kernels).iter().sum();
                Ok::<_, Error>(squares.is_finite().then_some(squares))
            })
        })?;
        Ok(Self {
            source,
            sweep,
            weights,
            squares,
        })
    }

    /// Makes the variant of a point in a folder. The baseline's is a copy, because the evaluator may write to the file that
    /// it scores.
    ///
    /// # Errors
    ///
    /// If kernels cannot be compared or the variant cannot be written.
    pub fn variant(
        &self,
        point: &Point,
        folder: &Path,
        compute: &Compute,
    ) -> Result<Variant, Error> {
        let taking_part: Vec<(usize, Task<'a>)> = self.tasks(point).collect();
        let indices: Vec<usize> = taking_part.iter().map(|(index, _)| *index).collect();
        let tasks = taking_part.into_iter().map(|(_, task)| task).collect();
        let job = Job::new(self.source, tasks, self.rules(point));
        let path = folder.join(name(self.source));
        let destination = Destination::check(self.source, &path, false)?;
        let mut draft = Draft::begin(self.source, &destination)?;
        let merged = job.merge(Some(&mut draft), compute, &())?;
        compute
            .pool
            .install(|| draft.publish(Durability::Unsynced))?;
        let layers = indices.iter().map(|&index| &self.sweep.layers[index]);
        Ok(Variant {
            merging: MergedAtPoint {
                layers: indices.len(),
                kernels: layers.map(|layer| layer.kernels).sum(),
                merged: merged.changes.iter().map(|change| change.merged).sum(),
                relative_change: self.relative_change(&indices, &merged.changes),
            },
            path,
        })
    }

    fn tasks(&self, point: &Point) -> impl Iterator<Item = (usize, Task<'a>)> {
        let is_merged = point.series != Series::Baseline;
        let layers = self.sweep.taking_part(&point.variation);
        layers
            .filter(move |_| is_merged)
            .map(|(index, parameters)| {
                let weight = self.weights[index].clone();
                (index, Task { weight, parameters })
            })
    }

    fn rules(&self, point: &Point) -> Rules {
        Rules {
            partner: self.sweep.parameters.partner,
            rounds: self.sweep.parameters.rounds,
            seed: point.seed,
            non_finite: if self.sweep.allow_nonfinite {
                NonFinite::LeaveAlone
            } else {
                NonFinite::Refuse
            },
            control: point.variation.control,
        }
    }

    /// ‖ΔW‖ / ‖W‖ over all layers, given the changes of some.
    fn relative_change(&self, indices: &[usize], changes: &[Change]) -> f64 {
        let moved = indices.iter().zip(changes).filter_map(|(&index, change)| {
            Some(change.relative_change?.powi(2) * self.squares[index]?)
        });
        let moved = moved.fold(0.0, |sum, square| sum + square);
        let whole: f64 = self.squares.iter().flatten().sum();
        if whole > 0.0 {
            (moved / whole).sqrt()
        } else {
            0.0
        }
    }
}

/// The weights of a sweep's layers in a checkpoint.
///
/// # Errors
///
/// If one is missing or too large to be compared.
pub(super) fn weights<'a>(
    checkpoint: &'a Checkpoint,
    sweep: &Sweep,
) -> Result<Vec<ConvWeight<'a>>, Error> {
    let named = |name: &String| {
        let mut tensors = checkpoint.tensors().iter();
        let tensor: Option<&'a Tensor> = tensors.find(|tensor| tensor.name == *name);
        // The content is that of the sweep's checkpoint, so sweep.json must have been changed.
        tensor.ok_or_else(|| Error::OtherCheckpoint(checkpoint.path().to_owned()))
    };
    let weight = |layer: &SweptLayer| {
        let weight = ConvWeight::new(named(&layer.name)?, layer.kind, layer.groups);
        let weight = weight.ok_or_else(|| selection::Error::Unmergeable {
            file: checkpoint.path().to_owned(),
            layer: layer.name.clone(),
        })?;
        let copies = layer.copies.iter().map(named);
        Ok(weight.with_copies(copies.collect::<Result<_, _>>()?))
    };
    sweep.layers.iter().map(weight).collect()
}

/// The name of a variant: the checkpoint's, because evaluators may depend on its extension.
fn name(source: &Checkpoint) -> PathBuf {
    let path = match source.folder() {
        Some(folder) => folder.path(),
        None => source.path(),
    };
    let whole = path.canonicalize();
    let name = whole.as_deref().unwrap_or(path).file_name();
    name.map_or_else(|| "variant".into(), PathBuf::from)
}
