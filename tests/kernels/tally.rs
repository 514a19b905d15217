//! `least_losses` and `intervals`: how similarities are spread.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::device::{Device, OpenPair};
use crate::random::Random;
use crate::tile::{SIDES, Tile, key};

/// What pairs with no error are counted in, where nothing else is asked for.
const NO_BOUND: f32 = f32::NEG_INFINITY;

fn tiles() -> impl Strategy<Value = (u64, usize, usize, bool)> {
    let side = || prop::sample::select(&SIDES[..]);
    (any::<u64>(), side(), side(), any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn losses_are_the_least((seed, rows, columns, is_diagonal) in tiles()) {
        let Some(device) = Device::get() else { return Ok(()) };
        let random = &mut Random(seed);
        let tile = Tile::random(random, rows, columns, is_diagonal);
        let mut keys = vec![u32::MAX; 3 * tile.rows];
        // One has been found in another tile.
        keys[random.below(3 * tile.rows)] = key(-0.3);
        let on_device = device.upload(&keys);
        device.launch("least_losses", tile.grid(tile.rows), 256, &tile.upload(device).and(&[&on_device]));
        for pair in tile.pairs() {
            for (which, loss) in [-pair.value, pair.value.abs(), pair.value].into_iter().enumerate() {
                let least = &mut keys[which * tile.rows + pair.row];
                *least = key((loss + pair.column_error) + pair.row_error).min(*least);
            }
        }
        prop_assert_eq!(on_device.read(), keys);
    }

    #[test]
    fn every_pair_is_counted_or_open(
        (seed, rows, columns, is_diagonal) in tiles(),
        similar in prop::sample::select(&[NO_BOUND, -1.0, -0.95, 2.0][..]),
        orthogonal in prop::sample::select(&[NO_BOUND, 0.0, 0.001][..]),
        opposite in prop::sample::select(&[NO_BOUND, -1.0, -0.95][..]),
        room in prop::sample::select(&[0.0, 0.5, 1.0, 1.5][..]),
    ) {
        let Some(device) = Device::get() else { return Ok(()) };
        let random = &mut Random(seed);
        let tile = Tile::random(random, rows, columns, is_diagonal);
        let first = random.below(tile.rows);
        let end = first + 1 + random.below(tile.rows - first);

        let mut expected = vec![0u64; 257];
        // As other tiles have left them.
        expected[100] = 1 << 40;
        let initial = expected.clone();
        let mut open = BTreeSet::new();
        for pair in tile.pairs().filter(|pair| (first..end).contains(&pair.row)) {
            let error = pair.column_error + pair.row_error;
            let (middle, reach) = (pair.value * 100.0 + 101.0, error * 100.0);
            let [low, high] = [(middle - reach) as i32, (middle + reach) as i32];
            let is_open = low != high
                || -pair.value - error <= similar
                || pair.value.abs() - error <= orthogonal
                || pair.value - error <= opposite;
            if is_open {
                open.insert((pair.row as u32, pair.column as u32));
            } else {
                expected[low as usize] += 1;
            }
        }
        expected[256] = open.len() as u64;

        let capacity = (open.len() as f64 * room) as usize;
        let out = device.fresh::<OpenPair>(capacity);
        let counts = device.upload(&initial);
        device.launch(
            "intervals",
            tile.grid(end - first),
            256,
            &tile.upload(device).and(&[
                &(first as u32), &(end as u32), &similar, &orthogonal, &opposite, &out, &(capacity as u32), &counts,
            ]),
        );
        prop_assert_eq!(counts.read(), expected);
        let written = &out.read()[..capacity.min(open.len())];
        let found: BTreeSet<_> = written.iter().map(|pair| (pair.row, pair.column)).collect();
        prop_assert_eq!(found.len(), written.len());
        prop_assert!(found.is_subset(&open));
        prop_assert!(written.iter().all(|pair| pair.at_most == 0.0 && pair.undecided == 0));
    }
}

/// Beyond what any similarity can be there is no interval to count in.
#[test]
fn impossible_values_stay_open() {
    let Some(device) = Device::get() else { return };
    let values = vec![-3.0, -1.015, 0.5, 1.54, 1.56, 1e30, -1e30];
    let tile = Tile {
        rows: 1,
        columns: values.len(),
        row_errors: vec![0.0],
        column_errors: vec![0.0; values.len()],
        values,
        is_diagonal: false,
    };
    let out = device.fresh::<OpenPair>(8);
    let counts = device.upload(&[0u64; 257]);
    device.launch(
        "intervals",
        [1, 1],
        256,
        &tile.upload(device).and(&[
            &0u32, &1u32, &NO_BOUND, &NO_BOUND, &NO_BOUND, &out, &8u32, &counts,
        ]),
    );
    let counts = counts.read();
    let counted: Vec<usize> = (0..256).filter(|&place| counts[place] > 0).collect();
    // -1.015 is half an interval below the first, to which it is truncated, as on the processor.
    assert_eq!(counted, [0, 151, 255]);
    assert_eq!(counts[256], 4);
}
