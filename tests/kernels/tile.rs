//! Tiles of screened similarities with the odd ones among them, and a plain way through their pairs.

use crate::device::{Argument, Buffer, Device};
use crate::random::Random;

/// Sides with which a tile's last warps, blocks and strips end up in every way.
pub const SIDES: [usize; 10] = [1, 2, 31, 63, 64, 65, 129, 257, 300, 1025];

/// A tile on the host.
pub struct Tile {
    pub rows: usize,
    pub columns: usize,
    pub values: Vec<f32>,
    pub row_errors: Vec<f32>,
    pub column_errors: Vec<f32>,
    pub is_diagonal: bool,
}

/// A pair of two kernels that take part.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    pub row: usize,
    pub column: usize,
    pub value: f32,
    pub row_error: f32,
    pub column_error: f32,
}

impl Pair {
    pub fn at_least(&self) -> f32 {
        (self.value - self.column_error) - self.row_error
    }

    pub fn at_most(&self) -> f32 {
        (self.value + self.column_error) + self.row_error
    }
}

impl Tile {
    /// A random tile, square where it is diagonal. Values repeat, and lie exactly on hundredths and halves; some are NaN, as of
    /// kernels of different groups.
    pub fn random(random: &mut Random, rows: usize, columns: usize, is_diagonal: bool) -> Self {
        let rows = if is_diagonal { columns } else { rows };
        let values = (0..rows * columns)
            .map(|_| match random.below(9) {
                0 => random.one_of(&[-1.0, -0.5, -0.0, 0.0, 0.5, 0.75, 1.0]),
                1 => (random.below(201) as f32 - 100.0) / 100.0,
                2 => random.signed() as f32 * 1.001,
                3 => f32::NAN,
                _ => random.signed() as f32 * 0.1,
            })
            .collect();
        let most = random.one_of(&[0.0, 1e-6, 1e-4, 4e-3]);
        let mut errors = |count: usize| {
            (0..count)
                .map(|_| match random.below(12) {
                    0 => f32::NAN,
                    1 => 0.0,
                    _ => random.signed().abs() as f32 * most,
                })
                .collect::<Vec<f32>>()
        };
        let row_errors = errors(rows);
        let column_errors = match is_diagonal {
            true => row_errors.clone(),
            false => errors(columns),
        };
        Self {
            rows,
            columns,
            values,
            row_errors,
            column_errors,
            is_diagonal,
        }
    }

    /// The pairs of kernels that take part, each with one of its group.
    pub fn pairs(&self) -> impl Iterator<Item = Pair> + '_ {
        let places = (0..self.rows).flat_map(|row| (0..self.columns).map(move |c| (row, c)));
        places
            .map(|(row, column)| Pair {
                row,
                column,
                value: self.values[row * self.columns + column],
                row_error: self.row_errors[row],
                column_error: self.column_errors[column],
            })
            .filter(|pair| !self.is_diagonal || pair.column > pair.row)
            .filter(|pair| !pair.at_least().is_nan())
    }

    /// The tile on the device.
    pub fn upload<'d>(&self, device: &'d Device) -> Uploaded<'d> {
        Uploaded {
            values: device.upload(&self.values),
            rows: self.rows as u32,
            columns: self.columns as u32,
            row_errors: device.upload(&self.row_errors),
            column_errors: device.upload(&self.column_errors),
            diagonal: self.is_diagonal.into(),
        }
    }

    /// The grid for so many of its rows.
    pub fn grid(&self, rows: usize) -> [usize; 2] {
        [self.columns.div_ceil(256), rows.div_ceil(64)]
    }
}

/// A tile on the device.
pub struct Uploaded<'d> {
    values: Buffer<'d, f32>,
    rows: u32,
    columns: u32,
    row_errors: Buffer<'d, f32>,
    column_errors: Buffer<'d, f32>,
    diagonal: u32,
}

impl Uploaded<'_> {
    /// The arguments of a tile kernel: those of the tile and these.
    pub fn and<'a>(&'a self, others: &[&'a dyn Argument]) -> Vec<&'a dyn Argument> {
        let mut arguments: Vec<&dyn Argument> = vec![
            &self.values,
            &self.rows,
            &self.columns,
            &self.row_errors,
            &self.column_errors,
            &self.diagonal,
        ];
        arguments.extend(others);
        arguments
    }
}

/// A float as a number of the same order.
pub fn key(x: f32) -> u32 {
    let bits = x.to_bits();
    if bits >> 31 == 1 {
        !bits
    } else {
        bits | 0x8000_0000
    }
}
