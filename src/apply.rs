//! Applying a plan: the blends, and the bytes they change.

use rayon::prelude::*;

use crate::checkpoint::{Checkpoint, Draft, Error};
use crate::plan::{LayerRecipe, Recipe};
use crate::similarity::exact;
use crate::weight::{Rows, with_element};

/// What a plan did to one layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Kernels that were merged, in one round or several.
    pub merged: usize,
    /// ‖ΔW‖ / ‖W‖ of the layer; `None` where that is no finite number.
    pub relative_change: Option<f64>,
}

/// Blends every layer of the recipe and writes the merged kernels into the draft, if there is one. `done` is called
/// as each layer is finished.
///
/// # Errors
///
/// Where the draft cannot be written.
pub fn apply(
    source: &Checkpoint,
    recipe: &Recipe<'_>,
    draft: Option<&Draft<'_>>,
    done: &(dyn Fn() + Sync),
) -> Result<Vec<Change>, Error> {
    recipe
        .layers
        .par_iter()
        .map(|layer| {
            let change = layer.apply(source, draft)?;
            done();
            Ok(change)
        })
        .collect()
}

impl LayerRecipe<'_> {
    fn apply(&self, source: &Checkpoint, draft: Option<&Draft<'_>>) -> Result<Change, Error> {
        if self.rounds.is_empty() {
            // Nothing to read, then.
            return Ok(Change {
                merged: 0,
                relative_change: Some(0.0),
            });
        }
        let mut rows = self.weight.rows(source);
        for pairs in &self.rounds {
            rows.merge_round(pairs, self.blend);
        }
        if let Some(draft) = draft {
            for (start, bytes) in self.weight.patches(source, &rows) {
                draft.patch(start as u64, &bytes)?;
            }
        }
        Ok(Change {
            merged: rows.merged().count(),
            relative_change: relative_change(&rows, self.weight.layout().kernels()),
        })
    }
}

/// ‖ΔW‖ / ‖W‖, summed kernel by kernel in float64.
fn relative_change(rows: &Rows<'_>, kernels: usize) -> Option<f64> {
    let (change, whole) = with_element!(rows.float(), E => {
        let change: f64 = rows
            .merged()
            .map(|(kernel, row)| exact::squared_distance::<E>(row, rows.original(kernel)))
            .sum();
        let whole: f64 = (0..kernels)
            .map(|kernel| exact::dot::<E>(rows.original(kernel), rows.original(kernel)))
            .sum();
        (change, whole)
    });
    Some((change / whole).sqrt()).filter(|ratio| ratio.is_finite())
}
