//! The stand-in itself: that its products are right, and that it notices what it is there to notice.

use std::env;
use std::ffi::{c_char, c_int, c_void};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use libloading::{Library, Symbol};

use crate::device::{Argument, Device};
use crate::fake_cuda;
use crate::random::Random;

/// Set where a test has started itself.
const CHILD: &str = "INMERGE_FAKE_CUDA_CHILD";

/// Whether this is the process that does what the test is about.
fn is_child() -> bool {
    env::var_os(CHILD).is_some()
}

/// Starts a test of this program again, with these variables set.
fn start_again(test: &str, variables: &[(&str, &str)]) -> Output {
    Command::new(env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .envs(variables.iter().copied())
        .output()
        .expect("it starts")
}

/// Fails unless the process ended by a signal, with these words.
fn assert_died(output: &Output, words: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.signal().is_some(),
        "{}: {stderr}",
        output.status
    );
    assert!(stderr.contains(words), "{stderr}");
}

/// Launches `measure` for `count` rows with room for 16 results.
fn measure(device: &Device, count: usize) {
    let rows = device.upload(&vec![1.0f32; 64]);
    let squares = device.fresh::<f64>(16);
    let arguments: [&dyn Argument; 5] = [&rows, &0u32, &(count as u64), &1u64, &squares];
    device.launch("measure", [count.div_ceil(16), 1], 256, &arguments);
    assert_eq!(squares.read(), [1.0; 16]);
}

#[test]
fn a_write_just_beyond_an_allocation_is_noticed() {
    let Some(device) = Device::get() else { return };
    if is_child() {
        return measure(device, 17);
    }
    measure(device, 16);
    let output = start_again(
        "stand_in::a_write_just_beyond_an_allocation_is_noticed",
        &[],
    );
    assert_died(
        &output,
        "written out of bounds beside 128 bytes of device memory, noticed after measure",
    );
}

#[test]
fn an_access_far_beyond_an_allocation_is_noticed() {
    let Some(device) = Device::get() else { return };
    if is_child() {
        return measure(device, 4096);
    }
    let output = start_again(
        "stand_in::an_access_far_beyond_an_allocation_is_noticed",
        &[],
    );
    assert_died(&output, "running: measure");
}

/// The driver's functions that a product takes.
struct Driver<'l> {
    cuda: &'l Library,
    cublas: &'l Library,
}

impl Driver<'_> {
    fn load() -> Option<Driver<'static>> {
        let folder = fake_cuda::folder()?;
        let open = |name: &str| -> &'static Library {
            // SAFETY: the libraries' initialisers set up their own state and nothing else; they stay loaded.
            let library = unsafe { Library::new(folder.join(name)) };
            Box::leak(Box::new(library.expect("it loads")))
        };
        Some(Driver {
            cuda: open("libcuda.so.1"),
            cublas: open("libcublas.so.12"),
        })
    }

    fn function<'l, F>(library: &'l Library, name: &str) -> Symbol<'l, F> {
        // SAFETY: the callers give the functions' types as they are in driver.cpp and cublas.cpp.
        unsafe { library.get(name.as_bytes()) }.expect(name)
    }

    /// Makes the device's context that of this thread.
    fn begin(&self) {
        let init = Self::function::<unsafe extern "C" fn(u32) -> c_int>(self.cuda, "cuInit");
        let retain = Self::function::<unsafe extern "C" fn(*mut *mut c_void, c_int) -> c_int>(
            self.cuda,
            "cuDevicePrimaryCtxRetain",
        );
        let set = Self::function::<unsafe extern "C" fn(*mut c_void) -> c_int>(
            self.cuda,
            "cuCtxSetCurrent",
        );
        let mut context = std::ptr::null_mut();
        // SAFETY: as the driver wants them to be called.
        unsafe {
            assert_eq!(init(0), 0);
            assert_eq!(retain(&mut context, 0), 0);
            assert_eq!(set(context), 0);
        }
    }

    fn allocate(&self, bytes: usize) -> Result<u64, c_int> {
        let allocate = Self::function::<unsafe extern "C" fn(*mut u64, usize, *mut c_void) -> c_int>(
            self.cuda,
            "cuMemAllocAsync",
        );
        let mut address = 0;
        // SAFETY: there is a context.
        match unsafe { allocate(&mut address, bytes, std::ptr::null_mut()) } {
            0 => Ok(address),
            error => Err(error),
        }
    }

    fn upload(&self, numbers: &[f32]) -> u64 {
        let address = self.allocate(size_of_val(numbers)).expect("room");
        let copy = Self::function::<
            unsafe extern "C" fn(u64, *const f32, usize, *mut c_void) -> c_int,
        >(self.cuda, "cuMemcpyHtoDAsync_v2");
        // SAFETY: both have room for them.
        let error = unsafe {
            copy(
                address,
                numbers.as_ptr(),
                size_of_val(numbers),
                std::ptr::null_mut(),
            )
        };
        assert_eq!(error, 0);
        address
    }

    fn download(&self, address: u64, len: usize) -> Vec<f32> {
        let copy = Self::function::<unsafe extern "C" fn(*mut f32, u64, usize, *mut c_void) -> c_int>(
            self.cuda,
            "cuMemcpyDtoHAsync_v2",
        );
        let wait = Self::function::<unsafe extern "C" fn(*mut c_void) -> c_int>(
            self.cuda,
            "cuStreamSynchronize",
        );
        let mut numbers = vec![0.0f32; len];
        // SAFETY: both have so many, and `numbers` is there until it has been waited for.
        let errors = unsafe {
            let copied = copy(numbers.as_mut_ptr(), address, len * 4, std::ptr::null_mut());
            [copied, wait(std::ptr::null_mut())]
        };
        assert_eq!(errors, [0, 0]);
        numbers
    }

    fn multiply(&self, product: &Product, a: u64, b: u64, c: u64) -> c_int {
        type GemmEx = unsafe extern "C" fn(
            *mut c_void,
            c_int,
            c_int,
            c_int,
            c_int,
            c_int,
            *const f32,
            u64,
            c_int,
            c_int,
            u64,
            c_int,
            c_int,
            *const f32,
            u64,
            c_int,
            c_int,
            c_int,
            c_int,
        ) -> c_int;
        let create = Self::function::<unsafe extern "C" fn(*mut *mut c_void) -> c_int>(
            self.cublas,
            "cublasCreate_v2",
        );
        let gemm = Self::function::<GemmEx>(self.cublas, "cublasGemmEx");
        let destroy = Self::function::<unsafe extern "C" fn(*mut c_void) -> c_int>(
            self.cublas,
            "cublasDestroy_v2",
        );
        let Product {
            ops,
            sizes: [m, n, k],
            leading: [lda, ldb, ldc],
            kind,
            compute,
        } = *product;
        let kind = kind as c_int;
        let mut handle = std::ptr::null_mut();
        // SAFETY: as cuBLAS wants them to be called; the stand-in checks that the matrices are within their memory.
        unsafe {
            assert_eq!(create(&mut handle), 0);
            let status = gemm(
                handle,
                ops[0],
                ops[1],
                m as c_int,
                n as c_int,
                k as c_int,
                &1.0,
                a,
                kind,
                lda as c_int,
                b,
                kind,
                ldb as c_int,
                &0.0,
                c,
                0,
                ldc as c_int,
                compute,
                -1,
            );
            assert_eq!(destroy(handle), 0);
            status
        }
    }
}

/// CUDA_R_32F and CUDA_R_16BF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Single = 0,
    Bfloat16 = 14,
}

#[derive(Clone, Copy, Debug)]
struct Product {
    /// 1 for a transposed matrix.
    ops: [c_int; 2],
    sizes: [usize; 3],
    leading: [usize; 3],
    kind: Kind,
    compute: c_int,
}

impl Product {
    /// Multiplies random matrices; how far the product is from the one in float64 at most.
    fn error(&self, driver: &Driver<'_>, random: &mut Random) -> f64 {
        let [m, n, k] = self.sizes;
        let [lda, ldb, ldc] = self.leading;
        let a_columns = if self.ops[0] == 1 { m } else { k };
        let b_columns = if self.ops[1] == 1 { k } else { n };
        // bfloat16 numbers are float32 numbers without their lower half.
        let mut matrix = |len: usize| -> Vec<f32> {
            let mut number = || f32::from_bits((random.signed() as f32).to_bits() & 0xffff_0000);
            (0..len).map(|_| number()).collect()
        };
        let (a, b) = (matrix(lda * a_columns), matrix(ldb * b_columns));
        let stored = |numbers: &[f32]| -> u64 {
            if self.kind == Kind::Single {
                return driver.upload(numbers);
            }
            let mut halves: Vec<u16> = numbers.iter().map(|x| (x.to_bits() >> 16) as u16).collect();
            halves.resize(halves.len().next_multiple_of(2), 0);
            driver.upload(bytemuck::cast_slice(&halves))
        };
        let c = driver.allocate(ldc * n * 4).expect("room");
        assert_eq!(
            driver.multiply(self, stored(&a), stored(&b), c),
            0,
            "{self:?}"
        );
        let found = driver.download(c, ldc * n);
        let mut error = 0f64;
        for row in 0..m {
            for column in 0..n {
                let at = |t: usize| {
                    if self.ops[0] == 1 {
                        a[t + row * lda]
                    } else {
                        a[row + t * lda]
                    }
                };
                let bt = |t: usize| {
                    if self.ops[1] == 1 {
                        b[column + t * ldb]
                    } else {
                        b[t + column * ldb]
                    }
                };
                let exact: f64 = (0..k).map(|t| f64::from(at(t)) * f64::from(bt(t))).sum();
                error = error.max((f64::from(found[row + column * ldc]) - exact).abs());
            }
        }
        // What lies between the columns is not touched.
        let fresh = f32::from_bits(0xabab_abab);
        assert!((0..n).all(|j| (m..ldc).all(|i| found[i + j * ldc] == fresh)));
        error
    }
}

/// A Gram matrix as the program asks for it, of 37 by 23 vectors of 19 numbers.
const GRAM: Product = Product {
    ops: [1, 0],
    sizes: [37, 23, 19],
    leading: [19, 19, 37],
    kind: Kind::Single,
    compute: 69,
};

#[test]
fn products_are_right() {
    let Some(driver) = Driver::load() else { return };
    driver.begin();
    let random = &mut Random(1);
    for (kind, compute) in [
        (Kind::Single, 68),
        (Kind::Single, 69),
        (Kind::Single, 77),
        (Kind::Bfloat16, 68),
    ] {
        for ops in [[0, 0], [0, 1], [1, 0], [1, 1]] {
            for [m, n, k] in [[1, 1, 1], [4, 4, 8], [5, 7, 9], [37, 23, 100], [64, 3, 16]] {
                let padding = random.below(4);
                let lda = padding + if ops[0] == 1 { k } else { m };
                let ldb = padding + if ops[1] == 1 { n } else { k };
                let product = Product {
                    ops,
                    sizes: [m, n, k],
                    leading: [lda, ldb, m + padding],
                    kind,
                    compute,
                };
                let error = product.error(&driver, random);
                assert!(error <= k as f64 * 1e-6, "{product:?}: {error}");
            }
        }
    }
}

#[test]
fn products_beyond_their_memory_are_noticed() {
    let Some(driver) = Driver::load() else { return };
    if is_child() {
        driver.begin();
        let [a, b] = [37, 23].map(|n| driver.upload(&vec![0.0; n * 19]));
        let c = driver.allocate(37 * 23 * 4 - 4).expect("room");
        driver.multiply(&GRAM, a, b, c);
        return;
    }
    let output = start_again("stand_in::products_beyond_their_memory_are_noticed", &[]);
    assert_died(&output, "matrix C of 3404 bytes");
}

#[test]
fn noise_is_as_large_as_it_is_asked_to_be() {
    let Some(driver) = Driver::load() else { return };
    if is_child() {
        driver.begin();
        let error = GRAM.error(&driver, &mut Random(2));
        assert!((0.4999..0.5001).contains(&error), "{error}");
        return;
    }
    let output = start_again(
        "stand_in::noise_is_as_large_as_it_is_asked_to_be",
        &[("FAKE_CUDA_NOISE", "0.5")],
    );
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn memory_ends_and_a_lost_device_stays_lost() {
    let Some(driver) = Driver::load() else { return };
    if is_child() {
        driver.begin();
        assert!(driver.allocate(600).is_ok());
        // CUDA_ERROR_OUT_OF_MEMORY, which a smaller piece does not meet.
        assert_eq!(driver.allocate(600), Err(2));
        assert!(driver.allocate(300).is_ok());
        // The fourth call, and all after it.
        assert_eq!(
            [1, 1].map(|bytes| driver.allocate(bytes)),
            [Err(700), Err(700)]
        );
        assert_eq!(driver.multiply_nothing(), 13);
        return;
    }
    let log = tempfile::NamedTempFile::new().expect("a file");
    let variables = [
        ("FAKE_CUDA_MEMORY", "1000"),
        ("FAKE_CUDA_FAIL", "cuMemAllocAsync:4:700"),
        ("FAKE_CUDA_LOG", log.path().to_str().expect("UTF-8")),
    ];
    let output = start_again(
        "stand_in::memory_ends_and_a_lost_device_stays_lost",
        &variables,
    );
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let log = std::fs::read_to_string(log.path()).expect("the log is there");
    let asked: Vec<&str> = log
        .lines()
        .filter(|line| line.starts_with("cuMemAlloc"))
        .collect();
    assert_eq!(
        asked,
        ["600", "600", "300", "1", "1"].map(|n| format!("cuMemAllocAsync {n}"))
    );
}

impl Driver<'_> {
    /// The status of a product without a handle, which a lost device does not look at.
    fn multiply_nothing(&self) -> c_int {
        let version = Self::function::<unsafe extern "C" fn(*mut c_void, *mut c_int) -> c_int>(
            self.cublas,
            "cublasGetVersion_v2",
        );
        // SAFETY: the stand-in's version does not look at the handle.
        unsafe { version(std::ptr::null_mut(), &mut 0) }
    }
}

/// Errors have names, which messages show.
#[test]
fn errors_have_names() {
    let Some(driver) = Driver::load() else { return };
    let name = Driver::function::<unsafe extern "C" fn(c_int, *mut *const c_char) -> c_int>(
        driver.cuda,
        "cuGetErrorName",
    );
    let mut text = std::ptr::null();
    // SAFETY: what it gives is a string of the library's, which stays loaded.
    let text = unsafe {
        assert_eq!(name(700, &mut text), 0);
        std::ffi::CStr::from_ptr(text)
    };
    assert_eq!(text.to_str(), Ok("CUDA_ERROR_ILLEGAL_ADDRESS"));
}
