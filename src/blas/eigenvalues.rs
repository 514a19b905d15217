//! Eigenvalues of symmetric matrices.

use std::ffi::{c_char, c_int};

use ndarray::ArrayViewMut2;
use ndarray_linalg::{Lapack, MatrixLayout, UPLO};

use super::band;
use super::library::expect_functions;
use super::products::extent;

/// Rows from which on the eigenvalues are computed in two stages. One stage reads the matrix once for each row, which takes long where
/// it is too large for the caches: on two cores of an AMD EPYC (Zen 3), 7.7 s for 4096 rows, 0.8 s for 2048 and 0.09 s for 1000, and
/// in two stages 2.9 s, 0.6 s and 0.15 s.
const TWO_STAGES: usize = 2048;

/// The eigenvalues, in rising order, of a symmetric matrix with this many rows, given by its upper triangle row by row.
/// The matrix is destroyed. `None` where LAPACK does not converge.
///
/// # Panics
///
/// If OpenBLAS cannot be loaded, which [`make_room`](super::make_room) reports beforehand; if the matrix is not of n × n numbers, or n
/// is beyond BLAS's 32-bit integers.
pub(crate) fn eigenvalues(n: usize, matrix: &mut [f64]) -> Option<Vec<f64>> {
    assert_eq!(matrix.len(), n * n, "a square matrix");
    let extent = extent(n);
    // Here, where it may panic: `dsyev_` below may not.
    let functions = expect_functions();
    if let Some(functions) = functions.band.filter(|_| n >= TWO_STAGES) {
        let matrix = ArrayViewMut2::from_shape((n, n), matrix).expect("a square matrix");
        return band::eigenvalues(functions, matrix);
    }
    let layout = MatrixLayout::F {
        col: extent,
        lda: extent,
    };
    // An upper triangle row by row is a lower one column by column. `eigvalsh` computes eigenvectors, too, and drops them (in
    // 0.18), which takes several times as long.
    f64::eigh(false, layout, UPLO::Lower, matrix).ok()
}

/// What `ndarray-linalg` calls, and a linker would find in a BLAS: LAPACK's `dsyev`, of the one that is loaded.
///
/// # Safety
///
/// As of LAPACK's own: the pointers are to what its documentation says.
#[unsafe(no_mangle)]
unsafe extern "C" fn dsyev_(
    vectors: *const c_char,
    triangle: *const c_char,
    n: *const c_int,
    matrix: *mut f64,
    stride: *const c_int,
    eigenvalues: *mut f64,
    work: *mut f64,
    work_length: *const c_int,
    info: *mut c_int,
) {
    let dsyev = expect_functions().dsyev;
    // SAFETY: the caller's contract is LAPACK's; each of the two texts is of one letter.
    unsafe {
        dsyev(
            vectors,
            triangle,
            n,
            matrix,
            stride,
            eigenvalues,
            work,
            work_length,
            info,
            1,
            1,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_triangle_is_not_looked_at() {
        // Of [[2, 1], [1, 2]].
        let found = eigenvalues(2, &mut [2.0, 1.0, f64::NAN, 2.0]).unwrap();
        assert!((found[0] - 1.0).abs() < 1e-15, "{found:?}");
        assert!((found[1] - 3.0).abs() < 1e-15, "{found:?}");
        assert_eq!(eigenvalues(1, &mut [5.0]), Some(vec![5.0]));
    }
}
