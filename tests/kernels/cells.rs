//! `cells`: the reduced similarity map.

use proptest::prelude::*;

use crate::device::Device;
use crate::random::Random;
use crate::tile::{SIDES, Tile};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn cells_are_sums_over_their_pairs(
        seed in any::<u64>(),
        rows in prop::sample::select(&SIDES[..]),
        columns in prop::sample::select(&SIDES[..]),
        is_diagonal in any::<bool>(),
        across in prop::sample::select(&[1usize, 2, 5, 16, 33, 100, 2000][..]),
        is_scattered in any::<bool>(),
    ) {
        let Some(device) = Device::get() else { return Ok(()) };
        let random = &mut Random(seed);
        let tile = Tile::random(random, rows, columns, is_diagonal);
        let mut cells_of = |count: usize| -> Vec<u32> {
            (0..count)
                .map(|place| match is_scattered {
                    true => random.below(across.min(count)) as u32,
                    false => (place * across.min(count) / count) as u32,
                })
                .collect()
        };
        let (row_cells, column_cells) = (cells_of(tile.rows), cells_of(tile.columns));
        let width = column_cells.iter().max().unwrap() + 1;
        let cells = (row_cells.iter().max().unwrap() + 1) as usize * width as usize;

        // As other tiles have left them.
        let (mut sums, mut pairs, mut maxima) = (vec![-5i64; cells], vec![2u32; cells], vec![i32::MIN; cells]);
        let on_device = (device.upload(&sums), device.upload(&pairs), device.upload(&maxima));
        device.launch(
            "cells",
            tile.grid(tile.rows),
            256,
            &tile.upload(device).and(&[
                &device.upload(&row_cells), &device.upload(&column_cells), &width,
                &on_device.0, &on_device.1, &on_device.2,
            ]),
        );
        for pair in tile.pairs() {
            let cell = (row_cells[pair.row] * width + column_cells[pair.column]) as usize;
            let fixed = (pair.value.clamp(-1.0, 1.0) * (1 << 30) as f32) as i32;
            sums[cell] += i64::from(fixed);
            pairs[cell] += 1;
            maxima[cell] = maxima[cell].max(fixed);
        }
        prop_assert_eq!(on_device.0.read(), sums);
        prop_assert_eq!(on_device.1.read(), pairs);
        prop_assert_eq!(on_device.2.read(), maxima);
    }
}
