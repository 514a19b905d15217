//! Loading OpenBLAS.

use std::env;
use std::ffi::{CStr, OsString, c_char, c_int, c_void};
use std::path::Path;
use std::sync::OnceLock;

use libloading::Library;
use memmap2::MmapMut;

use super::Error;

/// The bytes that the library and those it needs take.
const LIBRARY: usize = 48 << 20;

/// `C ← α·A·B + β·C` (`cblas_?gemm`).
pub(super) type Gemm<T> = unsafe extern "C" fn(
    layout: c_int,
    transpose_a: c_int,
    transpose_b: c_int,
    m: c_int,
    n: c_int,
    k: c_int,
    alpha: T,
    a: *const T,
    stride_a: c_int,
    b: *const T,
    stride_b: c_int,
    beta: T,
    c: *mut T,
    stride_c: c_int,
);

/// `C ← α·A·Aᵀ + β·C`, one triangle of it (`cblas_ssyrk`).
pub(super) type Syrk = unsafe extern "C" fn(
    layout: c_int,
    triangle: c_int,
    transpose: c_int,
    n: c_int,
    k: c_int,
    alpha: f32,
    a: *const f32,
    stride_a: c_int,
    beta: f32,
    c: *mut f32,
    stride_c: c_int,
);

/// Eigenvalues of a symmetric matrix (LAPACK's `dsyev`), with the lengths of the two texts, as Fortran compilers pass them.
pub(super) type Syev = unsafe extern "C" fn(
    vectors: *const c_char,
    triangle: *const c_char,
    n: *const c_int,
    matrix: *mut f64,
    stride: *const c_int,
    eigenvalues: *mut f64,
    work: *mut f64,
    work_length: *const c_int,
    info: *mut c_int,
    vectors_length: usize,
    triangle_length: usize,
);

/// A QR decomposition A = Q·R, with Q = I − V·T·Vᵀ (LAPACK's `dgeqrt`).
pub(super) type Geqrt = unsafe extern "C" fn(
    rows: *const c_int,
    columns: *const c_int,
    block: *const c_int,
    matrix: *mut f64,
    stride: *const c_int,
    triangle: *mut f64,
    triangle_stride: *const c_int,
    work: *mut f64,
    info: *mut c_int,
);

/// Eigenvalues of a symmetric band matrix (LAPACK's `dsbev_2stage`), with the lengths of the two texts.
pub(super) type Sbev = unsafe extern "C" fn(
    vectors: *const c_char,
    triangle: *const c_char,
    n: *const c_int,
    width: *const c_int,
    band: *mut f64,
    stride: *const c_int,
    eigenvalues: *mut f64,
    eigenvectors: *mut f64,
    eigenvectors_stride: *const c_int,
    work: *mut f64,
    work_length: *const c_int,
    info: *mut c_int,
    vectors_length: usize,
    triangle_length: usize,
);

/// Takes one of OpenBLAS's buffers; the argument is not used. Null where there are no more.
pub(super) type TakeBuffer = unsafe extern "C" fn(c_int) -> *mut c_void;

/// Gives a buffer back, which stays mapped.
pub(super) type ReturnBuffer = unsafe extern "C" fn(*mut c_void);

/// The functions of OpenBLAS that are called.
pub(super) struct Functions {
    pub sgemm: Gemm<f32>,
    pub dgemm: Gemm<f64>,
    pub ssyrk: Syrk,
    pub dsyev: Syev,
    /// For eigenvalues by way of a band matrix; LAPACK has both since 3.7.
    pub band: Option<BandFunctions>,
    /// Not every build exports these.
    pub buffers: Option<(TakeBuffer, ReturnBuffer)>,
    pub description: String,
}

/// What makes a band matrix of a symmetric one, and gives its eigenvalues.
#[derive(Clone, Copy)]
pub(super) struct BandFunctions {
    pub dgeqrt: Geqrt,
    pub dsbev_2stage: Sbev,
}

/// The functions of OpenBLAS, which is loaded if it is not.
pub(super) fn functions() -> Result<&'static Functions, Error> {
    static LOADED: OnceLock<Result<Functions, Error>> = OnceLock::new();
    let loaded = LOADED.get_or_init(|| {
        let _alone = OneProcessor::show();
        // Twice, because the system's loader does not say whether a signal interrupted it.
        find().or_else(|_| find())
    });
    loaded.as_ref().map_err(Clone::clone)
}

/// The same for computations, which cannot do without.
///
/// # Panics
///
/// Where OpenBLAS cannot be loaded: whoever computes calls [`load`] first, and reports the error.
pub(super) fn expect_functions() -> &'static Functions {
    functions().unwrap_or_else(|error| panic!("{error}"))
}

/// The file names of OpenBLAS with 32-bit integers, as the system's loader looks them up: that of most systems, those of
/// Fedora's builds with threads, Alpine's, and the one that developers have.
#[cfg(not(target_os = "macos"))]
const NAMES: [&str; 5] = [
    "libopenblas.so.0",
    "libopenblasp.so.0",
    "libopenblaso.so.0",
    "libopenblas.so.3",
    "libopenblas.so",
];

/// That of conda and others, and where brew puts its own, which is not among the libraries that the loader looks through.
#[cfg(target_os = "macos")]
const NAMES: [&str; 3] = [
    "libopenblas.dylib",
    "/opt/homebrew/opt/openblas/lib/libopenblas.dylib",
    "/usr/local/opt/openblas/lib/libopenblas.dylib",
];

fn find() -> Result<Functions, Error> {
    let of_conda = env::var_os("CONDA_PREFIX").map(|prefix| {
        Path::new(&prefix)
            .join("lib")
            .join(NAMES[0])
            .into_os_string()
    });
    let names = NAMES.iter().map(OsString::from).chain(of_conda);
    let mut faults = Vec::new();
    #[cfg(feature = "bundled-openblas")]
    match open_bundled() {
        Ok(functions) => return Ok(functions),
        Err(fault) => faults.push(fault),
    }
    for name in names {
        match open(&name) {
            Ok(functions) => return Ok(functions),
            Err(error) => {
                let error = error.to_string();
                if !error.contains("No such file") && !error.contains("no such file") {
                    faults.push(error);
                }
            }
        }
    }
    if !has_room() {
        return Err(Error::no_room());
    }
    if faults.is_empty() {
        faults.push(format!("there is no {}", NAMES.join(", no ")));
    }
    Err(Error::Unloadable(faults.join("; ")))
}

/// That which is a part of the program. The file it is loaded from is closed again.
#[cfg(feature = "bundled-openblas")]
fn open_bundled() -> Result<Functions, String> {
    let file = super::bundled::file().map_err(|error| format!("its own OpenBLAS: {error}"))?;
    let path = super::bundled::path(&file);
    open(&path.into()).map_err(|error| format!("its own OpenBLAS: {error}"))
}

/// Whether memory cannot be the reason why the library was not loaded.
fn has_room() -> bool {
    MmapMut::map_anon(LIBRARY).is_ok()
}

fn open(name: &OsString) -> Result<Functions, libloading::Error> {
    // SAFETY: what OpenBLAS does as it is loaded, looking at the processor and the environment, may be done at any time.
    let library = unsafe { Library::new(name) }?;
    // SAFETY: these are the types of OpenBLAS's functions, as its headers (cblas.h, lapack.h, common.h) declare them.
    let functions = unsafe {
        let set_threads: unsafe extern "C" fn(c_int) = *library.get(c"openblas_set_num_threads")?;
        let config: unsafe extern "C" fn() -> *const c_char =
            *library.get(c"openblas_get_config")?;
        let shutdown = library.get::<unsafe extern "C" fn() -> c_int>(c"blas_thread_shutdown_");
        let take = library.get::<TakeBuffer>(c"blas_memory_alloc");
        let give_back = library.get::<ReturnBuffer>(c"blas_memory_free");
        let dgeqrt = library.get::<Geqrt>(c"dgeqrt_");
        let dsbev = library.get::<Sbev>(c"dsbev_2stage_");
        let functions = Functions {
            sgemm: *library.get(c"cblas_sgemm")?,
            dgemm: *library.get(c"cblas_dgemm")?,
            ssyrk: *library.get(c"cblas_ssyrk")?,
            dsyev: *library.get(c"dsyev_")?,
            band: dgeqrt
                .ok()
                .zip(dsbev.ok())
                .map(|(dgeqrt, dsbev)| BandFunctions {
                    dgeqrt: *dgeqrt,
                    dsbev_2stage: *dsbev,
                }),
            buffers: take
                .ok()
                .zip(give_back.ok())
                .map(|(take, give)| (*take, *give)),
            // The text lives as long as the library.
            description: CStr::from_ptr(config()).to_string_lossy().trim().to_owned(),
        };
        // All threading is left to this crate: tiles run side by side, each on one BLAS thread. Builds that saw more than one
        // processor anyway have started threads, which would spin for 2²⁶ ticks (`THREAD_TIMEOUT`) before they sleep.
        // They are stopped the way OpenBLAS does it before a fork; no BLAS call is running yet.
        set_threads(1);
        if let Ok(shutdown) = shutdown {
            shutdown();
        }
        functions
    };
    // It stays loaded, for its functions may be called at any time.
    std::mem::forget(library);
    Ok(functions)
}

/// Restricts the calling thread to one processor while OpenBLAS is loaded, which counts the processors that the thread may run on,
/// so that it starts no threads. Dropping this restores the thread's processors.
///
/// The variable `OPENBLAS_NUM_THREADS` would do the same, but child processes would inherit it, and setting a variable is not safe
/// while there are other threads.
struct OneProcessor {
    #[cfg(target_os = "linux")]
    all: Option<rustix::thread::CpuSet>,
}

#[cfg(target_os = "linux")]
impl OneProcessor {
    fn show() -> Self {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
        let restrict = || {
            let all = sched_getaffinity(None).ok()?;
            let mut one = CpuSet::new();
            // The thread may have moved since; that only moves it back.
            one.set(sched_getcpu());
            sched_setaffinity(None, &one).ok()?;
            Some(all)
        };
        Self { all: restrict() }
    }
}

#[cfg(target_os = "linux")]
impl Drop for OneProcessor {
    fn drop(&mut self) {
        if let Some(all) = &self.all {
            // These were its processors a moment ago; a failure costs only speed.
            let _ = rustix::thread::sched_setaffinity(None, all);
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl OneProcessor {
    fn show() -> Self {
        Self {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openblas_says_what_it_is() {
        let description = &expect_functions().description;
        assert!(description.contains("OpenBLAS"), "{description}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_processors_of_before_are_back() {
        let processors = || rustix::thread::sched_getaffinity(None).unwrap().count();
        let before = processors();
        {
            let _alone = OneProcessor::show();
            assert_eq!(processors(), 1);
        }
        assert_eq!(processors(), before);
    }
}
