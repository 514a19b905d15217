//! Kernels of a checkpoint as stored, of all four types, and among them the odd ones.

use half::{bf16, f16};
use inmerge_ckpt::similarity::exact;

use crate::random::Random;

/// The element types by the numbers that the kernels have for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Type {
    F32 = 0,
    F64 = 1,
    F16 = 2,
    BF16 = 3,
}

pub const TYPES: [Type; 4] = [Type::F32, Type::F64, Type::F16, Type::BF16];

/// Numbers of elements with which a kernel's last lanes, warps and blocks end up in every way.
pub const LENGTHS: [usize; 8] = [1, 15, 16, 17, 27, 100, 129, 300];

/// Rows of `d` numbers, packed.
pub struct Rows {
    pub element: Type,
    pub d: usize,
    pub bytes: Vec<u8>,
}

impl Rows {
    /// `count` random rows; about half of them are odd in one way or another.
    pub fn random(random: &mut Random, element: Type, count: usize, d: usize) -> Self {
        let mut rows = Self {
            element,
            d,
            bytes: Vec::new(),
        };
        // The least and the greatest numbers that are used are within each type's range, and so are their squares' sums.
        let [tiny, subnormal, huge] = match element {
            Type::F32 => [1e-12, 1e-40, 1e37],
            Type::F64 => [1e-12, 4e-310, 1e149],
            Type::F16 => [6e-8, 3e-7, 6e4],
            Type::BF16 => [1e-12, 1e-39, 1e37],
        };
        for _ in 0..count {
            let kind = random.below(14);
            for t in 0..d {
                let x = random.signed();
                rows.push(match kind {
                    0 => 0.0,
                    1 => tiny * x / d as f64,
                    2 => subnormal * x,
                    3 => huge * x,
                    4 if t == d / 2 => f64::NAN,
                    5 if t == d / 2 => f64::INFINITY,
                    6 => random.one_of(&[-1.0, 0.0, -0.0, 1.0]),
                    // Very different magnitudes: any other order of summation shows.
                    7 => x * 10f64.powi(random.below(8) as i32 - 4),
                    _ => x,
                });
            }
        }
        rows
    }

    fn push(&mut self, x: f64) {
        match self.element {
            Type::F32 => self.bytes.extend((x as f32).to_le_bytes()),
            Type::F64 => self.bytes.extend(x.to_le_bytes()),
            Type::F16 => self.bytes.extend(f16::from_f64(x).to_le_bytes()),
            Type::BF16 => self.bytes.extend(bf16::from_f64(x).to_le_bytes()),
        }
    }

    pub fn count(&self) -> usize {
        self.bytes.len() / self.row_bytes()
    }

    fn row_bytes(&self) -> usize {
        self.d
            * match self.element {
                Type::F64 => 8,
                Type::F32 => 4,
                Type::F16 | Type::BF16 => 2,
            }
    }

    pub fn row(&self, place: usize) -> &[u8] {
        &self.bytes[place * self.row_bytes()..][..self.row_bytes()]
    }

    /// A row's numbers.
    pub fn numbers(&self, place: usize) -> Vec<f64> {
        let row = self.row(place);
        match self.element {
            Type::F32 => row
                .chunks_exact(4)
                .map(|x| f64::from(f32::from_le_bytes(x.try_into().unwrap())))
                .collect(),
            Type::F64 => row
                .chunks_exact(8)
                .map(|x| f64::from_le_bytes(x.try_into().unwrap()))
                .collect(),
            Type::F16 => row
                .chunks_exact(2)
                .map(|x| f16::from_le_bytes(x.try_into().unwrap()).to_f64())
                .collect(),
            Type::BF16 => row
                .chunks_exact(2)
                .map(|x| bf16::from_le_bytes(x.try_into().unwrap()).to_f64())
                .collect(),
        }
    }

    /// The program's dot product of two rows.
    pub fn dot(&self, a: usize, other: &Self, b: usize) -> f64 {
        let (x, y) = (self.row(a), other.row(b));
        match self.element {
            Type::F32 => exact::dot::<f32>(x, y),
            Type::F64 => exact::dot::<f64>(x, y),
            Type::F16 => exact::dot::<f16>(x, y),
            Type::BF16 => exact::dot::<bf16>(x, y),
        }
    }
}
