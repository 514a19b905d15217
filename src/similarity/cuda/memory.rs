//! How a layer is laid out in a part of a GPU's memory.

use super::device::LANES;

/// Kernels in a panel and along a side of a tile. 2048² float32 are 16 MiB, which stay in the L2 cache of large GPUs while they
/// are read; smaller tiles would keep fewer multiprocessors busy.
const SIDE: usize = 2048;

/// Pairs that a tile may leave open before it is evaluated in strips.
const OPEN: usize = 1 << 18;

/// Bytes for an open pair: its places and its similarity.
const OPEN_BYTES: usize = 24;

/// Bytes for each place along a side of a tile: bounds, keys and words, for rows and columns.
const PLACE_BYTES: usize = 160;

/// Bytes for each kernel beside its numbers: error bound and square.
const KERNEL_BYTES: usize = 16;

/// The extents of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub kernels: usize,
    /// Kernels that are compared with each other.
    pub group: usize,
    /// Bytes of a kernel as stored.
    pub row_bytes: usize,
    /// Bytes of its unit vector.
    pub unit_bytes: usize,
}

/// How a layer is laid out: panels of kernels, some of them resident at a time, and tiles within one or between two of
/// them, in lanes that run side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MemoryPlan {
    /// Kernels in a panel: whole groups, where several are joined.
    pub panel: usize,
    /// Kernels of the groups that are joined in one tile, or of one group where none are.
    pub joined: usize,
    /// Panels that are resident at a time.
    pub resident: usize,
    /// Places along a side of a tile at most.
    pub side: usize,
    pub lanes: usize,
    /// Open pairs that a lane has room for; at least a row of a tile.
    pub open: usize,
}

impl MemoryPlan {
    /// A plan within this many bytes, for a host with this many threads; `None` if there is none.
    ///
    /// Tiles are as large as possible: first with all panels resident and several lanes, so that some compute while others are
    /// evaluated, then with one lane, for which two panels must be resident. Where a panel has room for several groups, they are
    /// joined in one tile: most of its places are of no pair then, but it takes as many launches and waits as one group.
    pub fn new(bytes: usize, shape: Shape, threads: usize) -> Option<Self> {
        let mut most_in_panel = SIDE.min(shape.kernels);
        loop {
            let groups = most_in_panel / shape.group;
            let (panel, joined) = match groups {
                0 | 1 => (most_in_panel, shape.group),
                several => (several * shape.group, several * shape.group),
            };
            let panels = shape.kernels.div_ceil(panel);
            let side = panel.min(joined);
            let tiles = joined.div_ceil(side) * shape.kernels.div_ceil(joined);
            let most = tiles.min(threads).clamp(1, LANES);
            for lanes in (1..=most).rev() {
                let open = (side * side).min(OPEN);
                let lane = side * side * size_of::<f32>() + open * OPEN_BYTES + side * PLACE_BYTES;
                let panel_bytes = panel * (shape.row_bytes + shape.unit_bytes + KERNEL_BYTES);
                let resident = bytes.saturating_sub(lanes * lane) / panel_bytes;
                let needed = if lanes > 1 { panels } else { panels.min(2) };
                if resident >= needed {
                    return Some(Self {
                        panel,
                        joined,
                        resident: resident.min(panels),
                        side,
                        lanes,
                        open,
                    });
                }
            }
            if most_in_panel == 1 {
                return None;
            }
            most_in_panel = most_in_panel.div_ceil(2);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: usize = 1 << 20;

    fn wide() -> Shape {
        Shape {
            kernels: 8192,
            group: 8192,
            row_bytes: 2304 * 4,
            unit_bytes: 2304 * 4,
        }
    }

    #[test]
    fn a_layer_that_fits_is_resident_and_has_all_lanes() {
        let plan = MemoryPlan::new(512 * MIB, wide(), 8).unwrap();
        let expected = MemoryPlan {
            panel: SIDE,
            joined: 8192,
            resident: 4,
            side: SIDE,
            lanes: LANES,
            open: OPEN,
        };
        assert_eq!(plan, expected);
        assert_eq!(MemoryPlan::new(512 * MIB, wide(), 1).unwrap().lanes, 1);
    }

    #[test]
    fn a_layer_that_does_not_fit_is_streamed_in_ever_smaller_panels() {
        let plan = MemoryPlan::new(120 * MIB, wide(), 8).unwrap();
        assert_eq!((plan.panel, plan.resident, plan.lanes), (SIDE, 2, 1));
        let plan = MemoryPlan::new(MIB, wide(), 8).unwrap();
        assert!(plan.panel < 32 && plan.resident >= 2, "{plan:?}");
        assert_eq!(MemoryPlan::new(1000, wide(), 8), None);
    }

    #[test]
    fn small_groups_are_joined_as_long_as_they_fit() {
        let grouped = |kernels, group| Shape {
            kernels,
            group,
            row_bytes: 288 * 4,
            unit_bytes: 288 * 4,
        };
        // ResNeXt's widest, one of odd groups, and groups of which no two make a tile.
        for (kernels, group, joined, side, panel) in [
            (1024, 32, 1024, 1024, 1024),
            (4096, 32, 2048, 2048, 2048),
            (3000, 300, 1800, 1800, 1800),
            (3000, 1500, 1500, 1500, 2048),
            (6000, 3000, 3000, 2048, 2048),
        ] {
            let plan = MemoryPlan::new(512 * MIB, grouped(kernels, group), 8).unwrap();
            assert_eq!(
                (plan.joined, plan.side, plan.panel),
                (joined, side, panel),
                "{kernels} {group}"
            );
        }
        // Where memory is short, fewer are joined, and at last none.
        let joined = |kib: usize| {
            MemoryPlan::new(kib << 10, grouped(1024, 32), 1)
                .unwrap()
                .joined
        };
        let [enough, less, least] = [64 << 10, 2 << 10, 64].map(joined);
        assert!(
            enough == 1024 && less < 1024 && less > 32 && less % 32 == 0 && least == 32,
            "{less} {least}"
        );
    }

    proptest! {
        #[test]
        fn a_plan_keeps_to_its_bytes(
            megabytes in 1usize..1000,
            kernels in 1usize..20_000,
            groups in 1usize..50,
            d in 1usize..5000,
            threads in 1usize..20,
        ) {
            let shape = Shape { kernels: kernels * groups, group: kernels, row_bytes: d * 4, unit_bytes: d.next_multiple_of(8) * 4 };
            if let Some(plan) = MemoryPlan::new(megabytes * MIB, shape, threads) {
                let panels = plan.resident * plan.panel * (shape.row_bytes + shape.unit_bytes);
                let tiles = plan.lanes * (plan.side * plan.side * 4 + plan.open * OPEN_BYTES);
                prop_assert!(panels + tiles <= megabytes * MIB);
                prop_assert!(plan.open >= plan.side && plan.side <= plan.panel);
                prop_assert!(plan.joined.is_multiple_of(shape.group));
                prop_assert!(plan.joined == shape.group || plan.joined == plan.panel && plan.joined == plan.side);
                prop_assert!(plan.resident >= shape.kernels.div_ceil(plan.panel).min(2));
            }
        }
    }
}
