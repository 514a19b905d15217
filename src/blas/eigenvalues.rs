//! Eigenvalues of symmetric matrices.

use std::ffi::c_int;
use std::ptr;

use super::library::expect_functions;

/// The eigenvalues, in rising order, of a symmetric matrix of so many rows, of which the upper triangle is given row by row.
/// The matrix is destroyed. `None` where LAPACK does not converge.
///
/// # Panics
///
/// If OpenBLAS cannot be loaded, which [`load`](super::load) tells beforehand; if the matrix is not of n × n numbers, or n
/// is beyond BLAS's 32-bit integers.
pub(crate) fn eigenvalues(n: usize, matrix: &mut [f64]) -> Option<Vec<f64>> {
    assert_eq!(matrix.len(), n * n, "a square matrix");
    let extent = c_int::try_from(n).expect("an extent within BLAS's integers");
    let dsyev = expect_functions().dsyev;
    let mut eigenvalues = vec![0.0; n];
    let mut call = |matrix: *mut f64, work: &mut [f64], work_length: c_int| {
        let mut info = 0;
        // SAFETY: the matrix has n columns of n numbers, or is not looked at where only the length of the workspace is
        // asked for; there is room for n eigenvalues, and the workspace is as long as is said.
        // An upper triangle row by row is a lower one column by column, as Fortran has it.
        unsafe {
            dsyev(
                c"N".as_ptr(),
                c"L".as_ptr(),
                &extent,
                matrix,
                &extent,
                eigenvalues.as_mut_ptr(),
                work.as_mut_ptr(),
                &work_length,
                &mut info,
                1,
                1,
            );
        }
        info
    };
    let mut best_length = [0.0];
    if call(ptr::null_mut(), &mut best_length, -1) != 0 {
        return None;
    }
    let mut work = vec![0.0; best_length[0] as usize];
    let work_length = c_int::try_from(work.len()).expect("a workspace within BLAS's integers");
    (call(matrix.as_mut_ptr(), &mut work, work_length) == 0).then_some(eigenvalues)
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
