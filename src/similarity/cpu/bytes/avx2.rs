//! The products of a tile by AVX2's `vpmaddubsw`.

use std::arch::x86_64::{
    __m256i, _mm256_add_epi8, _mm256_add_epi16, _mm256_add_epi32, _mm256_madd_epi16,
    _mm256_maddubs_epi16, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32,
    _mm256_setzero_si256,
};

use bytemuck::must_cast;

use super::Line;
use super::blocks::{BlockPart, each_block};
use super::tile::TileLoop;

/// [`Instructions::shift`](super::instructions::Instructions::shift).
const SHIFT: i8 = 64;

/// Rows worked on together, with one panel of columns: the sums take 8 of the 16 registers.
const ROWS: usize = 4;

/// Lines whose products are added in 16 bits.
const LINES: usize = 2;

/// By row, the sums of each half of a panel.
type Sums = [[__m256i; 2]; ROWS];

/// # Safety
///
/// The CPU must have AVX2.
#[target_feature(enable = "avx2")]
pub(super) fn run(mut tile: TileLoop<'_>) {
    each_block(&mut tile, ROWS, 1, |tile, block, _| {
        let none = [[_mm256_setzero_si256(); 2]; ROWS];
        block.compute(
            tile,
            none,
            |sums, part| add(sums, part),
            |sums: &Sums, row, _| must_cast(sums[row]),
        );
    });
}

/// Adds the products of a part.
#[inline]
#[target_feature(enable = "avx2")]
fn add(sums: &mut Sums, part: BlockPart<'_, ROWS, 1>) {
    let BlockPart {
        own,
        first,
        others: [others],
        offsets,
    } = part;
    for (sums, offset) in sums.iter_mut().zip(offsets) {
        for sum in sums {
            *sum = _mm256_add_epi32(*sum, _mm256_set1_epi32(offset));
        }
    }
    let (pairs, last) = own.as_chunks::<LINES>();
    let (others, last_other) = others.as_chunks::<LINES>();
    for (own, other) in pairs.iter().zip(others) {
        add_lines(sums, own, first, other);
    }
    for (own, other) in last.iter().zip(last_other) {
        add_lines(sums, &[*own], first, &[*other]);
    }
}

/// Adds the products of some lines.
#[inline]
#[target_feature(enable = "avx2")]
fn add_lines<const N: usize>(sums: &mut Sums, own: &[Line; N], first: usize, other: &[Line; N]) {
    let (higher, ones) = (_mm256_set1_epi8(SHIFT), _mm256_set1_epi16(1));
    let mut columns = [[higher; N]; 2];
    for (line, other) in other.iter().enumerate() {
        let halves: [__m256i; 2] = must_cast(other.0);
        for (columns, half) in columns.iter_mut().zip(halves) {
            columns[line] = _mm256_add_epi8(columns[line], half);
        }
    }
    for (r, sums) in sums.iter_mut().enumerate() {
        let mut rows = [_mm256_setzero_si256(); N];
        for (row, own) in rows.iter_mut().zip(own) {
            *row = _mm256_set1_epi32(own.0[first + r]);
        }
        for (sum, columns) in sums.iter_mut().zip(&columns) {
            let mut products = _mm256_maddubs_epi16(columns[0], rows[0]);
            for (column, row) in columns.iter().zip(rows).skip(1) {
                products = _mm256_add_epi16(products, _mm256_maddubs_epi16(*column, row));
            }
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(products, ones));
        }
    }
}
