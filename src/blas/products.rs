//! Products of matrices.

use std::ffi::c_int;

use ndarray::{ArrayView2, ArrayViewMut2};

use super::library::{Gemm, expect_functions};

/// `CblasRowMajor` and its like, of cblas.h.
const ROW_MAJOR: c_int = 101;
const AS_IT_IS: c_int = 111;
const TRANSPOSED: c_int = 112;
const UPPER: c_int = 121;

/// The numbers that products are made of.
pub(crate) trait Number: Copy {
    const ZERO: Self;
    const ONE: Self;

    /// BLAS's product of general matrices, loaded if it is not.
    fn gemm() -> Gemm<Self>;
}

impl Number for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    fn gemm() -> Gemm<Self> {
        expect_functions().sgemm
    }
}

impl Number for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    fn gemm() -> Gemm<Self> {
        expect_functions().dgemm
    }
}

/// The products of all rows of `a` with all rows of `b`: `a·bᵀ`.
///
/// # Panics
///
/// As [`add_products`] does.
pub(crate) fn products<T: Number>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    out: ArrayViewMut2<'_, T>,
) {
    multiply(a, b, T::ZERO, out);
}

/// Adds the products of all rows of `a` with all rows of `b` to `out`.
///
/// # Panics
///
/// If OpenBLAS cannot be loaded, which [`make_room`](super::make_room) reports beforehand; if an extent is beyond BLAS's 32-bit integers
/// or does not fit the others; if `out` is not row-major, or another has gaps between its numbers along both axes.
pub(crate) fn add_products<T: Number>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    out: ArrayViewMut2<'_, T>,
) {
    multiply(a, b, T::ONE, out);
}

/// `out ← a·bᵀ + beta·out`
fn multiply<T: Number>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    beta: T,
    mut out: ArrayViewMut2<'_, T>,
) {
    let ((m, k), n) = (a.dim(), b.nrows());
    assert_eq!((b.ncols(), out.dim()), (k, (m, n)), "extents that fit");
    let to = Stored::of(&out.view());
    assert!(to.is_row_major, "a row-major product");
    let (from, with) = (Stored::of(&a), Stored::of(&b));
    let gemm = T::gemm();
    // SAFETY: BLAS reads `a` and `b` and writes `out` within their extents, which fit, at the strides that they have; `out`
    // is borrowed mutably, so that it overlaps neither.
    unsafe {
        gemm(
            ROW_MAJOR,
            if from.is_row_major {
                AS_IT_IS
            } else {
                TRANSPOSED
            },
            if with.is_row_major {
                TRANSPOSED
            } else {
                AS_IT_IS
            },
            extent(m),
            extent(n),
            extent(k),
            T::ONE,
            a.as_ptr(),
            from.stride,
            b.as_ptr(),
            with.stride,
            beta,
            out.as_mut_ptr(),
            to.stride,
        );
    }
}

/// The products of all rows of `a` with each other, in the upper triangle of `out`, which is left as it is below the
/// diagonal: half the work of [`products`].
///
/// # Panics
///
/// As [`add_products`] does, and if either is not row-major. Weights are made of at least one number a kernel and fewer
/// than 2³¹ ([`ConvWeight`](crate::weight::ConvWeight)).
pub(crate) fn self_products(a: ArrayView2<'_, f32>, mut out: ArrayViewMut2<'_, f32>) {
    let (n, d) = a.dim();
    assert_eq!(out.dim(), (n, n), "extents that fit");
    let (from, to) = (Stored::of(&a), Stored::of(&out.view()));
    assert!(from.is_row_major && to.is_row_major, "row-major rows");
    let ssyrk = expect_functions().ssyrk;
    // SAFETY: as in `multiply`.
    unsafe {
        ssyrk(
            ROW_MAJOR,
            UPPER,
            AS_IT_IS,
            extent(n),
            extent(d),
            1.0,
            a.as_ptr(),
            from.stride,
            0.0,
            out.as_mut_ptr(),
            to.stride,
        );
    }
}

/// How BLAS finds its way through a matrix.
struct Stored {
    /// Whether neighbours lie side by side in a row, otherwise in a column.
    is_row_major: bool,
    /// From a row to the next, or from a column.
    stride: c_int,
}

impl Stored {
    fn of<T>(matrix: &ArrayView2<'_, T>) -> Self {
        let ((rows, columns), strides) = (matrix.dim(), matrix.strides());
        // Of a single row or column there is no step to the next, and any number may stand for it.
        let step = |count: usize, axis: usize| if count > 1 { strides[axis] } else { 1 };
        let stride = |axis: usize, count: usize, length: usize| {
            let stride = match count {
                0 | 1 => length,
                _ => usize::try_from(strides[axis]).unwrap_or(0),
            };
            assert!(stride >= length, "a matrix whose rows or columns are apart");
            extent(stride.max(1))
        };
        if step(columns, 1) == 1 {
            Self {
                is_row_major: true,
                stride: stride(0, rows, columns),
            }
        } else {
            assert_eq!(step(rows, 0), 1, "a matrix without gaps along one axis");
            Self {
                is_row_major: false,
                stride: stride(1, columns, rows),
            }
        }
    }
}

/// An extent as BLAS and LAPACK take it.
pub(super) fn extent(extent: usize) -> c_int {
    c_int::try_from(extent).expect("an extent within BLAS's integers")
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array, s};

    use super::*;

    #[test]
    fn products_are_those_of_rows() {
        let a = array![[1.0f32, 2.0], [3.0, 4.0], [5.0, 6.0]];
        let mut out = Array2::from_elem((3, 3), -1.0);
        self_products(a.view(), out.view_mut());
        assert_eq!(
            out,
            array![[5.0, 11.0, 17.0], [-1.0, 25.0, 39.0], [-1.0, -1.0, 61.0]]
        );

        let b = array![[1.0f32, 0.0], [0.0, 1.0]];
        let mut out = Array2::zeros((3, 2));
        products(a.view(), b.view(), out.view_mut());
        assert_eq!(out, a);
        add_products(a.view(), b.view(), out.view_mut());
        assert_eq!(out, 2.0 * a);
    }

    /// Whole numbers, whose products are exact: the loops of the definition come to the same.
    #[test]
    fn any_layout_gives_the_same_products() {
        let numbers = |rows: usize, columns: usize| {
            Array2::from_shape_fn((rows, columns), |(i, j)| ((7 * i + 3 * j) % 11) as f64)
        };
        for (m, n, k) in [
            (5, 4, 3),
            (1, 4, 3),
            (5, 1, 3),
            (5, 4, 1),
            (1, 1, 1),
            (20, 30, 40),
        ] {
            let a = numbers(2 * m, k + 2);
            let b = numbers(k, 3 * n);
            // Rows and columns of larger matrices, the one as it is and the other transposed.
            let (a, b) = (a.slice(s![m.., 1..=k]), b.slice(s![.., n..2 * n]));
            let expected = Array2::from_shape_fn((m, n), |(i, j)| {
                1.0 + (0..k).map(|x| a[[i, x]] * b[[x, j]]).sum::<f64>()
            });
            let (a_columns, b_rows) = (a.t().to_owned(), b.t().to_owned());
            for a in [a, a_columns.t()] {
                for b in [b.t(), b_rows.view()] {
                    let mut out = Array2::ones((m, n + 2));
                    add_products(a, b, out.slice_mut(s![.., 1..=n]));
                    assert_eq!(out.slice(s![.., 1..=n]), expected);
                    assert!(out.column(0).iter().all(|&x| x == 1.0));
                    assert!(out.column(n + 1).iter().all(|&x| x == 1.0));
                }
            }
        }
    }
}
