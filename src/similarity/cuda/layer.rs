//! The kernels of one layer on a GPU.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::weight::Rows;

use super::super::Error as SimilarityError;
use super::super::tile::{Tile, upper_tiles};
use super::buffers::Buffers;
use super::device::{Device, Lane};
use super::error::Error;
use super::memory::{MemoryPlan, Shape};
use super::panel::{Panel, UnitFormat};
use super::precision::DevicePrecision;
use super::tile::{DeviceTile, GroupRows};

/// The kernels of one layer on a GPU. Panels that do not fit its memory are copied again when they are needed.
#[derive(Debug)]
pub struct Layer {
    device: Arc<Device>,
    format: UnitFormat,
    plan: MemoryPlan,
    kernels: usize,
    /// The panels that are resident, with their numbers; the most recently used one is last.
    resident: Mutex<VecDeque<(usize, Arc<Panel>)>>,
}

impl Layer {
    /// Copies kernels to the GPU, in groups of `group` kernels, and makes their unit vectors there. Returns for each kernel its dot
    /// product with itself, by the definition, and its error bound.
    ///
    /// # Errors
    ///
    /// If the GPU fails, or has too little memory for two small panels.
    pub(in super::super) fn load(
        device: &Arc<Device>,
        precision: DevicePrecision,
        rows: &Rows<'_>,
        kernels: usize,
        group: usize,
    ) -> Result<(Self, Vec<(f64, f32)>), Error> {
        let _working = device.clock.working.run();
        let format = UnitFormat::new(precision, rows.row_len());
        let shape = Shape {
            kernels,
            group,
            row_bytes: rows.row_bytes(),
            unit_bytes: format.bytes(),
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
            format,
            plan,
            kernels,
            resident: Mutex::new(VecDeque::new()),
        };
        let lane = device.lane()?;
        let mut measured = Vec::with_capacity(kernels);
        for number in 0..kernels.div_ceil(plan.panel) {
            let panel = layer.panel(number, rows, &lane)?;
            let read = panel.measured(rows, &lane);
            measured.extend(read.map_err(|cause| device.error("measuring kernels", cause))?);
        }
        drop(lane);
        Ok((layer, measured))
    }

    /// How many kernels may be computed together, of groups that are compared each for itself: whole groups that make one tile,
    /// or one group.
    pub(in super::super) fn joined(&self) -> usize {
        self.plan.joined
    }

    /// Calls `visit` with tiles that cover the upper triangle of a group, so that every pair is seen once; with one tile for as many
    /// whole groups as [`Layer::joined`] says, in which pairs of different groups do not count.
    ///
    /// # Errors
    ///
    /// The first one of a visit, or of the GPU.
    pub(in super::super) fn for_each_tile(
        &self,
        group: &GroupRows<'_>,
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
            // If a thread cannot be started, the other lanes do its tiles.
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
        group: &GroupRows<'_>,
        rows: Range<usize>,
        columns: Range<usize>,
        lane: &Lane,
        buffers: &mut Buffers,
        visit: &(dyn Fn(&mut dyn Tile) -> Result<(), SimilarityError> + Sync),
    ) -> Result<(), SimilarityError> {
        let number = |kernels: &Range<usize>| kernels.start / self.plan.panel;
        let row_panel = self.panel(number(&rows), group.rows, lane)?;
        let column_panel = self.panel(number(&columns), group.rows, lane)?;
        let slices = [
            row_panel.slice(rows.clone()),
            column_panel.slice(columns.clone()),
        ];
        let UnitFormat { precision, stride } = self.format;
        let [row_units, column_units] = [&slices[0].units, &slices[1].units];
        let out = &mut buffers.values;
        let multiplied = if group.part < group.len {
            (lane.blas).products_within_groups(precision, stride, row_units, group.part, out)
        } else {
            (lane.blas).products(precision, stride, row_units, column_units, out)
        };
        multiplied.map_err(|cause| self.device.error("multiplying", cause))?;
        let mut tile = DeviceTile::new(&self.device, group, [rows, columns], slices, lane, buffers);
        let visited = visit(&mut tile);
        // Panels may be dropped from here on, even if the visit failed.
        let waited = lane.stream.synchronize();
        visited?;
        Ok(waited.map_err(|error| self.device.error("finishing a tile", error))?)
    }

    /// The group's kernels in pieces, each within one panel and no longer than a tile's side. Groups that are joined are one piece,
    /// as they begin where a panel does and are no longer.
    fn pieces(&self, group: &GroupRows<'_>) -> Vec<Range<usize>> {
        let end = group.start + group.len;
        let mut pieces = Vec::new();
        let mut start = group.start;
        while start < end {
            let panel_end = (start / self.plan.panel + 1) * self.plan.panel;
            let piece = start..end.min(panel_end).min(start + self.plan.side);
            start = piece.end;
            pieces.push(piece);
        }
        assert!(group.part == group.len || pieces.len() == 1, "{group:?}");
        pieces
    }

    /// A panel, copied to the GPU if it is not there; the one that was asked for longest ago makes room for it.
    fn panel(&self, number: usize, rows: &Rows<'_>, lane: &Lane) -> Result<Arc<Panel>, Error> {
        let mut resident = self.lock();
        let index = resident
            .iter()
            .position(|&(resident, _)| resident == number);
        let panel = match index.and_then(|index| resident.remove(index)) {
            Some((_, panel)) => panel,
            None => {
                while resident.len() >= self.plan.resident
                    && let Some((_, oldest)) = resident.pop_front()
                {
                    // The stream that the memory was allocated on frees it in order: that must happen before this one allocates.
                    let stream = oldest.stream();
                    drop(oldest);
                    let waited = stream.synchronize();
                    waited.map_err(|error| self.device.error("making room", error))?;
                }
                let start = number * self.plan.panel;
                let kernels = start..self.kernels.min(start + self.plan.panel);
                let panel = Panel::copy(&self.device, self.format, rows, kernels, lane);
                Arc::new(panel.map_err(|cause| self.device.error("copying kernels to it", cause))?)
            }
        };
        resident.push_back((number, Arc::clone(&panel)));
        Ok(panel)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(usize, Arc<Panel>)>> {
        self.resident.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
