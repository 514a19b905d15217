//! Checkpoints read back, with the `safetensors` crate and not with the program's code.

use std::fs;
use std::ops::Range;
use std::path::Path;

use safetensors::SafeTensors;
use serde_json::Value;

use super::tensors::Tensor;

/// Where a tensor's values lie in a file.
#[derive(Clone, Debug)]
pub struct Place {
    pub name: String,
    pub shape: Vec<usize>,
    pub bytes: Range<usize>,
}

impl Place {
    /// The bytes of one element.
    pub fn item(&self) -> usize {
        self.bytes.len() / self.shape.iter().product::<usize>().max(1)
    }
}

/// The tensors of a checkpoint, as the `safetensors` crate reads them.
pub fn places(file: &[u8]) -> Vec<Place> {
    let tensors = SafeTensors::deserialize(file).expect("a valid checkpoint");
    tensors
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            let start = view.data().as_ptr() as usize - file.as_ptr() as usize;
            Place {
                name,
                shape: view.shape().to_vec(),
                bytes: start..start + view.data().len(),
            }
        })
        .collect()
}

/// The tensors of a file, by name.
pub fn read_tensors(path: &Path) -> Vec<Tensor> {
    let bytes = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let tensors = SafeTensors::deserialize(&bytes).expect("a valid checkpoint");
    let tensors = tensors.tensors().into_iter().map(|(name, view)| {
        let (shape, bytes) = (view.shape().to_vec(), view.data().to_vec());
        (name, view.dtype(), shape, bytes)
    });
    let mut tensors: Vec<Tensor> = tensors.collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    tensors
}

/// Which kernel of a layer of the plan an element of its tensor belongs to.
///
/// Written from the definition of the axes and not with the program's code: kernels lie on axis 0, but for transposed
/// convolutions `[I, O/groups, k…]`, whose group is that of their inputs.
pub fn kernel_of(layer: &Value, element: usize) -> usize {
    let shape: Vec<usize> = layer["shape"]
        .as_array()
        .expect("a shape")
        .iter()
        .map(|extent| extent.as_u64().expect("an extent") as usize)
        .collect();
    let inner: usize = shape[1..].iter().product();
    if layer["kind"] != "transposed" {
        return element / inner;
    }
    let groups = layer["groups"].as_u64().expect("groups") as usize;
    let group = element / inner / (shape[0] / groups);
    let taps: usize = shape[2..].iter().product();
    group * shape[1] + element / taps % shape[1]
}
