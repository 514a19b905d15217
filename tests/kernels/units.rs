//! `write_units`: unit vectors, once rounded, and their error bounds.

use proptest::prelude::*;

use crate::device::Device;
use crate::random::Random;
use crate::rows::{LENGTHS, Rows, TYPES, Type};

/// Bits of float32's mantissa that a precision drops.
const DROPPED: [u32; 3] = [0, 13, 16];

/// The nearest number that a precision has, to even on a tie: of the three that come into question the one with the least
/// distance.
fn rounded(x: f64, precision: usize) -> f32 {
    let step = 1u32 << DROPPED[precision];
    let near = (x as f32).to_bits() & !(step - 1);
    let candidates = [near.saturating_sub(step), near, near + step].map(f32::from_bits);
    let distance = |candidate: f32| (f64::from(candidate) - x).abs();
    let is_even = |candidate: f32| candidate.to_bits() & step == 0;
    candidates
        .into_iter()
        .filter(|candidate| candidate.is_sign_negative() == x.is_sign_negative())
        .min_by(|&a, &b| {
            let by_distance = distance(a).total_cmp(&distance(b));
            by_distance.then(is_even(b).cmp(&is_even(a)))
        })
        .expect("zero has its sign")
}

/// What the kernel wrote.
struct Units {
    stride: usize,
    numbers: Vec<f32>,
    errors: Vec<f32>,
}

fn write(device: &Device, rows: &Rows, stride: usize, precision: usize, share: f64) -> Units {
    let count = rows.count();
    let squares: Vec<f64> = (0..count).map(|row| rows.dot(row, rows, row)).collect();
    let bytes = device.upload(&rows.bytes);
    let squares = device.upload(&squares);
    let errors = device.fresh::<f32>(count);
    let single = device.fresh::<f32>(count * stride);
    let short = device.fresh::<u16>(count * stride);
    let units: &dyn crate::device::Argument = if precision == 2 { &short } else { &single };
    device.launch(
        "write_units",
        [count, 1],
        128,
        &[
            &bytes,
            &(rows.element as u32),
            &(count as u64),
            &(rows.d as u64),
            &(stride as u64),
            &squares,
            &(precision as u32),
            &share,
            units,
            &errors,
        ],
    );
    let widened = |x: u16| f32::from_bits(u32::from(x) << 16);
    Units {
        stride,
        numbers: match precision {
            2 => short.read().into_iter().map(widened).collect(),
            _ => single.read(),
        },
        errors: errors.read(),
    }
}

/// The unit vector of a row that takes part.
fn unit(rows: &Rows, row: usize) -> Option<Vec<f64>> {
    let norm = rows.dot(row, rows, row).sqrt();
    let inverse = 1.0 / norm;
    (norm >= 1e-8 && norm.is_finite())
        .then(|| rows.numbers(row).iter().map(|x| x * inverse).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_number_is_the_nearest(
        seed in any::<u64>(),
        element in prop::sample::select(&TYPES[..]),
        count in prop::sample::select(&[1usize, 5, 20][..]),
        d in prop::sample::select(&LENGTHS[..]),
        padding in 0usize..9,
        precision in 0usize..3,
    ) {
        let Some(device) = Device::get() else { return Ok(()) };
        let rows = Rows::random(&mut Random(seed), element, count, d);
        let share = 1e-3;
        let written = write(device, &rows, d + padding, precision, share);
        for row in 0..count {
            let numbers = &written.numbers[row * written.stride..][..written.stride];
            let error = written.errors[row];
            prop_assert!(numbers[d..].iter().all(|x| x.to_bits() == 0));
            let Some(unit) = unit(&rows, row) else {
                prop_assert!(error.is_nan() && numbers.iter().all(|x| x.to_bits() == 0), "row {} takes no part", row);
                continue;
            };
            for (x, &exact) in numbers.iter().zip(&unit) {
                prop_assert!(x.to_bits() == rounded(exact, precision).to_bits(), "{:e} for {:e}", x, exact);
            }
            if precision == 0 {
                prop_assert_eq!(error, share as f32);
                continue;
            }
            let squares = numbers.iter().zip(&unit).map(|(&x, exact)| (f64::from(x) - exact).powi(2));
            let e = squares.sum::<f64>().sqrt() * (1.0 + 2f64.powi(-10));
            let bound = e + e * e / 2.0 + share;
            prop_assert!((bound * (1.0 - 1e-9)..=bound * (1.0 + 1e-6)).contains(&f64::from(error)), "{} for {}", error, bound);
        }
    }

    /// Two coarse units' product is off by no more than their two bounds, with nothing for the sum's own rounding.
    #[test]
    fn bounds_hold(
        seed in any::<u64>(),
        d in prop::sample::select(&LENGTHS[..]),
        precision in 1usize..3,
    ) {
        let Some(device) = Device::get() else { return Ok(()) };
        let rows = Rows::random(&mut Random(seed), Type::F32, 24, d);
        let written = write(device, &rows, d, precision, 0.0);
        let numbers = |row: usize| written.numbers[row * d..][..d].iter().map(|&x| f64::from(x));
        for a in 0..24 {
            for b in 0..a {
                let (Some(x), Some(y)) = (unit(&rows, a), unit(&rows, b)) else { continue };
                let exact: f64 = x.iter().zip(&y).map(|(x, y)| x * y).sum();
                let screened: f64 = numbers(a).zip(numbers(b)).map(|(x, y)| x * y).sum();
                let bound = f64::from(written.errors[a]) + f64::from(written.errors[b]);
                prop_assert!((screened - exact).abs() <= bound + 1e-12, "{} for {}: {}", screened, exact, bound);
            }
        }
    }
}

/// Ties, subnormals and carries into the next power of two, which random numbers do not hit: the norm is 1, so they are
/// written as they are.
#[test]
fn rounding_at_the_edges() {
    let Some(device) = Device::get() else { return };
    let mut numbers = vec![1.0f64];
    for precision in [1, 2] {
        let half = f64::from(DROPPED[precision] as i32 - 24).exp2();
        for x in [1e-10, 2f64.powi(-60), 2f64.powi(-126), 2f64.powi(-127)] {
            let power = x.log2().floor().exp2();
            for odd in [0.0, 2.0, 4.0, 6.0] {
                for off in [-1e-7, 0.0, 1e-7] {
                    numbers.push(power * (1.0 + half * (1.0 + odd) * (1.0 + off)));
                    numbers.push(-power * (2.0 - half * (1.0 + odd) * (1.0 + off)));
                }
            }
        }
    }
    // Below float32's normal numbers the distance no longer falls.
    for place in 0..64 {
        numbers.push((f64::from(place) + 0.5) * 2f64.powi(-136));
        numbers.push(-(f64::from(place) + 0.5) * 2f64.powi(-133));
    }
    let rows = Rows {
        element: Type::F64,
        d: numbers.len(),
        bytes: numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
    };
    assert_eq!(rows.dot(0, &rows, 0), 1.0);
    for precision in [1, 2] {
        let written = write(device, &rows, rows.d, precision, 0.0);
        for (x, &exact) in written.numbers.iter().zip(&numbers) {
            let expected = rounded(exact, precision);
            assert_eq!(*x, expected, "{exact:e} in precision {precision}");
        }
    }
}
