//! Applying a plan to a layer: the blends, and the bytes they change.

use rayon::prelude::*;

use crate::checkpoint::{Checkpoint, Draft, Error, PIECE_BYTES, Piece, Sink, Tensor};
use crate::meter::Meter;
use crate::plan::{LayerRecipe, Recipe};
use crate::schedule::{Load, work_on_layers};
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

impl Change {
    /// What happened to a layer that was left as it is.
    pub const NONE: Self = Self {
        merged: 0,
        relative_change: Some(0.0),
    };
}

/// What happened to one kernel.
#[derive(Clone, Copy, Debug)]
struct KernelChange {
    is_merged: bool,
    /// The squared distance between before and after.
    change: f64,
    /// The squared norm before.
    square: f64,
}

/// Blends every layer of the recipe, several at once on the threads of the current rayon pool, and makes the draft the
/// result, if there is one. What happened to each layer.
///
/// # Errors
///
/// Where the source cannot be read or the draft not be written.
pub fn apply(
    source: &Checkpoint,
    recipe: &Recipe<'_>,
    draft: Option<&mut Draft<'_>>,
    meter: &dyn Meter,
) -> Result<Vec<Change>, Error> {
    let layers = &recipe.layers;
    let loads: Vec<Load<'_>> = layers.iter().map(LayerRecipe::load).collect();
    work_on_layers(source, draft, &loads, meter, |layer, values, sink| {
        Ok(layers[layer].apply(values, None, sink, meter))
    })
}

impl LayerRecipe<'_> {
    fn load(&self) -> Load<'_> {
        let is_copied = self.rounds.len() > 1 || !self.weight.layout().is_contiguous();
        Load {
            tensor: self.weight.tensor(),
            work: self.weight.bytes() as u64,
            memory: if is_copied { self.weight.bytes() } else { 0 },
        }
    }

    /// Blends the layer's kernels, of its tensor's `values`, and hands all of the tensor to the sink, if there is one.
    /// `squares` are the dot products of the kernels with themselves, where they are known.
    /// `meter` is told of bytes as they are dealt with.
    pub fn apply(
        &self,
        values: &[u8],
        squares: Option<&[f64]>,
        sink: Option<&Sink<'_>>,
        meter: &dyn Meter,
    ) -> Change {
        let tensor = self.weight.tensor();
        let Some((last, before)) = self.rounds.split_last() else {
            if let Some(sink) = sink {
                sink.copy(Piece::of(tensor));
            } else {
                meter.blended(values.len() as u64);
            }
            return Change::NONE;
        };
        let mut rows = self.weight.rows(values);
        for pairs in before {
            rows.merge_round(pairs, self.blend);
        }
        let mut partners = vec![None; self.weight.layout().kernels()];
        for &(kernel, partner) in last {
            partners[kernel] = Some(partner);
        }
        let round = LastRound {
            recipe: self,
            rows: &rows,
            partners: &partners,
            squares,
            meter,
        };
        let kernels = match sink {
            Some(sink) if !self.weight.layout().is_contiguous() => {
                round.write_scattered(values, sink)
            }
            _ => round.write_in_order(sink),
        };
        let change: f64 = kernels.iter().map(|kernel| kernel.change).sum();
        let whole: f64 = kernels.iter().map(|kernel| kernel.square).sum();
        Change {
            merged: kernels.iter().filter(|kernel| kernel.is_merged).count(),
            relative_change: Some((change / whole).sqrt()).filter(|ratio| ratio.is_finite()),
        }
    }
}

/// The last round of a recipe, whose results are written and then forgotten.
struct LastRound<'r> {
    recipe: &'r LayerRecipe<'r>,
    /// The kernels as they are before it.
    rows: &'r Rows<'r>,
    /// By kernel.
    partners: &'r [Option<usize>],
    squares: Option<&'r [f64]>,
    meter: &'r dyn Meter,
}

impl LastRound<'_> {
    /// Writes kernels that follow each other in the file, a buffer full at a time; computes as much without a sink.
    fn write_in_order(&self, sink: Option<&Sink<'_>>) -> Vec<KernelChange> {
        let tensor = self.recipe.weight.tensor();
        let row_bytes = self.rows.row_bytes();
        let kernels: Vec<usize> = (0..self.partners.len()).collect();
        kernels
            .par_chunks((PIECE_BYTES / row_bytes).max(1))
            .flat_map_iter(|kernels| {
                let mut buffer = sink.map_or_else(Vec::new, Sink::buffer);
                buffer.resize(kernels.len() * row_bytes, 0);
                let changes: Vec<KernelChange> = kernels
                    .iter()
                    .zip(buffer.chunks_exact_mut(row_bytes))
                    .map(|(&kernel, row)| self.write(kernel, row))
                    .collect();
                self.meter.blended(buffer.len() as u64);
                if let Some(sink) = sink {
                    let start = tensor.bytes.start + kernels[0] * row_bytes;
                    sink.write(tensor.shard, start, buffer);
                }
                changes
            })
            .collect()
    }

    /// Writes kernels that are interleaved in the file: as a whole, rather than thousands of runs of a few bytes.
    fn write_scattered(&self, values: &[u8], sink: &Sink<'_>) -> Vec<KernelChange> {
        let weight = &self.recipe.weight;
        let mut values = values.to_vec();
        let mut row = vec![0; self.rows.row_bytes()];
        let changes = (0..self.partners.len())
            .map(|kernel| {
                let change = self.write(kernel, &mut row);
                weight
                    .layout()
                    .scatter(kernel, &row, &mut values, weight.float().size());
                change
            })
            .collect();
        self.meter.blended(values.len() as u64);
        let Tensor { shard, bytes, .. } = weight.tensor();
        for (piece, start) in values
            .chunks(PIECE_BYTES)
            .zip(bytes.clone().step_by(PIECE_BYTES))
        {
            let mut buffer = sink.buffer();
            buffer.extend_from_slice(piece);
            sink.write(*shard, start, buffer);
        }
        changes
    }

    /// Writes a kernel as it is after the round.
    fn write(&self, kernel: usize, row: &mut [u8]) -> KernelChange {
        let (rows, float) = (self.rows, self.rows.float());
        let own = rows.row(kernel);
        match self.partners[kernel] {
            Some(partner) => self
                .recipe
                .blend
                .kernels(float, own, rows.row(partner), row),
            None => row.copy_from_slice(own),
        }
        let is_merged = self.partners[kernel].is_some() || rows.is_merged(kernel);
        let original = rows.original(kernel);
        with_element!(float, E => KernelChange {
            is_merged,
            change: if is_merged { exact::squared_distance::<E>(row, original) } else { 0.0 },
            square: self.squares.map_or_else(|| exact::dot::<E>(original, original), |squares| squares[kernel]),
        })
    }
}
