//! Tensors named `*.weight` that belong to no layer with kernels: embeddings, recurrent cells, norms over feature maps,
//! bilinear forms and capsules.

use std::collections::HashMap;

use crate::checkpoint::Tensor;
use crate::layers::name::Segment;
use crate::layers::roles;
use crate::layers::words::Meaning;

use super::companions::Companions;

/// Square extents from this size on are a capsule's matrix: kernels in capsule networks are up to 9×9.
const CAPSULE_SIDE: usize = 12;

/// Finds weights that belong to no layer.
pub(super) struct Tables<'a> {
    companions: &'a Companions<'a>,
    /// Shapes of the weights of numbered modules, by path.
    numbered: HashMap<&'a str, &'a [usize]>,
}

impl<'a> Tables<'a> {
    pub fn of(tensors: &'a [Tensor], companions: &'a Companions<'a>) -> Self {
        let numbered = tensors.iter().filter_map(|tensor| {
            let module = tensor.name.strip_suffix(".weight")?;
            let is_numbered = module.ends_with(|end: char| end.is_ascii_digit());
            is_numbered.then_some((module, tensor.shape.as_slice()))
        });
        Self {
            companions,
            numbered: numbered.collect(),
        }
    }

    /// Whether the module's weight belongs to no layer.
    pub fn contain(&self, module: &str, shape: &[usize]) -> bool {
        self.companions.has_shaped_bias(module)
            || is_named(module, shape)
            || (shape.len() >= 3 && self.follows_convolution(module, shape))
    }

    /// In an `nn.Sequential`, a weight right after a convolution over one more dimension, with an entry for each of its
    /// outputs, is a LayerNorm over `[channels, height, width]`: a `Conv1d` cannot read a `Conv2d`'s output.
    fn follows_convolution(&self, module: &str, shape: &[usize]) -> bool {
        let at = module.rfind('.').map_or(0, |dot| dot + 1);
        let before = module[at..]
            .parse()
            .ok()
            .and_then(|number: u64| number.checked_sub(1));
        before.is_some_and(|before| {
            let before = format!("{}{before}", &module[..at]);
            self.numbered
                .get(before.as_str())
                .is_some_and(|before| before.len() == shape.len() + 1 && before[0] == shape[0])
        })
    }
}

/// Whether the name says so. A table has rank 2 (`pos_embed.weight`); a projection inside one (`patch_embed.proj`) is a
/// layer.
fn is_named(module: &str, shape: &[usize]) -> bool {
    let mut path = module.rsplit('.').map(Segment::parse);
    let Some(last) = path.next() else {
        return false;
    };
    if shape.len() >= 3 && last.means(Meaning::Layer) {
        return false;
    }
    // No table has rank 4: `embed_data` may well be a convolution.
    if shape.len() >= 4 && roles::is_embedding(&last) && !last.means(Meaning::Position) {
        return false;
    }
    let parent = path.next();
    last.means(Meaning::Table)
        || roles::holds_embedding(&last)
        // A weight of rank 2 is no convolution anyway.
        || (shape.len() >= 3 && roles::is_layer_norm(&last))
        || (shape.len() == 3 && last.means(Meaning::Bilinear))
        || (is_capsule_shaped(shape)
            && (roles::is_capsule(&last) || parent.as_ref().is_some_and(roles::is_capsule)))
}

/// A matrix for each pair of capsules; capsule networks' convolutions have square kernels, or kernels 1 high or wide.
fn is_capsule_shaped(shape: &[usize]) -> bool {
    match *shape {
        [_, _, .., height, width] if height == width => width >= CAPSULE_SIDE,
        [_, _, .., height, width] => height > 1 && width > 1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_norms_forms_and_capsules_from_convolutions() {
        let tables: [(&str, &[usize]); 9] = [
            ("ln1", &[16, 28, 28]),
            ("block.ln_2", &[16, 8, 28, 28]),
            ("norm2", &[16, 28, 28]),
            ("bilinear", &[8, 16, 16]),
            ("head.bilinear1", &[2, 64, 32]),
            ("capsule", &[10, 32, 16, 8]),
            ("digit_caps", &[10, 1152, 16, 8]),
            ("digitcaps", &[10, 1152, 16, 16]),
            ("caps_layer.transform", &[10, 32, 16, 8]),
        ];
        for (module, shape) in tables {
            assert!(is_named(module, shape), "{module}");
        }
        let convolutions: [(&str, &[usize]); 8] = [
            ("plain1", &[16, 28, 28]),
            ("primary_capsules.0", &[32, 256, 9, 9]),
            ("primary_caps.conv", &[32, 256, 3, 9]),
            ("capsule", &[32, 256, 1, 9]),
            ("capsule", &[32, 256, 9]),
            ("bilinear_upsample", &[21, 21, 4, 4]),
            ("norm_conv", &[16, 16, 3, 3]),
            ("lnet", &[16, 16, 3, 3]),
        ];
        for (module, shape) in convolutions {
            assert!(!is_named(module, shape), "{module}");
        }
    }
}
