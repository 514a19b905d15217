//! The products of a tile by `vpdpbusd`, in 512 bits (AVX-512 VNNI) and in 256 (AVX-VNNI).

use std::arch::x86_64::{
    __m256i, __m512i, _mm256_add_epi32, _mm256_dpbusd_avx_epi32, _mm256_set1_epi8,
    _mm256_set1_epi32, _mm256_setzero_si256, _mm256_xor_si256, _mm512_add_epi32,
    _mm512_dpbusd_epi32, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_setzero_si512,
    _mm512_xor_si512,
};

use bytemuck::must_cast;

use super::blocks::{BlockPart, each_block};
use super::tile::TileLoop;

/// An integer with this bit changed is 128 higher: [`Instructions::shift`](super::instructions::Instructions::shift).
const SHIFT: i8 = i8::MIN;

/// Rows worked on together in 512 bits: with two panels of columns they take 16 registers, and each column read serves all.
const ROWS: usize = 8;

/// Panels of columns worked on together in 512 bits.
const COLUMNS: usize = 2;

/// Rows worked on together in 256 bits, with one panel of columns: the sums take 8 of the 16 registers.
const ROWS_256: usize = 4;

/// # Safety
///
/// The CPU must have AVX-512 VNNI.
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) fn in_512_bits(mut tile: TileLoop<'_>) {
    each_block(&mut tile, ROWS, COLUMNS, |tile, block, count| {
        if count == COLUMNS {
            let none = [[_mm512_setzero_si512(); COLUMNS]; ROWS];
            block.compute(
                tile,
                none,
                |sums, part| add_512::<COLUMNS>(sums, part),
                |sums, row, panel| must_cast(sums[row][panel]),
            );
        } else {
            let none = [[_mm512_setzero_si512(); 1]; ROWS];
            block.compute(
                tile,
                none,
                |sums, part| add_512::<1>(sums, part),
                |sums, row, panel| must_cast(sums[row][panel]),
            );
        }
    });
}

/// Adds the products of a part, by row and panel.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn add_512<const N: usize>(sums: &mut [[__m512i; N]; ROWS], part: BlockPart<'_, ROWS, N>) {
    let BlockPart {
        own,
        first,
        others,
        offsets,
    } = part;
    let others = others.map(|other| &other[..own.len()]);
    for (sums, offset) in sums.iter_mut().zip(offsets) {
        for sum in sums {
            *sum = _mm512_add_epi32(*sum, _mm512_set1_epi32(offset));
        }
    }
    let higher = _mm512_set1_epi8(SHIFT);
    for (at, own) in own.iter().enumerate() {
        let mut columns = [higher; N];
        for (column, other) in columns.iter_mut().zip(&others) {
            *column = _mm512_xor_si512(*column, must_cast(other[at].0));
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            let row = _mm512_set1_epi32(own.0[first + r]);
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = _mm512_dpbusd_epi32(*sum, column, row);
            }
        }
    }
}

/// # Safety
///
/// The CPU must have AVX-VNNI.
#[target_feature(enable = "avx2,avxvnni")]
pub(super) fn in_256_bits(mut tile: TileLoop<'_>) {
    each_block(&mut tile, ROWS_256, 1, |tile, block, _| {
        let none = [[_mm256_setzero_si256(); 2]; ROWS_256];
        block.compute(
            tile,
            none,
            |sums, part| add_256(sums, part),
            |sums, row, _| must_cast(sums[row]),
        );
    });
}

/// Adds the products of a part, by row and half of a panel.
#[inline]
#[target_feature(enable = "avx2,avxvnni")]
fn add_256(sums: &mut [[__m256i; 2]; ROWS_256], part: BlockPart<'_, ROWS_256, 1>) {
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
    let higher = _mm256_set1_epi8(SHIFT);
    for (own, other) in own.iter().zip(others) {
        let halves: [__m256i; 2] = must_cast(other.0);
        let columns = halves.map(|half| _mm256_xor_si256(higher, half));
        for (r, sums) in sums.iter_mut().enumerate() {
            let row = _mm256_set1_epi32(own.0[first + r]);
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = _mm256_dpbusd_avx_epi32(*sum, column, row);
            }
        }
    }
}
