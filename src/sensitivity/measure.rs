//! Measuring a variant's weights if no program scores it.

use std::path::Path;

use crate::analysis::{self, LayerNumbers, LayerTask, rounded};
use crate::checkpoint::Checkpoint;
use crate::compute::Compute;

use super::variant::weights;
use super::{Error, PointOutcome, Sweep};

/// Measures all layers of a sweep in a variant.
///
/// # Errors
///
/// If it cannot be read, or its spectra cannot be computed.
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
    let tasks: Vec<&LayerTask<'_>> = tasks.iter().collect();
    let numbers = analysis::run(&checkpoint, &tasks, compute, &(), |_, numbers, _| {
        Ok::<_, Error>(numbers)
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
        // The last digits differ between builds of LAPACK and CPUs.
        effective_rank: rounded(rank / f64::from(kernels.max(1) as u32)),
        mean_nearest: (pairs > 0).then(|| nearest / f64::from(pairs)),
    }
}
