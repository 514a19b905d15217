//! Applying a plan to a layer: the blends, and the bytes they change.

use std::ops::Range;

use rayon::prelude::*;

use crate::checkpoint::{Checkpoint, Draft, Error, Fill, PIECE_BYTES, Piece, Sink};
use crate::meter::Meter;
use crate::plan::{LayerRecipe, Recipe};
use crate::schedule::{Load, for_each_layer, per_task};
use crate::similarity::exact;
use crate::weight::{Blend, ConvWeight, Rows, with_element};

/// Bytes between two changes that are written along with them rather than left out.
const GAP_BYTES: usize = 16 << 10;

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

/// Blends every layer of the recipe, several at once on the threads of the current rayon pool, and makes the draft the
/// result, if there is one. What happened to each layer.
///
/// # Errors
///
/// Where the source cannot be read or the draft cannot be written.
pub fn apply(
    source: &Checkpoint,
    recipe: &Recipe<'_>,
    draft: Option<&mut Draft<'_>>,
    meter: &dyn Meter,
) -> Result<Vec<Change>, Error> {
    let layers = &recipe.layers;
    let loads: Vec<Load<'_>> = layers.iter().map(LayerRecipe::load).collect();
    let draft = draft.map(|draft| (draft, recipe.fill()));
    for_each_layer(source, draft, &loads, meter, |layer, values, sink| {
        Ok(layers[layer].apply(values, None, sink, meter))
    })
}

/// How to write layers when about this share of their bytes changes. Where it is half, writing the changes twice costs as much as
/// passing what does not change through the hands of those who compute.
pub fn fill_for(share: f64) -> Fill {
    if share < 0.5 {
        Fill::First
    } else {
        Fill::Between
    }
}

/// The bytes of a checkpoint that are copied as they are where these weights are written.
pub(crate) fn copied_bytes<'w>(
    fill: Fill,
    source: &Checkpoint,
    weights: impl Iterator<Item = &'w ConvWeight<'w>>,
) -> u64 {
    match fill {
        Fill::First => source.size(),
        Fill::Between => {
            source.size()
                - weights
                    .map(|weight| weight.bytes_with_copies() as u64)
                    .sum::<u64>()
        }
    }
}

impl Recipe<'_> {
    /// How to write its layers.
    pub fn fill(&self) -> Fill {
        let changed: f64 = self.layers.iter().map(LayerRecipe::changed_bytes).sum();
        let layers = self.layers.iter();
        let all: usize = layers.map(|layer| layer.weight.bytes_with_copies()).sum();
        fill_for(changed / all.max(1) as f64)
    }
}

impl LayerRecipe<'_> {
    /// Bytes of kernels that are merged, each time they are, in all copies of the weight.
    fn changed_bytes(&self) -> f64 {
        let merges: usize = self.rounds.iter().map(Vec::len).sum();
        let kernels = self.weight.layout().kernels();
        merges as f64 / kernels as f64 * self.weight.bytes_with_copies() as f64
    }

    fn load(&self) -> Load<'_> {
        let is_copied = self.rounds.len() > 1 || !self.weight.layout().is_contiguous();
        let memory = if is_copied { self.weight.bytes() } else { 0 };
        Load {
            tensor: self.weight.tensor(),
            copies: self.weight.copies(),
            work: self.weight.bytes() as u64,
            memory,
            allowance: memory,
        }
    }

    /// Blends the layer's kernels, of its tensor's `values`, and hands what they become to the sink, if there is one: the same
    /// bytes for every tensor that holds the weight.
    /// `squares` are the dot products of the kernels with themselves, where they are known.
    /// `meter` is told of bytes as they are dealt with.
    pub fn apply(
        &self,
        values: &[u8],
        squares: Option<&[f64]>,
        sink: Option<&Sink<'_>>,
        meter: &dyn Meter,
    ) -> Change {
        let Some((last, before)) = self.rounds.split_last() else {
            meter.blended(values.len() as u64);
            if let Some(sink) = sink.filter(|sink| sink.fill() == Fill::Between) {
                let pieces = self.weight.tensors().map(Piece::of);
                pieces.for_each(|piece| sink.copy(piece));
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
            meter,
        };
        let changes = match sink {
            Some(sink) if !self.weight.layout().is_contiguous() => {
                round.write_scattered(values, sink)
            }
            _ => round.write_in_order(sink),
        };
        let change: f64 = changes.iter().sum();
        let whole: f64 = match squares {
            Some(squares) => squares.iter().sum(),
            None => self::squares(&rows, partners.len()).iter().sum(),
        };
        let kernels = 0..partners.len();
        Change {
            merged: kernels.filter(|&kernel| round.is_merged(kernel)).count(),
            relative_change: Some((change / whole).sqrt()).filter(|ratio| ratio.is_finite()),
        }
    }
}

/// The last round of a recipe, whose results are written and then forgotten.
struct LastRound<'r> {
    recipe: &'r LayerRecipe<'r>,
    /// The kernels as they are before it.
    rows: &'r Rows<'r>,
    partners: &'r [Option<usize>],
    meter: &'r dyn Meter,
}

impl LastRound<'_> {
    /// Writes kernels that follow each other in the file, a buffer full at a time; computes as much without a sink. How far
    /// each that is written has moved, as [`LastRound::write`] says.
    fn write_in_order(&self, sink: Option<&Sink<'_>>) -> Vec<f64> {
        let row_bytes = self.rows.row_bytes();
        let fill = sink.map_or(Fill::First, Sink::fill);
        let runs: Vec<Range<usize>> = self.runs(fill).collect();
        let kernels_in_runs: usize = runs.iter().map(Range::len).sum();
        let left_out = self.partners.len() - kernels_in_runs;
        self.meter.blended((left_out * row_bytes) as u64);
        let mean_run = kernels_in_runs / runs.len().max(1) * row_bytes;
        let runs = runs.into_par_iter().with_min_len(per_task(mean_run));
        let changes = runs.flat_map_iter(|kernels| {
            let mut buffer = sink.map_or_else(Vec::new, Sink::buffer);
            buffer.resize(kernels.len() * row_bytes, 0);
            let start = kernels.start * row_bytes;
            let rows = kernels.zip(buffer.chunks_exact_mut(row_bytes));
            let changes: Vec<f64> = rows.map(|(kernel, row)| self.write(kernel, row)).collect();
            self.meter.blended(buffer.len() as u64);
            if let Some(sink) = sink {
                sink.write(self.places(start), buffer);
            }
            changes
        });
        changes.collect()
    }

    /// The kernels to write, in runs of at most a buffer: all, or those that are merged and what lies closely between.
    fn runs(&self, fill: Fill) -> impl Iterator<Item = Range<usize>> {
        let row_bytes = self.rows.row_bytes();
        let longest = (PIECE_BYTES / row_bytes).max(1);
        let gap = match fill {
            Fill::First => GAP_BYTES / row_bytes,
            Fill::Between => usize::MAX,
        };
        let all = 0..self.partners.len();
        let merged = all.filter(move |&kernel| fill == Fill::Between || self.is_merged(kernel));
        let mut merged = merged.peekable();
        std::iter::from_fn(move || {
            let first = merged.next()?;
            let mut end = first + 1;
            while let Some(next) =
                merged.next_if(|&next| next - end <= gap && next + 1 - first <= longest)
            {
                end = next + 1;
            }
            Some(first..end)
        })
    }

    fn is_merged(&self, kernel: usize) -> bool {
        self.partners[kernel].is_some() || self.rows.is_merged(kernel)
    }

    /// Writes kernels that are interleaved in the file: as a whole, rather than thousands of runs of a few bytes.
    fn write_scattered(&self, values: &[u8], sink: &Sink<'_>) -> Vec<f64> {
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
        for (number, piece) in values.chunks(PIECE_BYTES).enumerate() {
            let mut buffer = sink.buffer();
            buffer.extend_from_slice(piece);
            sink.write(self.places(number * PIECE_BYTES), buffer);
        }
        changes
    }

    /// Where the bytes from `start` on of the weight lie: a file and a place in it, for each tensor that holds the weight.
    fn places(&self, start: usize) -> impl Iterator<Item = (usize, usize)> {
        let tensors = self.recipe.weight.tensors();
        tensors.map(move |tensor| (tensor.shard, tensor.bytes.start + start))
    }

    /// Writes a kernel as it is after the round; the squared distance to what it was in the source.
    fn write(&self, kernel: usize, row: &mut [u8]) -> f64 {
        let (rows, float) = (self.rows, self.rows.float());
        let own = rows.row(kernel);
        match self.partners[kernel] {
            Some(partner) => self
                .recipe
                .blend
                .kernels(float, own, rows.row(partner), row),
            None => row.copy_from_slice(own),
        }
        if !self.is_merged(kernel) {
            return 0.0;
        }
        if self.recipe.norms_only {
            self.scale(kernel, row);
        }
        with_element!(float, E => exact::squared_distance::<E>(row, rows.original(kernel)))
    }
}

impl LastRound<'_> {
    /// Writes a kernel as it is in the source, scaled to the norm of what stands in the row.
    fn scale(&self, kernel: usize, row: &mut [u8]) {
        let (float, own) = (self.rows.float(), self.rows.original(kernel));
        let square = |row: &[u8]| with_element!(float, E => exact::dot::<E>(row, row));
        let factor = (square(row) / square(own)).sqrt();
        Blend::scaling(factor).kernels(float, own, own, row);
    }
}

/// The dot product of every kernel of the source with itself.
pub fn squares(rows: &Rows<'_>, kernels: usize) -> Vec<f64> {
    (0..kernels)
        .into_par_iter()
        .with_min_len(per_task(rows.row_bytes()))
        .map(|kernel| {
            let row = rows.original(kernel);
            with_element!(rows.float(), E => exact::dot::<E>(row, row))
        })
        .collect()
}
