//! The BatchNorm behind each layer, whose running statistics are those of its output channels.
//!
//! Files do not say what reads a layer's outputs. It is read off names and lengths: `conv2` and `bn2`, `0` and `1` of an `nn.Sequential`, the
//! only two of a module, or as many norms as convolutions, in their order. Where a norm comes *before* its convolution (DenseNet, ResNets of the
//! second version), its length is that of the inputs, and the convolution's own norm is the next one's. Where that leaves it open there is none,
//! rather than a guess.

mod norms;
mod pairs;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use super::declared::Declared;
use super::error::Error;
use super::layer::Layer;
use super::name::Segment;
use crate::checkpoint::Tensor;
use norms::Norms;

/// What a file has of a layer's output channels beside the kernels, under one of its names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Behind {
    /// Index of its bias in the tensor table.
    pub bias: Option<usize>,
    /// The BatchNorm that reads its outputs.
    pub norm: NormBehind,
}

/// What is known of the BatchNorm behind a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NormBehind {
    /// It was declared, or told by names and lengths.
    Found(BatchNorm),
    /// There is none, as was declared.
    None,
    /// There may be one: one of this length is left over in the same module.
    Doubtful,
    /// None was found.
    #[default]
    NotFound,
}

impl NormBehind {
    /// The one that was found.
    pub fn found(&self) -> Option<&BatchNorm> {
        match self {
            Self::Found(norm) => Some(norm),
            _ => None,
        }
    }
}

/// A BatchNorm, by indices in the tensor table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchNorm {
    /// Path of its module.
    pub module: String,
    /// `running_mean`.
    pub mean: usize,
    /// `running_var`.
    pub variance: usize,
    /// `weight`, γ.
    pub scale: Option<usize>,
    /// `bias`, β.
    pub shift: Option<usize>,
}

/// Finds what stands behind each of the layers' weights, by each of its names; what a list declares goes first.
///
/// # Errors
///
/// If a declared norm is none, or has another length than there are kernels.
pub(super) fn attach(
    tensors: &[Tensor],
    declared: Option<&Declared>,
    layers: &mut [Layer],
) -> Result<(), Error> {
    let norms = Norms::of(tensors);
    let (found, doubtful) = norms.behind(layers);
    let listed = declared.into_iter().flat_map(Declared::norms);
    let listed: HashMap<&str, &str> = listed.collect();
    let indices = tensors.iter().map(|tensor| &tensor.name[..]).zip(0..);
    let indices: HashMap<&str, usize> = indices.collect();
    let bias = |module: &str, kernels: usize| {
        let index = *indices.get(&format!("{module}.bias")[..])?;
        is_vector(&tensors[index], kernels).then_some(index)
    };
    for layer in layers {
        let behind = layer.names().map(|name| {
            let module = module_of(name);
            let norm = match (listed.get(name), declared) {
                (Some(&norm), Some(declared)) => {
                    norms
                        .declared(norm, layer.kernels)
                        .map_err(|contradiction| Error::Contradiction {
                            origin: declared.origin(),
                            name: name.to_owned(),
                            contradiction,
                        })?
                }
                _ => match module.and_then(|module| found.get(module)) {
                    Some(norm) => NormBehind::Found((*norm).clone()),
                    None if module.is_some_and(|module| doubtful.contains(module)) => {
                        NormBehind::Doubtful
                    }
                    None => NormBehind::NotFound,
                },
            };
            Ok::<_, Error>(Behind {
                bias: module.and_then(|module| bias(module, layer.kernels)),
                norm,
            })
        });
        layer.behind = behind.collect::<Result<_, _>>()?;
    }
    Ok(())
}

fn is_vector(tensor: &Tensor, length: usize) -> bool {
    tensor.shape == [length] && tensor.float_type().is_some()
}

/// A path's last step.
fn segment(module: &str) -> Segment {
    Segment::parse(split(module).1)
}

/// The path of a weight's module.
fn module_of(name: &str) -> Option<&str> {
    name.strip_suffix(".weight")
}

/// A path's module and its last step.
fn split(module: &str) -> (&str, &str) {
    module.rsplit_once('.').unwrap_or(("", module))
}
