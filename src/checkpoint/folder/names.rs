//! The names that Hugging Face's libraries give to weights (`transformers`, `diffusers`, `accelerate`).

use std::ffi::OsStr;

use crate::checkpoint::index::is_index;

/// Names of weights in one file, as a stem and an ending. A variant's name may stand between them: `model.fp16.safetensors`.
const SINGLE_FILES: [(&str, &str); 4] = [
    ("model", "safetensors"),
    ("diffusion_pytorch_model", "safetensors"),
    ("pytorch_model", "bin"),
    ("diffusion_pytorch_model", "bin"),
];

/// Whether a file of this name holds or lists the weights of the folder that it is in.
pub(crate) fn is_weights(name: &OsStr) -> bool {
    is_index(name) || name.to_str().is_some_and(is_single_file)
}

fn is_single_file(name: &str) -> bool {
    SINGLE_FILES.iter().any(|(stem, ending)| {
        let rest = name
            .strip_suffix(ending)
            .and_then(|name| name.strip_suffix('.'));
        let variant = rest.and_then(|rest| rest.strip_prefix(stem));
        variant.is_some_and(|variant| match variant.strip_prefix('.') {
            Some(variant) => !variant.is_empty() && !variant.contains('.'),
            None => variant.is_empty(),
        })
    })
}

/// How far a name of weights is from the one that these libraries load first, the least first: safetensors before files of
/// `torch.save`, and what has no variant's name before what has one.
pub(super) fn rank(name: &str) -> (bool, bool) {
    let parts: Vec<&str> = name.split('.').collect();
    let parts_without_variant = if is_index(name.as_ref()) { 4 } else { 2 };
    (
        !parts.contains(&"safetensors"),
        parts.len() > parts_without_variant,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_known_with_and_without_a_variant_in_the_order_in_which_they_are_loaded() {
        let names = [
            "model.safetensors",
            "model.fp16.safetensors",
            "pytorch_model.bin",
            "diffusion_pytorch_model.non_ema.bin",
        ];
        assert!(names.iter().all(|name| is_weights(name.as_ref())));
        assert!(names.is_sorted_by(|a, b| rank(a) < rank(b)));
        let indexes = [
            "diffusion_pytorch_model.safetensors.index.json",
            "model.safetensors.index.fp16.json",
            "pytorch_model.bin.index.json",
            "pytorch_model.fp16.bin.index.json",
        ];
        assert!(indexes.iter().all(|name| is_weights(name.as_ref())));
        assert!(indexes.is_sorted_by(|a, b| rank(a) < rank(b)));
        for name in [
            "optimizer.bin",
            "training_args.bin",
            "model.bin",
            "model..safetensors",
            "model.a.b.safetensors",
            "models.safetensors",
            "model-00001-of-00002.safetensors",
            "adapter_model.safetensors",
        ] {
            assert!(!is_weights(name.as_ref()), "{name}");
        }
    }
}
