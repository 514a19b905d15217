//! What the work cannot do without: the file copied once, and one Gram matrix a layer, by the fastest BLAS at hand.

use std::ffi::c_int;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use libloading::Library;
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};

use crate::Result;

/// The bytes of one `write`.
const CHUNK: usize = 8 << 20;

/// `cblas_ssyrk`.
type Syrk = unsafe extern "C" fn(
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

/// `CblasRowMajor`, `CblasUpper` and `CblasNoTrans`.
const ROW_MAJOR: c_int = 101;
const UPPER: c_int = 121;
const AS_IT_IS: c_int = 111;

/// Copies `input` to `output` and computes the Gram matrices of the layers that `order` lists past the first `skip`.
pub fn run(input: &Path, output: &Path, skip: usize, order: &Path) -> Result<()> {
    // SAFETY: nobody changes a checkpoint of the benchmark while it runs.
    let map = unsafe { Mmap::map(&File::open(input)?)? };
    let mut copy = File::create(output)?;
    for chunk in map.chunks(CHUNK) {
        copy.write_all(chunk)?;
    }

    let tensors = SafeTensors::deserialize(&map)?;
    let mut layers = Vec::new();
    for name in fs::read_to_string(order)?.lines().skip(skip) {
        let tensor = tensors.tensor(name)?;
        assert_eq!(tensor.dtype(), Dtype::F32);
        layers.push((tensor.shape()[0], floats(tensor.data())));
    }
    let largest = layers.iter().map(|&(n, _)| n).max().unwrap_or(0);
    let mut gram = vec![0.0; largest * largest];
    // SAFETY: what OpenBLAS does as it is loaded may be done at any time.
    let openblas = unsafe { Library::new("libopenblas.so.0") }?;
    // SAFETY: these are the types of its functions; the first sets a process-wide setting before the first call to BLAS.
    let ssyrk: Syrk = unsafe {
        openblas.get::<unsafe extern "C" fn(c_int)>(c"openblas_set_num_threads")?(2);
        *openblas.get(c"cblas_ssyrk")?
    };
    for (n, weights) in layers {
        products(ssyrk, n, weights, &mut gram);
    }
    Ok(())
}

/// The numbers of an aligned tensor.
fn floats(bytes: &[u8]) -> &[f32] {
    // SAFETY: every four bytes are a valid float.
    let (before, floats, after) = unsafe { bytes.align_to::<f32>() };
    assert!(before.is_empty() && after.is_empty(), "an aligned tensor");
    floats
}

/// The products of `n` rows with each other, in the upper triangle of the first n×n of `gram`.
fn products(ssyrk: Syrk, n: usize, rows: &[f32], gram: &mut [f32]) {
    let width = rows.len() / n;
    assert!(gram.len() >= n * n);
    let extent = |extent: usize| c_int::try_from(extent).expect("an extent within BLAS's integers");
    // SAFETY: `rows` holds n rows of `width` floats and `gram` at least n rows of n, both row-major and without gaps.
    unsafe {
        ssyrk(
            ROW_MAJOR,
            UPPER,
            AS_IT_IS,
            extent(n),
            extent(width),
            1.0,
            rows.as_ptr(),
            extent(width),
            0.0,
            gram.as_mut_ptr(),
            extent(n),
        );
    }
}
