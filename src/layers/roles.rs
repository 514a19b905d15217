//! The vocabulary: what a module's name says about when it runs among its siblings.
//!
//! One table of words, from torchvision 0.28, timm 1.0, MONAI 1.6 and hand-written U-Nets. A word stands for a role,
//! never for a model: whatever is not decided by a role is decided by shapes.

use super::name::Segment;

/// When a module runs, relative to its siblings. Ordered: a later role runs after an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Reads the input.
    Stem,
    /// A network that feeds the others: a segmentation model's classifier, UNETR's convolutional encoders.
    Backbone,
    /// Stages, encoders, and all that has no other role.
    Body,
    /// Between encoder and decoder.
    Bottleneck,
    /// Decoders.
    Decoder,
    /// After the last stage, before the head.
    Final,
    /// Turns features into classes.
    Head,
    /// Runs in training only, or beside the head.
    Aux,
}

const STEM: &[&str] = &[
    "stem", "inc", "input", "initial", "init", "first", "inconv", "convin", "in", "entry", "patch",
    "start",
];
const BACKBONE: &[&str] = &["backbone", "vit", "trunk", "visual"];
const BOTTLENECK: &[&str] = &[
    "bottleneck",
    "bottom",
    "bridge",
    "middle",
    "mid",
    "center",
    "centre",
    "latent",
    "intermediate",
];
const DECODER: &[&str] = &[
    "dec",
    "decoder",
    "decoders",
    "decode",
    "up",
    "ups",
    "upconv",
    "upcat",
    "upsample",
    "upsamples",
    "upsampling",
    "deconv",
    "upblock",
    "uplayer",
    "upscale",
    "expansive",
    "transp",
    "tconv",
    "decs",
    "upconvs",
    "deconvs",
    "upblocks",
    "uplayers",
];
const FINAL: &[&str] = &[
    "final", "outc", "out", "output", "last", "outconv", "tail", "exit", "mlp", "ffn", "end",
    "side",
];
const HEAD: &[&str] = &[
    "classifier",
    "fc",
    "head",
    "heads",
    "linear",
    "logits",
    "prelogits",
    "cls",
    "predictor",
    "prediction",
    "classification",
];
const AUX: &[&str] = &["aux", "auxiliary", "supervision"];
/// Joins what its siblings give, so it runs after them.
const MERGE: &[&str] = &["merge", "concat", "cat", "fuse", "fusion", "root"];
const CHANNEL_GATE: &[&str] = &[
    "se",
    "eca",
    "cbam",
    "squeezeexcite",
    "excitation",
    "selayer",
    "seblock",
];
/// Around a block's main path; run last, as PyTorch's own ResNet does (`out += self.downsample(x)`).
const SHORTCUT: &[&str] = &[
    "downsample",
    "shortcut",
    "shortcuts",
    "skip",
    "skips",
    "identity",
];
/// Around a block's main path; run first (torchvision RegNet and MaxViT: `self.proj(x) + self.f(x)`; MONAI's
/// ResidualUnit: `res = self.residual(x)`; timm DLA's `project`).
const SHORTCUT_FIRST: &[&str] = &["proj", "residual", "project"];
/// Joins two stages: after the stage of the same number (DenseNet's and HRNet's `transition1`).
const JOINT: &[&str] = &["transition", "pool", "down", "downsample"];
/// Lists whose members run side by side on one input.
const PARALLEL: &[&str] = &[
    "branch", "branches", "convs", "heads", "fuse", "paths", "path", "lateral", "fpn", "inner",
    "loc", "conf", "aspp", "towers", "tower",
];
impl Role {
    /// The role a name gives; [`Role::Body`] without one.
    pub fn of(segment: &Segment) -> Self {
        let has = |words| segment.has(words);
        // `conv_head` (EfficientNet) is the last feature convolution; `conv_stem` the first.
        let conv_head = has(&["head"]) && has(&["conv"]);
        let embedding = segment.words.iter().any(|word| word.starts_with("embed"));
        // `finaldeconv1` and `firstconv` (LinkNet).
        let starts = |with: &str| segment.words.iter().any(|word| word.starts_with(with));
        let (is_first, is_final) = (starts("first"), starts("final"));
        if has(AUX) {
            Role::Aux
        } else if has(HEAD) && !conv_head {
            Role::Head
        } else if has(FINAL) || conv_head || is_final {
            Role::Final
        } else if is_first || (has(STEM) && (!has(&["patch"]) || embedding)) {
            Role::Stem
        } else if has(DECODER) && !has(&["down"]) {
            Role::Decoder
        } else if has(BOTTLENECK) {
            Role::Bottleneck
        } else if has(BACKBONE) {
            Role::Backbone
        } else {
            Role::Body
        }
    }
}

/// Whether a name says squeeze-and-excite or another gate on channels.
pub(super) fn is_channel_gate(segment: &Segment) -> bool {
    segment.has(CHANNEL_GATE)
        || (segment.has(&["squeeze"]) && segment.has(&["excitation", "excite"]))
}

/// Whether a name says that the module weighs what it is given: a channel gate, or attention of any kind.
pub(super) fn is_gate(segment: &Segment) -> bool {
    is_channel_gate(segment) || segment.has(&["attn"])
}

/// Whether a name says that the module tells the convolution of its number where to look: it runs before that (deformable
/// convolution's `conv2_offset`).
pub(super) fn steers(segment: &Segment) -> bool {
    segment.has(&["offset", "offsets"])
}

/// Whether a name says that the module joins what several others give.
pub(super) fn is_merge(segment: &Segment) -> bool {
    segment.has(MERGE)
        || (segment.has(&["transition"]) && segment.ordinal.iter().all(|part| part.0 == 0))
}

/// Whether a name says that the module opens an inverted bottleneck: a narrowing one closes it.
pub(super) fn is_widening(segment: &Segment) -> bool {
    (segment.has(&["pw"]) && !segment.has(&["proj"])) || segment.words == ["conv", "exp"]
}

/// Whether a name says that the module closes an inverted bottleneck.
pub(super) fn is_narrowing(segment: &Segment) -> bool {
    segment.has(&["pwl"]) || (segment.has(&["pw"]) && segment.has(&["proj"]))
}

/// Whether a name says attention gate: in a decoder it weighs the skip connection.
pub(super) fn is_attention(segment: &Segment) -> bool {
    segment.has(&["attention", "att"])
}

/// Whether a name says that the module makes attention's queries; a `proj` beside it comes after.
pub(super) fn is_query(segment: &Segment) -> bool {
    segment.has(&["qkv", "q", "query"])
}

/// Whether a name says shortcut, and if so whether that runs before the main path.
pub(super) fn shortcut(segment: &Segment) -> Option<bool> {
    if segment.has(SHORTCUT) {
        Some(false)
    } else if segment.words.len() == 1 && segment.has(SHORTCUT_FIRST) {
        Some(true)
    } else {
        None
    }
}

/// Whether a name says that the module joins two stages.
pub(super) fn is_joint(segment: &Segment) -> bool {
    segment.has(JOINT)
}

/// Whether a name says that its members run side by side.
pub(super) fn is_parallel(segment: &Segment) -> bool {
    segment.has(PARALLEL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str) -> Role {
        Role::of(&Segment::parse(name))
    }

    #[test]
    fn words_give_roles() {
        for (name, expected) in [
            ("conv_stem", Role::Stem),
            ("patch_embed", Role::Stem),
            ("in_tr", Role::Stem),
            ("backbone", Role::Backbone),
            ("denseblock4", Role::Body),
            ("down_tr64", Role::Body),
            ("bottleneck", Role::Bottleneck),
            ("upconv4", Role::Decoder),
            ("dec1", Role::Decoder),
            ("up_path", Role::Decoder),
            ("_conv_head", Role::Final),
            ("outc", Role::Final),
            ("pre_logits", Role::Head),
            ("classifier", Role::Head),
            ("AuxLogits", Role::Aux),
            ("aux_classifier", Role::Aux),
        ] {
            assert_eq!(role(name), expected, "{name}");
        }
    }

    #[test]
    fn shortcuts_know_their_turn() {
        assert_eq!(shortcut(&Segment::parse("downsample")), Some(false));
        assert_eq!(shortcut(&Segment::parse("proj")), Some(true));
        assert_eq!(shortcut(&Segment::parse("conv_proj")), None);
    }
}
