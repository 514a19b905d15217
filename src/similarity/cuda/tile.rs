//! Tiles that a GPU computes and evaluates: only the results are copied back.
//!
//! A copy from or to memory that is not pinned may still be running when the call returns (CUDA's *API synchronization
//! behavior* promises nothing). So each method ends with a wait for its lane, whether it succeeds or not: before anything that
//! was copied is read, and before any memory that is copied from is freed.

use std::ops::Range;

use cudarc::driver::PushKernelArg;

use crate::splitmix::Stream;
use crate::weight::{Rows, with_element};

use super::super::Error as SimilarityError;
use super::super::exact;
use super::super::tile::{
    CellSum, Counted, Found, LossBound, OpenPair, PairBounds, Preference, Preferred, Reached,
    Screened, Tile,
};
use super::buffers::{Buffers, OPEN_COUNTER, RawPair, number};
use super::device::{Device, Lane};
use super::error::Cause;
use super::frame::{Frame, Listing};
use super::launch::{ROWS_A_BLOCK, blocks, type_code};
use super::panel::PanelSlice;

/// Kernels that are compared with each other, or neighbouring groups of such.
#[derive(Clone, Copy, Debug)]
pub struct GroupRows<'g> {
    pub rows: &'g Rows<'g>,
    pub norms: &'g [f64],
    /// The number of the first kernel.
    pub start: usize,
    /// How many there are.
    pub len: usize,
    /// How many of them, from the first on, are compared with each other, and so on: all, or one of several groups.
    pub part: usize,
}

/// A tile on a GPU.
pub(super) struct DeviceTile<'t> {
    device: &'t Device,
    group: &'t GroupRows<'t>,
    /// Kernels of the layer.
    rows: Range<usize>,
    columns: Range<usize>,
    row_slice: PanelSlice<'t>,
    column_slice: PanelSlice<'t>,
    lane: &'t Lane,
    buffers: &'t mut Buffers,
    /// The values, once they have been asked for.
    copy: Vec<f32>,
}

impl<'t> DeviceTile<'t> {
    /// The tile whose values are in the buffers.
    pub fn new(
        device: &'t Device,
        group: &'t GroupRows<'t>,
        [rows, columns]: [Range<usize>; 2],
        [row_slice, column_slice]: [PanelSlice<'t>; 2],
        lane: &'t Lane,
        buffers: &'t mut Buffers,
    ) -> Self {
        Self {
            device,
            group,
            rows,
            columns,
            row_slice,
            column_slice,
            lane,
            buffers,
            copy: Vec::new(),
        }
    }

    fn error(&self, doing: &'static str) -> impl Fn(Cause) -> SimilarityError + use<'t> {
        let device = self.device;
        move |cause| device.error(doing, cause).into()
    }

    /// The first arguments of every kernel for tiles.
    fn frame(&self) -> Frame {
        Frame {
            rows: self.rows.len() as u32,
            columns: self.columns.len() as u32,
            diagonal: u32::from(self.rows == self.columns),
        }
    }

    fn reached_by_kernels(&mut self) -> Result<Reached, Cause> {
        let frame = self.frame();
        let stream = &self.lane.stream;
        let Buffers {
            values,
            keys: [row_keys, column_keys],
            ..
        } = &mut *self.buffers;
        stream.memset_zeros(row_keys)?;
        stream.memset_zeros(column_keys)?;
        let mut launch = stream.launch_builder(&self.device.functions.reached);
        frame.begin(&mut launch, values, &self.row_slice, &self.column_slice);
        launch.arg(&mut *row_keys).arg(&mut *column_keys);
        // SAFETY: the arguments are those of `reached` in kernels/; there are as many keys as rows and as columns.
        unsafe { launch.launch(frame.blocks(self.rows.len())) }?;
        let [row_keys, column_keys] = [
            self.lane.read(&row_keys.slice(..self.rows.len()))?,
            self.lane.read(&column_keys.slice(..self.columns.len()))?,
        ];
        let reached = |keys: Vec<u32>| {
            let number = |key| match key {
                0 => f32::NEG_INFINITY,
                key => number(key),
            };
            keys.into_iter().map(number).collect()
        };
        Ok(Reached {
            rows: reached(row_keys),
            columns: reached(column_keys),
        })
    }

    /// Goes through the tile in strips whose open pairs fit the buffer, in a single one if possible.
    fn in_strips(
        &mut self,
        listing: &Listing<'_>,
        mut take: impl FnMut(Vec<u64>, Vec<(OpenPair, f64)>) -> Result<(), Cause>,
    ) -> Result<(), Cause> {
        let capacity = self.buffers.open.len();
        let surely_fits = (capacity / self.columns.len()).max(1);
        let mut height = self.rows.len();
        let mut first = 0;
        while first < self.rows.len() {
            let strip = first..self.rows.len().min(first + height);
            self.list(listing, strip.clone())?;
            let counter = listing.open_counter;
            let counts = self.lane.read(&self.buffers.counts.slice(..=counter))?;
            let open = counts[counter] as usize;
            if open > capacity {
                if strip.len() <= surely_fits {
                    return Err(Cause::Other(format!(
                        "it counts {open} pairs where there are fewer"
                    )));
                }
                height = surely_fits;
                continue;
            }
            let open = self.compared(open)?;
            take(counts, open)?;
            first = strip.end;
        }
        Ok(())
    }

    /// Counts the pairs of a strip, and lists those that are open.
    fn list(&mut self, listing: &Listing<'_>, strip: Range<usize>) -> Result<(), Cause> {
        let frame = self.frame();
        let stream = &self.lane.stream;
        let Buffers {
            values,
            open,
            counts,
            bounds: [rows, columns],
            ..
        } = &mut *self.buffers;
        stream.memset_zeros(counts)?;
        let (first, end, capacity) = (strip.start as u32, strip.end as u32, open.len() as u32);
        let mut launch = stream.launch_builder(listing.function);
        frame.begin(&mut launch, values, &self.row_slice, &self.column_slice);
        launch.arg(&first).arg(&end);
        if listing.has_bounds {
            launch.arg(&*rows).arg(&*columns);
        }
        for number in listing.numbers {
            launch.arg(number);
        }
        launch.arg(&mut *open).arg(&capacity).arg(&mut *counts);
        // SAFETY: the arguments are those of `open_pairs` and `intervals` in kernels/, of which a listing is one; the bounds
        // of all rows and columns are there where they are taken, `open` has room for `capacity` pairs, and there are 257
        // counters, all that either has.
        unsafe { launch.launch(frame.blocks(strip.len())) }?;
        Ok(())
    }

    /// The first `count` pairs in the buffer, with their similarities by the definition.
    fn compared(&mut self, count: usize) -> Result<Vec<(OpenPair, f64)>, Cause> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let stream = &self.lane.stream;
        let Buffers { open, dots, .. } = &mut *self.buffers;
        let type_code = type_code(self.group.rows.float());
        let (d, pairs) = (self.group.rows.row_len() as u64, count as u32);
        let mut launch = stream.launch_builder(&self.device.functions.dots);
        launch
            .arg(&self.row_slice.rows)
            .arg(&self.column_slice.rows)
            .arg(&type_code)
            .arg(&d);
        launch.arg(&*open).arg(&pairs).arg(&mut *dots);
        // SAFETY: the arguments are those of `dots` in kernels/; the first `count` pairs were written by the kernel that
        // counted them, with places within both parts, and there is room for as many products.
        unsafe { launch.launch(blocks(count.div_ceil(ROWS_A_BLOCK), 256)) }?;
        let pairs = self.lane.read(&open.slice(..count))?;
        let dots = self.lane.read(&dots.slice(..count))?;
        let compared = |(pair, dot): (RawPair, f64)| {
            let (a, b) = (
                self.rows.start + pair.row as usize,
                self.columns.start + pair.column as usize,
            );
            let similarity = exact::cosine(dot, self.group.norms[a], self.group.norms[b]);
            let pair = OpenPair {
                a: a - self.group.start,
                b: b - self.group.start,
                at_most: pair.at_most,
                is_undecided: pair.undecided != 0,
                similarity: Some(similarity),
            };
            (pair, similarity)
        };
        self.check_dot(pairs[0], dots[0])?;
        Ok(pairs.into_iter().zip(dots).map(compared).collect())
    }

    /// Checks the GPU's product of two kernels against the CPU's.
    fn check_dot(&self, pair: RawPair, dot: f64) -> Result<(), Cause> {
        let rows = self.group.rows;
        let x = rows.row(self.rows.start + pair.row as usize);
        let y = rows.row(self.columns.start + pair.column as usize);
        let expected = with_element!(rows.float(), E => exact::dot::<E>(x, y));
        if expected.to_bits() == dot.to_bits() {
            Ok(())
        } else {
            Err(Cause::Wrong(
                "the product of two kernels differs from the CPU's",
            ))
        }
    }

    fn find_pairs(
        &mut self,
        bounds: &PairBounds,
        take: &mut dyn FnMut(Found),
    ) -> Result<(), Cause> {
        let stream = &self.lane.stream;
        let Buffers {
            bounds: [rows, columns],
            ..
        } = &mut *self.buffers;
        let _wait = self.lane.wait_at_the_end();
        stream.memcpy_htod(&bounds.rows, rows)?;
        stream.memcpy_htod(&bounds.columns, columns)?;
        let listing = Listing {
            function: &self.device.functions.open_pairs,
            has_bounds: true,
            numbers: &[bounds.pair, bounds.tau],
            open_counter: 1,
        };
        self.in_strips(&listing, |counts, open| {
            let is_beyond =
                |(pair, similarity): &(OpenPair, f64)| *similarity > f64::from(pair.at_most);
            if open.iter().any(is_beyond) {
                return Err(Cause::Wrong(
                    "a product is off by more than its error bound",
                ));
            }
            take(Found {
                open: open.into_iter().map(|(pair, _)| pair).collect(),
                pairs_above: counts[0],
            });
            Ok(())
        })
    }

    fn best_ranked(
        &mut self,
        tau: f32,
        streams: &[Option<Stream>],
        start: usize,
    ) -> Result<Preferred, Cause> {
        let frame = self.frame();
        let (rows, columns) = (self.rows(), self.columns());
        let streams = [&streams[rows.clone()], &streams[columns.clone()]];
        let stream = &self.lane.stream;
        let Buffers {
            values,
            words: [row_states, column_states, row_best, column_best],
            ..
        } = &mut *self.buffers;
        // Kernels that choose no partner have an arbitrary state: their choice is ignored.
        let states = |streams: &[Option<Stream>]| -> Vec<u64> {
            streams
                .iter()
                .map(|stream| stream.map_or(0, |stream| stream.0))
                .collect()
        };
        let states = streams.map(states);
        let none = vec![u64::MAX; rows.len().max(columns.len())];
        let _wait = self.lane.wait_at_the_end();
        stream.memcpy_htod(&states[0], row_states)?;
        stream.memcpy_htod(&states[1], column_states)?;
        stream.memcpy_htod(&none[..rows.len()], row_best)?;
        stream.memcpy_htod(&none[..columns.len()], column_best)?;
        let first_row = (start + rows.start) as u64;
        let first_column = (start + columns.start) as u64;
        let mut launch = stream.launch_builder(&self.device.functions.best_ranked);
        frame.begin(&mut launch, values, &self.row_slice, &self.column_slice);
        launch
            .arg(&tau)
            .arg(&*row_states)
            .arg(&*column_states)
            .arg(&first_row)
            .arg(&first_column);
        launch.arg(&mut *row_best).arg(&mut *column_best);
        // SAFETY: the arguments are those of `best_ranked` in kernels/; states and ranks of all rows and columns were copied
        // above.
        unsafe { launch.launch(frame.blocks(rows.len())) }?;
        let row_best = self.lane.read(&row_best.slice(..rows.len()))?;
        let column_best = self.lane.read(&column_best.slice(..columns.len()))?;
        let preferences = |best: Vec<u64>, streams: &[Option<Stream>]| {
            let preference = |(&stream, word): (&Option<Stream>, u64)| -> Preference {
                let stream = stream.filter(|_| word != u64::MAX)?;
                Some((word, stream.counter_of(word) as usize))
            };
            streams.iter().zip(best).map(preference).collect()
        };
        Ok(Preferred {
            rows: preferences(row_best, streams[0]),
            columns: preferences(column_best, streams[1]),
        })
    }

    fn least_by_row(&mut self) -> Result<Vec<f32>, Cause> {
        let frame = self.frame();
        let count = 3 * self.rows.len();
        let stream = &self.lane.stream;
        let Buffers {
            values,
            keys: [keys, _],
            ..
        } = &mut *self.buffers;
        let none = vec![u32::MAX; count];
        let _wait = self.lane.wait_at_the_end();
        stream.memcpy_htod(&none, keys)?;
        let mut launch = stream.launch_builder(&self.device.functions.least_losses);
        frame.begin(&mut launch, values, &self.row_slice, &self.column_slice);
        launch.arg(&mut *keys);
        // SAFETY: the arguments are those of `least_losses` in kernels/; there are three keys for every row.
        unsafe { launch.launch(frame.blocks(self.rows.len())) }?;
        let keys = self.lane.read(&keys.slice(..count))?;
        Ok(keys
            .into_iter()
            .map(|key| match key {
                u32::MAX => f32::INFINITY,
                key => number(key),
            })
            .collect())
    }

    fn count(&mut self, losses: [f32; 3], take: &mut dyn FnMut(Counted)) -> Result<(), Cause> {
        let listing = Listing {
            function: &self.device.functions.intervals,
            has_bounds: false,
            numbers: &losses,
            open_counter: OPEN_COUNTER,
        };
        self.in_strips(&listing, |counts, open| {
            take(Counted {
                counts: std::array::from_fn(|interval: usize| counts[interval]),
                open: open
                    .into_iter()
                    .map(|(pair, similarity)| (pair.a, pair.b, Some(similarity)))
                    .collect(),
            });
            Ok(())
        })
    }

    fn sums(&mut self, rows: &[usize], columns: &[usize]) -> Result<Vec<CellSum>, Cause> {
        let frame = self.frame();
        let stream = &self.lane.stream;
        let relative = |cells: &[usize]| -> Vec<u32> {
            cells.iter().map(|cell| (cell - cells[0]) as u32).collect()
        };
        let width = columns[columns.len() - 1] - columns[0] + 1;
        let count = width * (rows[rows.len() - 1] - rows[0] + 1);
        let (rows, columns) = (relative(rows), relative(columns));
        let none = vec![CellSum::EMPTY.max; count];
        let _wait = self.lane.wait_at_the_end();
        let (row_cells, column_cells) = (stream.clone_htod(&rows)?, stream.clone_htod(&columns)?);
        let mut sums = stream.alloc_zeros::<u64>(count)?;
        let mut pairs = stream.alloc_zeros::<u32>(count)?;
        let mut maxima = stream.clone_htod(&none)?;
        let width = width as u32;
        let mut launch = stream.launch_builder(&self.device.functions.cells);
        frame.begin(
            &mut launch,
            &self.buffers.values,
            &self.row_slice,
            &self.column_slice,
        );
        launch.arg(&row_cells).arg(&column_cells).arg(&width);
        launch.arg(&mut sums).arg(&mut pairs).arg(&mut maxima);
        // SAFETY: the arguments are those of `cells` in kernels/; there is a cell for every row and column, and a sum, a number
        // of pairs and a maximum for every cell.
        unsafe { launch.launch(frame.blocks(self.rows.len())) }?;
        let sums = self.lane.read(&sums)?;
        let (pairs, maxima) = (self.lane.read(&pairs)?, self.lane.read(&maxima)?);
        let numbers = pairs.into_iter().zip(maxima);
        let cell = |(sum, (pairs, max)): (u64, (u32, i32))| CellSum {
            sum: sum as i64,
            pairs,
            max,
        };
        Ok(sums.into_iter().zip(numbers).map(cell).collect())
    }
}

impl Tile for DeviceTile<'_> {
    fn rows(&self) -> Range<usize> {
        self.rows.start - self.group.start..self.rows.end - self.group.start
    }

    fn columns(&self) -> Range<usize> {
        self.columns.start - self.group.start..self.columns.end - self.group.start
    }

    fn pairs(&self) -> usize {
        let of_row = self.columns.len().min(self.group.part);
        let all = self.rows.len() * of_row;
        if self.rows == self.columns {
            all / 2
        } else {
            all
        }
    }

    fn reached(&mut self) -> Result<Reached, SimilarityError> {
        self.reached_by_kernels()
            .map_err(self.error("looking for the greatest similarities"))
    }

    fn find(
        &mut self,
        bounds: &PairBounds,
        take: &mut dyn FnMut(Found),
    ) -> Result<Screened, SimilarityError> {
        self.find_pairs(bounds, take)
            .map_err(self.error("looking for pairs"))?;
        Ok(Screened::Whole)
    }

    fn preferred(
        &mut self,
        tau: f32,
        streams: &[Option<Stream>],
        start: usize,
    ) -> Result<Preferred, SimilarityError> {
        self.best_ranked(tau, streams, start)
            .map_err(self.error("choosing partners"))
    }

    fn least_losses(&mut self, wanted: [LossBound; 3]) -> Result<[Vec<f32>; 3], SimilarityError> {
        let losses = self
            .least_by_row()
            .map_err(self.error("looking for extremes"))?;
        // One of each row, so they are of different pairs.
        let mut of_relation = losses.chunks_exact(self.rows.len());
        Ok(wanted.map(|LossBound { below, count }| {
            let losses = of_relation.next().unwrap_or_default();
            let mut least: Vec<f32> = losses
                .iter()
                .copied()
                .filter(|&loss| loss < below)
                .collect();
            least.sort_unstable_by(f32::total_cmp);
            least.truncate(count);
            least
        }))
    }

    /// It compares pairs itself, for each question.
    fn note(&mut self, _: Vec<OpenPair>) {}

    fn count_by_interval(
        &mut self,
        losses: [f32; 3],
        take: &mut dyn FnMut(Counted),
    ) -> Result<(), SimilarityError> {
        self.count(losses, take)
            .map_err(self.error("counting similarities"))
    }

    fn sum_by_cell(
        &mut self,
        rows: &[usize],
        columns: &[usize],
    ) -> Result<Vec<CellSum>, SimilarityError> {
        self.sums(rows, columns)
            .map_err(self.error("drawing similarities"))
    }

    fn values(&mut self) -> Result<&[f32], SimilarityError> {
        let count = self.rows.len() * self.columns.len();
        let values = self.buffers.values.slice(..count);
        let copy = self.lane.read(&values);
        self.copy = copy.map_err(self.error("copying similarities from it"))?;
        Ok(&self.copy)
    }
}
