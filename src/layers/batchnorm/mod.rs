//! The BatchNorm behind each layer, whose running statistics are those of its output channels.
//!
//! Files do not say what reads a layer's outputs. It is read off names and lengths: `conv2` and `bn2`, `0` and `1` of an `nn.Sequential`, the
//! only two of a module, or as many norms as convolutions, in their order. Where a norm comes *before* its convolution (DenseNet, ResNets of the
//! second version), its length is that of the inputs, and the convolution's own norm is the next one's. Where that leaves it open there is none,
//! rather than a guess.

mod norms;
mod pairs;
mod paths;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use super::behind::{Behind, NormBehind};
use super::declared::Declared;
use super::error::Error;
use super::layer::Layer;
use crate::checkpoint::Tensor;
use norms::Norms;
use paths::{is_vector, module_of};

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
