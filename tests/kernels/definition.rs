//! `measure` and `dots`: the program's own float64 definition, bit for bit.

use proptest::prelude::*;

use crate::device::{Device, OpenPair};
use crate::random::Random;
use crate::rows::{LENGTHS, Rows, TYPES};

/// Whether two results are the same; which NaN one is depends on the machine.
fn is_same(x: f64, y: f64) -> bool {
    x.to_bits() == y.to_bits() || x.is_nan() && y.is_nan()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn squares_are_the_definitions(
        seed in any::<u64>(),
        element in prop::sample::select(&TYPES[..]),
        count in prop::sample::select(&[1usize, 2, 15, 16, 17, 40][..]),
        d in prop::sample::select(&LENGTHS[..]),
    ) {
        let Some(device) = Device::get() else { return Ok(()) };
        let rows = Rows::random(&mut Random(seed), element, count, d);
        let bytes = device.upload(&rows.bytes);
        let squares = device.fresh::<f64>(count);
        device.launch(
            "measure",
            [count.div_ceil(16), 1],
            256,
            &[&bytes, &(element as u32), &(count as u64), &(d as u64), &squares],
        );
        for (row, square) in squares.read().into_iter().enumerate() {
            let expected = rows.dot(row, &rows, row);
            prop_assert!(is_same(square, expected), "row {}: {:e}, not {:e}", row, square, expected);
        }
    }

    #[test]
    fn dots_are_the_definitions(
        seed in any::<u64>(),
        element in prop::sample::select(&TYPES[..]),
        count in prop::sample::select(&[1usize, 15, 16, 17, 100][..]),
        d in prop::sample::select(&LENGTHS[..]),
    ) {
        let Some(device) = Device::get() else { return Ok(()) };
        let random = &mut Random(seed);
        let [a, b] = [7, 23].map(|count| Rows::random(random, element, count, d));
        let pairs: Vec<OpenPair> = (0..count)
            .map(|_| OpenPair {
                row: random.below(a.count()) as u32,
                column: random.below(b.count()) as u32,
                at_most: 0.5,
                undecided: 1,
            })
            .collect();
        let [rows_a, rows_b] = [&a, &b].map(|rows| device.upload(&rows.bytes));
        let dots = device.fresh::<f64>(count);
        device.launch(
            "dots",
            [count.div_ceil(16), 1],
            256,
            &[&rows_a, &rows_b, &(element as u32), &(d as u64), &device.upload(&pairs), &(count as u32), &dots],
        );
        for (pair, dot) in pairs.iter().zip(dots.read()) {
            let expected = a.dot(pair.row as usize, &b, pair.column as usize);
            prop_assert!(is_same(dot, expected), "{:?}: {:e}, not {:e}", pair, dot, expected);
        }
    }
}

/// Every number of the 16-bit types, each alone in its row: the square is exact in float64.
#[test]
fn widening_is_exact() {
    let Some(device) = Device::get() else { return };
    for element in [TYPES[2], TYPES[3]] {
        let rows = Rows {
            element,
            d: 1,
            bytes: (0..=u16::MAX).flat_map(u16::to_le_bytes).collect(),
        };
        let bytes = device.upload(&rows.bytes);
        let squares = device.fresh::<f64>(rows.count());
        device.launch(
            "measure",
            [rows.count().div_ceil(16), 1],
            256,
            &[
                &bytes,
                &(element as u32),
                &(rows.count() as u64),
                &1u64,
                &squares,
            ],
        );
        for (row, square) in squares.read().into_iter().enumerate() {
            let x = rows.numbers(row)[0];
            assert!(is_same(square, x * x), "{element:?} {row:#06x}: {square:e}");
        }
    }
}
