//! Eigenvalues of large symmetric matrices, by way of band matrices.
//!
//! The two stages of LAPACK's `dsyev_2stage` (Bischof, Lang and Sun, *A framework for symmetric band reduction*, ACM Trans. Math. Softw.
//! 26(4), 2000). The second is LAPACK's. The first, by far the longer one, LAPACK does on one thread (`dsytrd_sy2sb`); here its products
//! are on all, in parts that are the same however many there are, and so are the digits.

use std::ffi::c_int;
use std::ops::Range;
use std::ptr;

use ndarray::{Array1, Array2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;

use super::library::BandFunctions;
use super::products::{add_products, extent, products};

/// How far from the diagonal the band reaches, and how many rows are reduced at once: more are multiplied faster, fewer make the
/// second stage faster. From 32 to 96 it makes little difference.
const WIDTH: usize = 64;

/// Rows that one thread multiplies.
const ROWS: usize = 128;

/// The eigenvalues, in rising order, of a symmetric matrix, given by its upper triangle, which is destroyed. `None` where LAPACK does
/// not converge.
pub(super) fn eigenvalues(
    functions: BandFunctions,
    mut matrix: ArrayViewMut2<'_, f64>,
) -> Option<Vec<f64>> {
    reduce(functions, &mut matrix);
    let n = matrix.nrows();
    let mut band = Array2::zeros((n, WIDTH + 1));
    for (place, mut row) in band.rows_mut().into_iter().enumerate() {
        let end = n.min(place + WIDTH + 1);
        let kept = matrix.slice(s![place, place..end]);
        row.slice_mut(s![..end - place]).assign(&kept);
    }
    of_band(functions, band)
}

/// The eigenvalues, in rising order, of a band matrix whose rows are given from the diagonal on.
fn of_band(functions: BandFunctions, mut band: Array2<f64>) -> Option<Vec<f64>> {
    let (n, width) = (extent(band.nrows()), extent(band.ncols() - 1));
    let mut eigenvalues = vec![0.0; band.nrows()];
    let mut info = 0;
    let mut call = |work: &mut [f64], length: c_int| {
        // SAFETY: row by row from the diagonal on is what LAPACK calls the lower triangle of a band, column by column; there is room
        // for n eigenvalues, for none of the vectors, which are not wanted, and for `length` numbers, or the one that says how
        // many it takes (length -1).
        unsafe {
            (functions.dsbev_2stage)(
                c"N".as_ptr(),
                c"L".as_ptr(),
                &n,
                &width,
                band.as_mut_ptr(),
                &(width + 1),
                eigenvalues.as_mut_ptr(),
                ptr::null_mut(),
                &1,
                work.as_mut_ptr(),
                &length,
                &mut info,
                1,
                1,
            );
        }
        info
    };
    let mut length = [0.0];
    call(&mut length, -1);
    let length = length[0] as usize;
    (call(&mut vec![0.0; length], extent(length)) == 0).then_some(eigenvalues)
}

/// Reduces a symmetric matrix, given by its upper triangle, to the band of the places up to [`WIDTH`] right of the diagonal. The
/// numbers outside that are meaningless afterwards.
fn reduce(functions: BandFunctions, matrix: &mut ArrayViewMut2<'_, f64>) {
    let n = matrix.nrows();
    mirror_blocks(matrix);
    for from in (0..n.saturating_sub(WIDTH)).step_by(WIDTH) {
        let start = from + WIDTH;
        // The numbers right of the band are Rᵀ·Qᵀ, with Q = I − V·T·Vᵀ: Rᵀ is lower triangular and within the band.
        let panel = matrix.slice_mut(s![from..start, start..]);
        let (v, t) = factored(functions, panel);
        transform(matrix, start, &v, &t);
    }
}

/// Makes the blocks on the diagonal whole, which are multiplied as they are.
fn mirror_blocks(matrix: &mut ArrayViewMut2<'_, f64>) {
    for rows in blocks(0..matrix.nrows()) {
        let mut block = matrix.slice_mut(s![rows.clone(), rows]);
        for i in 0..block.nrows() {
            for j in 0..i {
                block[[i, j]] = block[[j, i]];
            }
        }
    }
}

/// Puts Rᵀ in the place of a panel Rᵀ·Qᵀ, and returns the reflectors Vᵀ and the triangle Tᵀ of Q = I − V·T·Vᵀ.
fn factored(
    functions: BandFunctions,
    mut panel: ArrayViewMut2<'_, f64>,
) -> (Array2<f64>, Array2<f64>) {
    let (rows, m) = panel.dim();
    let count = rows.min(m);
    // Row by row what LAPACK takes for column by column. A copy, as columns that lie a power of two apart share their cache lines.
    let mut v = panel.to_owned();
    let mut t = Array2::zeros((count, count));
    let mut work = Array1::<f64>::zeros(count * rows);
    let (rows, columns, block) = (extent(m), extent(rows), extent(count));
    let mut info = 0;
    // SAFETY: there are m × `rows` numbers column by column, `count`² for the triangle, and as many to work with as are needed.
    unsafe {
        (functions.dgeqrt)(
            &rows,
            &columns,
            &block,
            v.as_mut_ptr(),
            &rows,
            t.as_mut_ptr(),
            &block,
            work.as_mut_ptr(),
            &mut info,
        );
    }
    assert_eq!(info, 0, "arguments as LAPACK wants them");
    for (r, mut row) in v.rows_mut().into_iter().enumerate() {
        let kept = m.min(r + 1);
        panel
            .slice_mut(s![r, ..kept])
            .assign(&row.slice(s![..kept]));
        row.slice_mut(s![..kept]).fill(0.0);
        if r < m {
            row[r] = 1.0;
        }
    }
    (v.slice_move(s![..count, ..]), t)
}

/// Replaces the matrix A of the rows and columns from `start` on by Qᵀ·A·Q = A − V·Wᵀ − W·Vᵀ, where Y = A·V·T and
/// W = Y − V·(Tᵀ·Vᵀ·Y)/2.
fn transform(matrix: &mut ArrayViewMut2<'_, f64>, start: usize, v: &Array2<f64>, t: &Array2<f64>) {
    let (count, m) = v.dim();
    let mut w = Array2::zeros((m, count));
    let whole = matrix.view();
    in_blocks(w.view_mut(), start)
        .into_par_iter()
        .for_each(|(rows, out)| {
            let mut product = Array2::zeros(out.dim());
            let behind = v.slice(s![.., rows.start - start..]);
            products(
                whole.slice(s![rows.clone(), rows.start..]),
                behind,
                product.view_mut(),
            );
            // What is left of the diagonal is stored above it.
            let above = whole.slice(s![start..rows.start, rows.clone()]);
            let before = v.slice(s![.., ..rows.start - start]);
            add_products(above.t(), before, product.view_mut());
            products(product.view(), t.view(), out);
        });
    let (mut inner, mut half) = (Array2::zeros((count, count)), Array2::zeros((count, count)));
    products(v.view(), w.t(), inner.view_mut());
    products(t.view(), inner.t(), half.view_mut());
    half *= -0.5;
    add_products(v.t(), half.t(), w.view_mut());

    let mut left = Array2::zeros((m, 2 * count));
    left.slice_mut(s![.., ..count]).assign(&-&v.t());
    left.slice_mut(s![.., count..]).assign(&-&w);
    let mut right = Array2::zeros((m, 2 * count));
    right.slice_mut(s![.., ..count]).assign(&w);
    right.slice_mut(s![.., count..]).assign(&v.t());
    let lower = matrix.slice_mut(s![start.., ..]);
    in_blocks(lower, start)
        .into_par_iter()
        .for_each(|(rows, mut out)| {
            add_products(
                left.slice(s![rows.start - start..rows.end - start, ..]),
                right.slice(s![rows.start - start.., ..]),
                out.slice_mut(s![.., rows.start..]),
            );
        });
}

/// The rows in blocks that end at multiples of [`ROWS`], whatever they start with.
fn blocks(rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let first = rows.start / ROWS * ROWS;
    (first..rows.end)
        .step_by(ROWS)
        .map(move |start| start.max(rows.start)..rows.end.min(start + ROWS))
}

/// A matrix whose rows are those from `start` on, in these blocks.
fn in_blocks(
    matrix: ArrayViewMut2<'_, f64>,
    start: usize,
) -> Vec<(Range<usize>, ArrayViewMut2<'_, f64>)> {
    let end = start + matrix.nrows();
    let mut rest = Some(matrix);
    let split = |rows: Range<usize>| {
        let (block, others) = rest.take()?.split_at(Axis(0), rows.len());
        rest = Some(others);
        Some((rows, block))
    };
    blocks(start..end).filter_map(split).collect()
}

#[cfg(test)]
mod tests {
    use super::super::library::expect_functions;
    use super::*;

    /// The upper triangle of a symmetric matrix without pattern.
    fn noise(n: usize) -> Array2<f64> {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 8) / f64::from(1 << 24) - 0.5
        };
        Array2::from_shape_fn((n, n), |(i, j)| if j < i { f64::NAN } else { next() })
    }

    fn found(mut matrix: Array2<f64>) -> Vec<f64> {
        let functions = expect_functions().band.expect("a LAPACK since 3.7");
        eigenvalues(functions, matrix.view_mut()).unwrap()
    }

    #[test]
    fn two_stages_find_what_one_does() {
        // Nothing to reduce, a last panel of one row, one of all, and blocks that are cut.
        for n in [1, 2, WIDTH, WIDTH + 1, 2 * WIDTH, 2 * WIDTH + 1, 300, 451] {
            let matrix = noise(n);
            let two = found(matrix.clone());
            let mut one = matrix;
            let one = super::super::eigenvalues(n, one.as_slice_mut().unwrap()).unwrap();
            let greatest = one.iter().fold(0.0f64, |m, x| m.max(x.abs()));
            for (a, b) in two.iter().zip(&one) {
                assert!((a - b).abs() < 1e-13 * greatest, "{a} {b} of {n}");
            }
        }
    }

    #[test]
    fn known_eigenvalues_are_found() {
        // Of the path of n nodes: 2 − 2·cos(π·k/n) (its Laplacian).
        let n = 200;
        let laplacian = Array2::from_shape_fn((n, n), |(i, j)| match j.abs_diff(i) {
            0 if i == 0 || i + 1 == n => 1.0,
            0 => 2.0,
            1 => -1.0,
            _ => 0.0,
        });
        // Turned by a reflection, so that there is something to reduce.
        let mirror = {
            let u = Array2::from_shape_fn((n, 1), |(i, _)| ((i + 1) as f64).sin());
            let square = u.iter().map(|x| x * x).sum::<f64>();
            Array2::eye(n) - u.dot(&u.t()) * (2.0 / square)
        };
        let two = found(mirror.dot(&laplacian).dot(&mirror));
        for (k, value) in two.iter().enumerate() {
            let expected = 2.0 - 2.0 * (std::f64::consts::PI * k as f64 / n as f64).cos();
            assert!((value - expected).abs() < 1e-13, "{value} {expected}");
        }
    }

    #[test]
    fn digits_are_the_same_on_any_number_of_threads() {
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build().unwrap().install(|| found(noise(500)))
        };
        let one = on(1);
        assert!(
            one.iter()
                .zip(on(3))
                .all(|(a, b)| a.to_bits() == b.to_bits())
        );
    }
}
