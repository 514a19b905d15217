//! The products of a tile by `vpdpbusd`, in 512 bits (AVX-512 VNNI) and in 256 (AVX-VNNI).

use std::arch::x86_64::{
    __m256i, __m512i, _mm256_dpbusd_avx_epi32, _mm256_set1_epi8, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_xor_si256, _mm512_dpbusd_epi32, _mm512_set1_epi8,
    _mm512_set1_epi32, _mm512_setzero_si512, _mm512_xor_si512,
};
use std::array::from_fn;

use bytemuck::must_cast;

use super::blocks::each_block;
use super::tile::TileLoop;
use super::{Line, PANEL};

/// Added to an integer by changing one bit: 128, [`Instructions::shift`](super::Instructions::shift).
const SHIFT: i8 = i8::MIN;

/// Rows worked on together in 512 bits: with two panels of columns they take 16 registers, and each column read serves all.
const ROWS: usize = 8;

/// Panels of columns worked on together in 512 bits.
const COLUMNS: usize = 2;

/// The same of rows in 256 bits, with one panel: 8 of the 16 registers, as the columns and a row need some too.
const ROWS_256: usize = 4;

/// # Safety
///
/// The CPU must have AVX-512 VNNI.
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) fn in_512_bits(mut tile: TileLoop<'_>) {
    each_block(&mut tile, ROWS, COLUMNS, |tile, row, panel, count| {
        if count == COLUMNS {
            block_512::<COLUMNS>(tile, row, panel);
        } else {
            block_512::<1>(tile, row, panel);
        }
    });
}

/// The products of [`ROWS`] rows with `N` panels.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn block_512<const N: usize>(tile: &mut TileLoop<'_>, row: usize, panel: usize) {
    let sums = {
        let (own, first) = (tile.panels.panel(row / PANEL), row % PANEL);
        let others = from_fn(|n| &tile.panels.panel(panel + n)[..own.len()]);
        sums_512::<N>(own, first, others, tile.offsets(row))
    };
    for (row, sums) in (row..tile.rows.end).zip(sums) {
        for (n, sums) in sums.into_iter().enumerate() {
            tile.put(row, panel + n, must_cast(sums));
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn sums_512<const N: usize>(
    own: &[Line],
    first: usize,
    others: [&[Line]; N],
    offsets: [i32; ROWS],
) -> [[__m512i; N]; ROWS] {
    let higher = _mm512_set1_epi8(SHIFT);
    let mut sums = [[_mm512_setzero_si512(); N]; ROWS];
    for (sums, offset) in sums.iter_mut().zip(offsets) {
        *sums = [_mm512_set1_epi32(offset); N];
    }
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
    sums
}

/// # Safety
///
/// The CPU must have AVX-VNNI.
#[target_feature(enable = "avx2,avxvnni")]
pub(super) fn in_256_bits(mut tile: TileLoop<'_>) {
    each_block(&mut tile, ROWS_256, 1, |tile, row, panel, _| {
        let sums = {
            let (own, first) = (tile.panels.panel(row / PANEL), row % PANEL);
            sums_256(own, first, tile.panels.panel(panel), tile.offsets(row))
        };
        for (row, sums) in (row..tile.rows.end).zip(sums) {
            tile.put(row, panel, must_cast(sums));
        }
    });
}

#[inline]
#[target_feature(enable = "avx2,avxvnni")]
fn sums_256(
    own: &[Line],
    first: usize,
    others: &[Line],
    offsets: [i32; ROWS_256],
) -> [[__m256i; 2]; ROWS_256] {
    let higher = _mm256_set1_epi8(SHIFT);
    let mut sums = [[_mm256_setzero_si256(); 2]; ROWS_256];
    for (sums, offset) in sums.iter_mut().zip(offsets) {
        *sums = [_mm256_set1_epi32(offset); 2];
    }
    for (own, other) in own.iter().zip(others) {
        let [low, high]: [__m256i; 2] = must_cast(other.0);
        let columns = [
            _mm256_xor_si256(higher, low),
            _mm256_xor_si256(higher, high),
        ];
        for (r, sums) in sums.iter_mut().enumerate() {
            let row = _mm256_set1_epi32(own.0[first + r]);
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = _mm256_dpbusd_avx_epi32(*sum, column, row);
            }
        }
    }
    sums
}
