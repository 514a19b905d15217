//! Whether outputs agree. Files are read piece by piece, to keep this process small.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use memmap2::Mmap;
use safetensors::SafeTensors;
use safetensors::tensor::Metadata;

use crate::Result;

/// The bytes of one `read`.
const CHUNK: usize = 1 << 20;
/// Kernels further apart than this, relative to their length, were decided otherwise.
const ROUNDING: f64 = 1e-6;
/// The share of kernels that may be decided otherwise.
const TOLERATED: f64 = 0.001;

/// How the kernels of two outputs compare.
pub struct Agreement {
    kernels: usize,
    /// Not the same bytes.
    differing: usize,
    /// Different by more than rounding.
    otherwise: usize,
}

impl Agreement {
    /// Nearly all kernels are the same; float32 decides a few near ties the other way.
    pub fn holds(&self) -> bool {
        self.otherwise as f64 <= TOLERATED * self.kernels as f64
    }
}

impl std::fmt::Display for Agreement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            kernels,
            differing,
            otherwise,
        } = self;
        write!(f, "{differing} / {otherwise} of {kernels}")
    }
}

/// Whether two files are the same.
pub fn same_bytes(left: &Path, right: &Path) -> Result<bool> {
    let (left, right) = (File::open(left)?, File::open(right)?);
    let length = left.metadata()?.len();
    Ok(length == right.metadata()?.len() && same_range(&left, &right, 0, length)?)
}

/// Compares two outputs kernel by kernel; an error if anything but kernels of convolutions differs.
pub fn agreement(ours: &Path, peer: &Path) -> Result<Agreement> {
    let (ours, peer) = (File::open(ours)?, File::open(peer)?);
    let ((start, ours_header), (peer_start, peer_header)) = (header(&ours)?, header(&peer)?);
    let tensors = |header: &Metadata| serde_json::to_value(header);
    if start != peer_start || tensors(&ours_header)? != tensors(&peer_header)? {
        return Err("the outputs hold different tensors".into());
    }
    let mut found = Agreement {
        kernels: 0,
        differing: 0,
        otherwise: 0,
    };
    for name in ours_header.offset_keys() {
        let info = ours_header.info(&name).ok_or("a name without a tensor")?;
        let (from, to) = info.data_offsets;
        let (at, length) = ((start + from) as u64, to - from);
        if let &[rows, _, _, _] = &*info.shape {
            found.kernels += rows;
            for row in 0..rows {
                let width = length / rows;
                let at = at + (row * width) as u64;
                let left = read(&ours, at, width)?;
                let right = read(&peer, at, width)?;
                if left != right {
                    found.differing += 1;
                    found.otherwise += usize::from(distance(&left, &right) > ROUNDING);
                }
            }
        } else if !same_range(&ours, &peer, at, at + length as u64)? {
            return Err(format!("the outputs differ in {name}, which is no convolution").into());
        }
    }
    Ok(found)
}

/// Where the data of a file starts, and what its header says.
fn header(file: &File) -> Result<(usize, Metadata)> {
    // SAFETY: nobody changes an output of the benchmark while it is compared.
    let map = unsafe { Mmap::map(file)? };
    let (length, metadata) = SafeTensors::read_metadata(&map)?;
    Ok((8 + length, metadata))
}

fn read(file: &File, at: u64, length: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

fn same_range(left: &File, right: &File, from: u64, to: u64) -> Result<bool> {
    for at in (from..to).step_by(CHUNK) {
        let length = CHUNK.min(usize::try_from(to - at)?);
        if read(left, at, length)? != read(right, at, length)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The distance of two float32 kernels, relative to the length of the first.
fn distance(left: &[u8], right: &[u8]) -> f64 {
    let floats = |bytes: &[u8]| -> Vec<f64> {
        let (numbers, _) = bytes.as_chunks();
        numbers
            .iter()
            .map(|&number| f64::from(f32::from_le_bytes(number)))
            .collect()
    };
    let (left, right) = (floats(left), floats(right));
    let square = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>();
    let apart = square(&mut left.iter().zip(&right).map(|(a, b)| a - b));
    (apart / square(&mut left.iter().copied())).sqrt()
}
