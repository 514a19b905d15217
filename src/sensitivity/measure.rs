//! Measuring a variant's weights, where no program scores it.

use std::path::Path;

use crate::analysis::{LayerNumbers, LayerTask, rounded};
use crate::checkpoint::Checkpoint;
use crate::compute::{self, Compute};
use crate::schedule::{Load, for_each_layer};
use crate::similarity::LayerSize;

use super::variant::weights;
use super::{Error, PointOutcome, Sweep};

/// Measures all layers of a sweep in a variant.
///
/// # Errors
///
/// Where it cannot be read, or its spectra cannot be computed.
pub(super) fn measure(
    path: &Path,
    sweep: &Sweep,
    compute: &Compute,
) -> Result<PointOutcome, Error> {
    let checkpoint = Checkpoint::open(path)?;
    let task = |weight| LayerTask {
        weight,
        spectrum: true,
        drawings: false,
    };
    let weights = weights(&checkpoint, sweep)?;
    let tasks: Vec<LayerTask<'_>> = weights.into_iter().map(task).collect();
    let loads: Vec<Load<'_>> = tasks.iter().map(LayerTask::load).collect();
    let numbers = compute.pool.install(|| {
        for_each_layer(&checkpoint, None, &loads, &(), |layer, values, _| {
            let task = &tasks[layer];
            let size = LayerSize::of(&task.weight);
            let analysed = compute
                .backend
                .on_layer(size, |engine| task.analyse(values, engine, &()));
            let (numbers, _) =
                analysed.map_err(|error| compute::Error::of_similarity(error, path))?;
            Ok::<_, Error>(numbers)
        })
    })?;
    Ok(summed(&numbers))
}

fn summed(layers: &[LayerNumbers]) -> PointOutcome {
    let ranked = layers.iter().filter_map(|layer| {
        let rank = layer.spectrum.as_ref()?.effective_rank;
        Some((rank, layer.norms.len()))
    });
    let (rank, kernels) = ranked.fold((0.0, 0), |sum, (rank, n)| (sum.0 + rank, sum.1 + n));
    let nearest = layers.iter().flat_map(|layer| layer.nearest.similarities());
    let (nearest, pairs) = nearest.fold((0.0, 0), |sum, nearest| (sum.0 + nearest, sum.1 + 1));
    PointOutcome::Measured {
        // LAPACK's last digits differ between computes.
        effective_rank: rounded(rank / f64::from(kernels.max(1) as u32)),
        mean_nearest: (pairs > 0).then(|| nearest / f64::from(pairs)),
    }
}
