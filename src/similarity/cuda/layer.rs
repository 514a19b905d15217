//! The kernels of one layer on a GPU.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::{CudaSlice, CudaView, LaunchConfig, PushKernelArg};

use crate::checkpoint::FloatType;
use crate::weight::{Rows, with_element};

use super::super::exact;
use super::super::tile::Tile;
use super::super::{Error as SimilarityError, group::upper_tiles};
use super::blas::UnitRows;
use super::device::{Device, Lane};
use super::error::{Cause, Error};
use super::memory::{MemoryPlan, Shape};
use super::precision::DevicePrecision;
use super::tile::{Buffers, DeviceTile};

/// Numbers to a multiple of which the unit vectors' stride is rounded up, so that each begins at 16 bytes.
const ALIGNMENT: usize = 8;

/// Threads of a block that measures kernels: 16 a kernel.
pub(super) const ROWS_A_BLOCK: usize = 16;

/// The kernels of one layer on a GPU: those panels that its memory has room for, the others to be copied there again.
#[derive(Debug)]
pub struct Layer {
    pub(super) device: Arc<Device>,
    precision: DevicePrecision,
    plan: MemoryPlan,
    kernels: usize,
    pub(super) d: usize,
    stride: usize,
    pub(super) float: FloatType,
    /// The panels that are resident, with their numbers; the one that was asked for last at the end.
    resident: Mutex<VecDeque<(usize, Arc<Panel>)>>,
}

/// Some neighbouring kernels on a GPU.
#[derive(Debug)]
pub(super) struct Panel {
    /// The number of the first.
    start: usize,
    /// As stored.
    rows: CudaSlice<u8>,
    units: CudaSlice<u8>,
    errors: CudaSlice<f32>,
    squares: CudaSlice<f64>,
}

/// Kernels that are compared with each other.
#[derive(Clone, Copy, Debug)]
pub struct Group<'g> {
    /// The layer's kernels.
    pub rows: &'g Rows<'g>,
    /// Their norms.
    pub norms: &'g [f64],
    /// The number of the group's first kernel.
    pub start: usize,
    /// How many there are.
    pub len: usize,
}

/// A part of a panel: some kernels in a row.
pub(super) struct Part<'p> {
    pub rows: CudaView<'p, u8>,
    pub units: UnitRows<'p>,
    pub errors: CudaView<'p, f32>,
}

impl Layer {
    /// Copies kernels to the GPU and makes their unit vectors there, for groups of `group` of them. For each kernel its
    /// dot product with itself, by the definition, and its error bound.
    ///
    /// # Errors
    ///
    /// Where the GPU fails, or has not the memory for two small panels.
    pub(in super::super) fn load(
        device: &Arc<Device>,
        precision: DevicePrecision,
        rows: &Rows<'_>,
        kernels: usize,
        group: usize,
    ) -> Result<(Self, Vec<(f64, f32)>), Error> {
        let _working = device.clock.working.run();
        let d = rows.row_len();
        let stride = d.next_multiple_of(ALIGNMENT);
        let shape = Shape {
            kernels,
            group,
            row_bytes: rows.row_bytes(),
            unit_bytes: stride * precision.size(),
        };
        let threads = rayon::current_num_threads();
        let plan =
            MemoryPlan::new(device.share(), shape, threads).ok_or_else(|| Error::TooSmall {
                device: device.name().to_owned(),
                have: device.share(),
                kernel_bytes: rows.row_bytes(),
            })?;
        let layer = Self {
            device: Arc::clone(device),
            precision,
            plan,
            kernels,
            d,
            stride,
            float: rows.float(),
            resident: Mutex::new(VecDeque::new()),
        };
        let lane = device.lane()?;
        let mut measured = Vec::with_capacity(kernels);
        for number in 0..kernels.div_ceil(plan.panel) {
            let panel = layer.panel(number, rows, &lane)?;
            let read = || {
                let squares = lane.read(&panel.squares)?;
                let errors = lane.read(&panel.errors)?;
                check_squares(rows, panel.start, &squares)?;
                Ok::<_, Cause>((squares, errors))
            };
            let (squares, errors) =
                read().map_err(|cause| device.error("measuring kernels", cause))?;
            measured.extend(squares.into_iter().zip(errors));
        }
        drop(lane);
        Ok((layer, measured))
    }

    /// Shows every pair of a group once, in tiles of the upper triangle, to `visit`.
    ///
    /// # Errors
    ///
    /// The first one of a visit, or of the GPU.
    pub(in super::super) fn for_each_tile(
        &self,
        group: &Group<'_>,
        visit: &(dyn Fn(&mut dyn Tile) -> Result<(), SimilarityError> + Sync),
    ) -> Result<(), SimilarityError> {
        let _working = self.device.clock.working.run();
        let pieces = self.pieces(group);
        let tiles: Vec<(usize, usize)> = upper_tiles(pieces.len(), 1)
            .map(|(row, column)| (row.start, column.start))
            .collect();
        let next = AtomicUsize::new(0);
        let run_lane = || {
            let lane = self.device.lane()?;
            let mut buffers = Buffers::new(&lane, &self.plan)
                .map_err(|cause| self.device.error("making room for a tile", cause))?;
            while let Some(&(row, column)) = tiles.get(next.fetch_add(1, Ordering::Relaxed)) {
                let (rows, columns) = (pieces[row].clone(), pieces[column].clone());
                self.visit_tile(group, rows, columns, &lane, &mut buffers, visit)
                    .inspect_err(|_| next.store(tiles.len(), Ordering::Relaxed))?;
            }
            Ok(())
        };
        let others = self.plan.lanes.min(tiles.len()).saturating_sub(1);
        std::thread::scope(|scope| {
            // Where a thread cannot be started, the lanes that there are do its tiles.
            let others = (0..others).map_while(|_| {
                let thread = std::thread::Builder::new();
                thread.spawn_scoped(scope, run_lane).ok()
            });
            let others: Vec<_> = others.collect();
            let this = run_lane();
            others.into_iter().fold(this, |result, other| {
                let other = other.join();
                result.and(other.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            })
        })
    }

    fn visit_tile(
        &self,
        group: &Group<'_>,
        rows: Range<usize>,
        columns: Range<usize>,
        lane: &Lane,
        buffers: &mut Buffers,
        visit: &(dyn Fn(&mut dyn Tile) -> Result<(), SimilarityError> + Sync),
    ) -> Result<(), SimilarityError> {
        let number = |kernels: &Range<usize>| kernels.start / self.plan.panel;
        let row_panel = self.panel(number(&rows), group.rows, lane)?;
        let column_panel = self.panel(number(&columns), group.rows, lane)?;
        let parts = [
            self.part(&row_panel, rows.clone()),
            self.part(&column_panel, columns.clone()),
        ];
        lane.blas
            .products(
                self.precision,
                self.stride,
                &parts[0].units,
                &parts[1].units,
                &mut buffers.values,
            )
            .map_err(|cause| self.device.error("multiplying", cause))?;
        let mut tile = DeviceTile::new(self, group, [rows, columns], parts, lane, buffers);
        let visited = visit(&mut tile);
        // Panels may be dropped now, whatever came of the visit.
        let waited = lane.stream.synchronize();
        visited?;
        Ok(waited.map_err(|error| self.device.error("finishing a tile", error))?)
    }

    /// The group's kernels in pieces of which each is within one panel and no longer than a tile's side.
    fn pieces(&self, group: &Group<'_>) -> Vec<Range<usize>> {
        let end = group.start + group.len;
        let mut pieces = Vec::new();
        let mut start = group.start;
        while start < end {
            let panel_end = (start / self.plan.panel + 1) * self.plan.panel;
            let piece = start..end.min(panel_end).min(start + self.plan.side);
            start = piece.end;
            pieces.push(piece);
        }
        pieces
    }

    /// Some kernels of a panel.
    fn part<'p>(&self, panel: &'p Panel, kernels: Range<usize>) -> Part<'p> {
        let places = kernels.start - panel.start..kernels.end - panel.start;
        let bytes = |size: usize| places.start * size..places.end * size;
        Part {
            rows: panel.rows.slice(bytes(self.d * self.float.size())),
            units: UnitRows {
                bytes: panel
                    .units
                    .slice(bytes(self.stride * self.precision.size())),
                count: places.len(),
            },
            errors: panel.errors.slice(places),
        }
    }

    /// A panel, copied to the GPU if it is not there; then that which was not asked for longest makes room.
    fn panel(&self, number: usize, rows: &Rows<'_>, lane: &Lane) -> Result<Arc<Panel>, Error> {
        let mut resident = self.lock();
        let panel = match resident
            .iter()
            .position(|&(resident, _)| resident == number)
        {
            Some(place) => resident.remove(place).map(|(_, panel)| panel),
            None => None,
        };
        let panel = match panel {
            Some(panel) => panel,
            None => {
                while resident.len() >= self.plan.resident
                    && let Some((_, oldest)) = resident.pop_front()
                {
                    // Memory comes back in the order of the stream that it was taken on: before more is taken on this one.
                    let stream = Arc::clone(oldest.rows.stream());
                    drop(oldest);
                    let waited = stream.synchronize();
                    waited.map_err(|error| self.device.error("making room", error))?;
                }
                let start = number * self.plan.panel;
                let kernels = start..self.kernels.min(start + self.plan.panel);
                let panel = self.copy(kernels, rows, lane);
                Arc::new(panel.map_err(|cause| self.device.error("copying kernels to it", cause))?)
            }
        };
        resident.push_back((number, Arc::clone(&panel)));
        Ok(panel)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(usize, Arc<Panel>)>> {
        self.resident.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies kernels to the GPU, measures them and writes their unit vectors.
    fn copy(&self, kernels: Range<usize>, rows: &Rows<'_>, lane: &Lane) -> Result<Panel, Cause> {
        let (stream, functions) = (&lane.stream, &self.device.functions);
        let count = kernels.len();
        let start = kernels.start;
        let stored = rows.bytes(kernels);
        let _wait = lane.wait_at_the_end();
        let copying = self.device.clock.copying.run();
        let bytes = stream.clone_htod(&*stored)?;
        drop(copying);
        // SAFETY: all three are written in full by the kernels below before anything reads them.
        let (mut units, mut errors, mut squares) = unsafe {
            (
                stream.alloc::<u8>(count * self.stride * self.precision.size())?,
                stream.alloc::<f32>(count)?,
                stream.alloc::<f64>(count)?,
            )
        };
        let type_code = type_code(self.float);
        let (n, d, stride) = (count as u64, self.d as u64, self.stride as u64);
        let mut measure = stream.launch_builder(&functions.measure);
        measure
            .arg(&bytes)
            .arg(&type_code)
            .arg(&n)
            .arg(&d)
            .arg(&mut squares);
        // SAFETY: the arguments are those of `measure` in kernels/; it reads `count` rows of d numbers, which `bytes` holds,
        // and writes as many squares.
        unsafe { measure.launch(blocks(count.div_ceil(ROWS_A_BLOCK), 256)) }?;
        let (precision, share) = (self.precision.code(), self.precision.share(self.d));
        let mut write_units = stream.launch_builder(&functions.write_units);
        write_units
            .arg(&bytes)
            .arg(&type_code)
            .arg(&n)
            .arg(&d)
            .arg(&stride)
            .arg(&squares);
        write_units
            .arg(&precision)
            .arg(&share)
            .arg(&mut units)
            .arg(&mut errors);
        // SAFETY: the arguments are those of `write_units` in kernels/; it reads what `measure` did and its squares, and writes
        // `count` rows of `stride` numbers of this precision, and as many errors.
        unsafe { write_units.launch(blocks(count, 128)) }?;
        Ok(Panel {
            start,
            rows: bytes,
            units,
            errors,
            squares,
        })
    }
}

/// Checks that the GPU has measured the first and the last of some kernels as the processor does.
fn check_squares(rows: &Rows<'_>, start: usize, squares: &[f64]) -> Result<(), Cause> {
    for place in [0, squares.len() - 1] {
        let row = rows.row(start + place);
        let square = with_element!(rows.float(), E => exact::dot::<E>(row, row));
        if square.to_bits() != squares[place].to_bits()
            && !(square.is_nan() && squares[place].is_nan())
        {
            return Err(Cause::Wrong(
                "the norm of a kernel is another than the processor's",
            ));
        }
    }
    Ok(())
}

/// So many blocks of so many threads, in one dimension.
pub(super) fn blocks(blocks: usize, threads: u32) -> LaunchConfig {
    LaunchConfig {
        grid_dim: (blocks as u32, 1, 1),
        block_dim: (threads, 1, 1),
        shared_mem_bytes: 0,
    }
}

/// As the kernels number the types of stored numbers.
pub(super) fn type_code(float: FloatType) -> u32 {
    match float {
        FloatType::F32 => 0,
        FloatType::F64 => 1,
        FloatType::F16 => 2,
        FloatType::Bf16 => 3,
    }
}
