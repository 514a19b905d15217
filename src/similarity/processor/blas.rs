//! Gram matrices by BLAS.

use std::ffi::{CStr, c_char, c_int};
use std::sync::Once;

use cblas_sys::{CBLAS_LAYOUT, CBLAS_TRANSPOSE, CBLAS_UPLO, cblas_ssyrk};
use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};
// Links OpenBLAS, which both `cblas_ssyrk` below and ndarray's products call.
use ndarray_linalg as _;

unsafe extern "C" {
    fn openblas_set_num_threads(threads: c_int);
    fn openblas_get_config() -> *const c_char;
}

/// OpenBLAS's own words on its version, build and the processor it found.
pub fn blas_description() -> String {
    // SAFETY: OpenBLAS returns a pointer to a string that lives as long as the process.
    let text = unsafe { CStr::from_ptr(openblas_get_config()) };
    text.to_string_lossy().trim().to_owned()
}

/// Leaves all threading to this crate: tiles run side by side, each on one BLAS thread.
///
/// OpenBLAS starts a thread for every other processor as it is loaded, and these spin for 2²⁶ ticks before they sleep
/// (`THREAD_TIMEOUT` in its `blas_server.c`), which on two processors is a quarter of a short run. So they are ended, as
/// OpenBLAS itself does before a fork; it would start them again if it were given more threads.
pub fn use_one_blas_thread() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: sets a process-wide setting, once, before this crate's first BLAS call.
        unsafe { openblas_set_num_threads(1) };
        // SAFETY: looks a name up among the libraries that are loaded. Builds without threads do not have it.
        let shutdown =
            unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"blas_thread_shutdown_".as_ptr()) };
        if !shutdown.is_null() {
            // SAFETY: in OpenBLAS this is `int blas_thread_shutdown_(void)`.
            let shutdown: unsafe extern "C" fn() -> c_int =
                unsafe { std::mem::transmute(shutdown) };
            // SAFETY: it joins OpenBLAS's threads, which have no work: no BLAS call is under way before this has run once.
            unsafe { shutdown() };
        }
    });
}

/// The products of all rows of `a` with all rows of `b`: `a·bᵀ`.
pub(super) fn products(
    a: ArrayView2<'_, f32>,
    b: ArrayView2<'_, f32>,
    mut out: ArrayViewMut2<'_, f32>,
) {
    use_one_blas_thread();
    general_mat_mul(1.0, &a, &b.t(), 0.0, &mut out);
}

/// Adds the products of all rows of `a` with all rows of `b` to `out`.
pub(super) fn add_products(
    a: ArrayView2<'_, f32>,
    b: ArrayView2<'_, f32>,
    mut out: ArrayViewMut2<'_, f32>,
) {
    use_one_blas_thread();
    general_mat_mul(1.0, &a, &b.t(), 1.0, &mut out);
}

/// The products of all rows of `a` with each other, in the upper triangle of `out`, which is left as it is below the
/// diagonal: half the work of [`products`].
///
/// # Panics
///
/// If an extent is beyond BLAS's 32-bit integers, or the arrays are not row-major. Weights are made of at least one
/// number a kernel and fewer than 2³¹ ([`ConvWeight`](crate::weight::ConvWeight)).
pub(super) fn self_products(a: ArrayView2<'_, f32>, mut out: ArrayViewMut2<'_, f32>) {
    use_one_blas_thread();
    let (n, d) = a.dim();
    assert_eq!(out.dim(), (n, n));
    let extent = |extent: usize| c_int::try_from(extent).expect("an extent within BLAS's integers");
    let a_slice = a.as_slice().expect("row-major rows");
    let out_slice = out.as_slice_mut().expect("a row-major tile");
    // SAFETY: `a` holds n rows of d floats and `out` n rows of n, both row-major and without gaps, as asserted above;
    // BLAS reads the one and writes the other within these extents, and they cannot overlap (`out` is borrowed mutably).
    unsafe {
        cblas_ssyrk(
            CBLAS_LAYOUT::CblasRowMajor,
            CBLAS_UPLO::CblasUpper,
            CBLAS_TRANSPOSE::CblasNoTrans,
            extent(n),
            extent(d),
            1.0,
            a_slice.as_ptr(),
            extent(d),
            0.0,
            out_slice.as_mut_ptr(),
            extent(n),
        );
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

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

    #[test]
    fn blas_is_openblas() {
        assert!(
            blas_description().contains("OpenBLAS"),
            "{}",
            blas_description()
        );
    }
}
