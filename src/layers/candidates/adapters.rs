//! Adapters (LoRA and similar): factors that a program adds to a layer's weight; they are not layers.
//!
//! The names are those of PEFT (`x.lora_A.default.weight`), of diffusers (`x.lora.up.weight`, `x_lora.down.weight`) and of
//! the LyCORIS and kohya scripts (`lora_unet_x.lora_up.weight`, `….hada_w1_a`, `….lokr_w1`).

/// Parts of names that identify a factor by themselves, in lower case.
const FACTORS: [&str; 15] = [
    "lora_a",
    "lora_b",
    "lora_e",
    "lora_up",
    "lora_mid",
    "lora_down",
    "lora_embedding_a",
    "lora_embedding_b",
    "lora_magnitude_vector",
    "dora_scale",
    "vera_a",
    "vera_b",
    "vera_lambda_b",
    "vera_lambda_d",
    "ia3_l",
];

/// Prefixes of adapter families, in lower case, and the names of their factors. Listing those excludes modules that only
/// share the prefix (`oft_encoder`).
const FAMILIES: [(&str, &[&str]); 4] = [
    (
        "hada_",
        &["w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t1", "t2"],
    ),
    (
        "lokr_",
        &["w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t1", "t2"],
    ),
    ("oft_", &["r", "s", "block", "blocks", "diag", "blocks_r"]),
    ("boft_", &["r", "s", "p"]),
];

/// Parents of factors named only `up`, `down` or `mid`.
const HOLDERS: [&str; 3] = ["lora", "lora_linear_layer", "lora_conv2d_layer"];

/// Whether a tensor of this name is a factor of an adapter.
pub(super) fn is_factor(name: &str) -> bool {
    let mut holder = false;
    name.split('.').any(|part| {
        let is_one_of = |words: &[&str]| words.iter().any(|word| part.eq_ignore_ascii_case(word));
        let found = is_one_of(&FACTORS)
            || FAMILIES.iter().any(|(family, members)| {
                let start = part.get(..family.len());
                start.is_some_and(|start| start.eq_ignore_ascii_case(family))
                    && members
                        .iter()
                        .any(|member| part[family.len()..].eq_ignore_ascii_case(member))
            })
            || (holder && is_one_of(&["up", "down", "mid"]));
        holder = is_one_of(&HOLDERS) || part.ends_with("_lora");
        found
    })
}

/// The module that an adapter wraps: PEFT moves the weight of `x` to `x.base_layer`.
pub(in crate::layers) fn wrapped(module: &str) -> &str {
    module.strip_suffix(".base_layer").unwrap_or(module)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_told_by_name() {
        for name in [
            "base_model.model.conv1.lora_A.weight",
            "base_model.model.conv1.lora_B.default.weight",
            "conv1.lora_magnitude_vector.default.weight",
            "lora_unet_down_blocks_0_resnets_0_conv1.lora_down.weight",
            "lora_unet_mid_block_resnets_0_conv1.lora_mid.weight",
            "unet.conv_in.lora.up.weight",
            "attn.processor.to_q_lora.down.weight",
            "conv1.lora_linear_layer.up.weight",
            "lycoris_conv1.hada_w1_a",
            "conv1.hada_t1.default",
            "lycoris_conv1.lokr_w2",
            "conv1.oft_r.default.weight",
            "conv1.oft_blocks",
            "lora_unet_conv_in.dora_scale",
        ] {
            assert!(is_factor(name), "{name}");
        }
        for name in [
            "conv1.weight",
            "up.0.weight",
            "decoder.up.weight",
            "explorer.up.weight",
            "lora_net.conv1.weight",
            "base_model.model.conv1.base_layer.weight",
            "soft_r.weight",
            "oft_encoder.weight",
            "flora.up.weight",
        ] {
            assert!(!is_factor(name), "{name}");
        }
    }

    #[test]
    fn a_base_layer_is_the_module_it_stands_in() {
        assert_eq!(wrapped("net.conv1.base_layer"), "net.conv1");
        assert_eq!(wrapped("net.conv1"), "net.conv1");
        assert_eq!(wrapped("base_layer"), "base_layer");
        assert_eq!(wrapped("dla.base_layer.0"), "dla.base_layer.0");
    }
}
