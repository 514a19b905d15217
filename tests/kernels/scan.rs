//! `reached`, `open_pairs` and `best_ranked`: what a plan needs of a tile.

use std::collections::BTreeMap;

use inmerge_ckpt::plan::Draws;
use proptest::prelude::*;

use crate::device::{Device, OpenPair};
use crate::random::Random;
use crate::tile::{SIDES, Tile, key};

/// A random tile's seed, sides, and whether it is diagonal.
fn tiles() -> impl Strategy<Value = (u64, usize, usize, bool)> {
    let side = || prop::sample::select(&SIDES[..]);
    (any::<u64>(), side(), side(), any::<bool>())
}

/// Lists of open pairs by place, and fails if one is there twice.
fn by_place(pairs: &[OpenPair]) -> BTreeMap<(u32, u32), (u32, u32)> {
    let places: BTreeMap<_, _> = pairs
        .iter()
        .map(|pair| {
            (
                (pair.row, pair.column),
                (pair.at_most.to_bits(), pair.undecided),
            )
        })
        .collect();
    assert_eq!(places.len(), pairs.len());
    places
}

/// The state of a kernel's draw for its partner.
fn state(draws: Draws, kernel: usize) -> u64 {
    draws.partner(kernel).ranks().0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn maxima_are_those_of_the_pairs((seed, rows, columns, is_diagonal) in tiles()) {
        let Some(device) = Device::get() else { return Ok(()) };
        let random = &mut Random(seed);
        let tile = Tile::random(random, rows, columns, is_diagonal);
        // Some have been reached by other tiles already.
        let mut before = |count: usize| -> Vec<u32> {
            (0..count).map(|_| if random.below(2) == 0 { 0 } else { key(random.signed() as f32) }).collect()
        };
        let (mut row_keys, mut column_keys) = (before(tile.rows), before(tile.columns));
        let (on_rows, on_columns) = (device.upload(&row_keys), device.upload(&column_keys));
        device.launch("reached", tile.grid(tile.rows), 256, &tile.upload(device).and(&[&on_rows, &on_columns]));
        for pair in tile.pairs() {
            let reached = key(pair.at_least());
            row_keys[pair.row] = row_keys[pair.row].max(reached);
            column_keys[pair.column] = column_keys[pair.column].max(reached);
        }
        prop_assert_eq!(on_rows.read(), row_keys);
        prop_assert_eq!(on_columns.read(), column_keys);
    }

    #[test]
    fn open_pairs_are_those_that_matter(
        (seed, rows, columns, is_diagonal) in tiles(),
        tau in prop::sample::select(&[-1.0f32, 0.0, 0.1, 0.5, 0.75, 0.9, 1.0][..]),
        with_bounds in any::<bool>(),
        room in prop::sample::select(&[0.0, 0.5, 1.0, 1.5][..]),
    ) {
        let Some(device) = Device::get() else { return Ok(()) };
        let random = &mut Random(seed);
        let tile = Tile::random(random, rows, columns, is_diagonal);
        let ends = [random.below(tile.rows + 1), random.below(tile.rows + 1)];
        let [first, end] = [ends[0].min(ends[1]), if ends[0] == ends[1] { tile.rows } else { ends[0].max(ends[1]) }];
        prop_assume!(first < end);
        let mut bounds = |count: usize| -> Vec<f32> {
            let mut bound = || match random.below(3) {
                0 if with_bounds => 0.75,
                1 if with_bounds => random.signed() as f32,
                _ => f32::INFINITY,
            };
            (0..count).map(|_| bound()).collect()
        };
        let (row_bounds, column_bounds) = (bounds(tile.rows), bounds(tile.columns));
        let pair_bound = if with_bounds { 0.99 } else { f32::INFINITY };

        let mut above = 0;
        let mut expected = Vec::new();
        for pair in tile.pairs().filter(|pair| (first..end).contains(&pair.row)) {
            let at_most = pair.at_most();
            let is_above = pair.at_least() > tau;
            above += u64::from(is_above);
            let undecided = at_most >= tau && !is_above;
            let bound = row_bounds[pair.row].min(column_bounds[pair.column]).min(pair_bound);
            if undecided || at_most >= bound {
                let (row, column) = (pair.row as u32, pair.column as u32);
                expected.push(OpenPair { row, column, at_most, undecided: undecided.into() });
            }
        }

        let capacity = (expected.len() as f64 * room) as usize;
        let out = device.fresh::<OpenPair>(capacity);
        let counts = device.upload(&[7u64, 0]);
        let (row_bounds, column_bounds) = (device.upload(&row_bounds), device.upload(&column_bounds));
        device.launch(
            "open_pairs",
            tile.grid(end - first),
            256,
            &tile.upload(device).and(&[
                &(first as u32), &(end as u32), &row_bounds, &column_bounds, &pair_bound, &tau,
                &out, &(capacity as u32), &counts,
            ]),
        );
        prop_assert_eq!(counts.read(), [7 + above, expected.len() as u64]);
        let expected = by_place(&expected);
        let found = out.read();
        let found = by_place(&found[..capacity.min(expected.len())]);
        for (place, pair) in &found {
            prop_assert_eq!(expected.get(place), Some(pair));
        }
    }

    #[test]
    fn the_best_ranked_are_those_of_the_draws(
        (seed, rows, columns, is_diagonal) in tiles(),
        tau in prop::sample::select(&[-2.0f32, 0.0, 0.1, 0.5, 1.0][..]),
    ) {
        let Some(device) = Device::get() else { return Ok(()) };
        let random = &mut Random(seed);
        let tile = Tile::random(random, rows, columns, is_diagonal);
        let draws = Draws::new(seed, 3, "layer");
        let first_row = random.below(1 << 20);
        let first_column = if is_diagonal { first_row } else { random.below(1 << 20) };
        let states = |first: usize, count: usize| -> Vec<u64> {
            (first..first + count).map(|kernel| state(draws, kernel)).collect()
        };
        let mut row_best = vec![u64::MAX; tile.rows];
        let mut column_best = vec![u64::MAX / 50; tile.columns];
        let (on_rows, on_columns) = (device.upload(&row_best), device.upload(&column_best));
        let row_states = device.upload(&states(first_row, tile.rows));
        let column_states = device.upload(&states(first_column, tile.columns));
        device.launch(
            "best_ranked",
            tile.grid(tile.rows),
            256,
            &tile.upload(device).and(&[
                &tau, &row_states, &column_states, &(first_row as u64), &(first_column as u64), &on_rows, &on_columns,
            ]),
        );
        for pair in tile.pairs().filter(|pair| pair.at_least() > tau) {
            let (row, column) = (first_row + pair.row, first_column + pair.column);
            let best = &mut row_best[pair.row];
            *best = draws.partner(row).ranks().word(column as u64).min(*best);
            let best = &mut column_best[pair.column];
            *best = draws.partner(column).ranks().word(row as u64).min(*best);
        }
        prop_assert_eq!(on_rows.read(), row_best);
        prop_assert_eq!(on_columns.read(), column_best);
    }
}
