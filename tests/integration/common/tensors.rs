//! Checkpoints made for a test. The torture tests include this file too.

use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};

/// A tensor, whatever file it is of.
pub type Tensor = (String, Dtype, Vec<usize>, Vec<u8>);

/// Writes a file of these tensors.
pub fn write_tensors(path: &Path, tensors: &[Tensor]) {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(*dtype, shape.clone(), bytes).expect("a valid tensor");
        (name.clone(), view)
    });
    safetensors::serialize_to_file(views, None, path).expect("a writable folder");
}
