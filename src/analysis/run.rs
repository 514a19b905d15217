//! Analysing the layers of a checkpoint.

use crate::checkpoint::{self, Checkpoint};
use crate::compute::{self, Compute};
use crate::meter::Meter;
use crate::schedule::{Load, for_each_layer};
use crate::similarity::LayerSize;

use super::{LayerDrawings, LayerNumbers, LayerTask};

/// Analyses every layer, several in parallel, and has `finish` turn each into a result while its drawings are at hand. It gets
/// the layer's place in `tasks`; the results come back in that order.
///
/// # Errors
///
/// Where the checkpoint cannot be read or kernels cannot be compared, and those of `finish`.
pub(crate) fn run<R: Send + Sync, E>(
    source: &Checkpoint,
    tasks: &[&LayerTask<'_>],
    compute: &Compute,
    meter: &dyn Meter,
    finish: impl Fn(usize, LayerNumbers, Option<LayerDrawings>) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E>
where
    E: From<checkpoint::Error> + From<compute::Error> + Send + Sync,
{
    let loads: Vec<Load<'_>> = tasks.iter().map(|task| task.load()).collect();
    compute.pool.install(|| {
        for_each_layer(source, None, &loads, meter, |layer, values, _| {
            let task = tasks[layer];
            let size = LayerSize::of(&task.weight);
            let analysed = compute
                .backend
                .on_layer(size, |engine| task.analyse(values, engine, meter));
            let (numbers, drawings) =
                analysed.map_err(|error| compute::Error::of_similarity(error, source.path()))?;
            finish(layer, numbers, drawings)
        })
    })
}
