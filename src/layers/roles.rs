//! What a module's name says by itself: its role among its siblings and other properties. Each rule is a function that names
//! the architectures that need it; synonyms are in [`words`](super::words).

use super::name::Segment;
use super::words::Meaning;

/// When a module runs, relative to its siblings. Ordered: a later role runs after an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Stem,
    /// A network that feeds the others: a segmentation model's classifier, UNETR's convolutional encoders.
    Backbone,
    /// Stages, encoders, and everything without another role.
    Body,
    /// Between encoder and decoder.
    Bottleneck,
    Decoder,
    /// After the last stage, before the head.
    Final,
    /// Turns features into classes.
    Head,
    /// Runs in training only, or beside the head.
    Aux,
}

impl Role {
    /// The role a name gives; [`Role::Body`] without one.
    pub fn of(segment: &Segment) -> Self {
        let means = |meaning| segment.means(meaning);
        // `conv_head` (EfficientNet) is the last feature convolution; `conv_stem` the first.
        let is_conv_head = segment.has(&["head"]) && segment.has(&["conv"]);
        // `finaldeconv1` and `firstconv` (LinkNet).
        let starts = |with: &str| segment.words.iter().any(|word| word.starts_with(with));
        // `patch_embed` (ViT) reads the image, `patch_merging` (Swin) does not.
        let is_other_patch = segment.has(&["patch"]) && !is_embedding(segment);
        if means(Meaning::Auxiliary) {
            Role::Aux
        } else if means(Meaning::Head) && !is_conv_head {
            Role::Head
        } else if means(Meaning::Final) || is_conv_head || starts("final") {
            Role::Final
        } else if starts("first") || (means(Meaning::Stem) && !is_other_patch) {
            Role::Stem
        } else if means(Meaning::Decoder) && !segment.has(&["down"]) {
            Role::Decoder
        } else if means(Meaning::Bottleneck) {
            Role::Bottleneck
        } else if means(Meaning::Backbone) {
            Role::Backbone
        } else {
            Role::Body
        }
    }
}

/// When a shortcut runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShortcutTurn {
    /// Before the main path: torchvision RegNet's and MaxViT's `proj`, MONAI ResidualUnit's `residual`, timm DLA's `project`.
    First,
    /// After the main path: PyTorch's own ResNet.
    Last,
}

/// When the module runs, if its name says shortcut.
pub(super) fn shortcut(segment: &Segment) -> Option<ShortcutTurn> {
    if segment.means(Meaning::Shortcut) {
        Some(ShortcutTurn::Last)
    } else if segment.words.len() == 1 && segment.means(Meaning::FirstShortcut) {
        Some(ShortcutTurn::First)
    } else {
        None
    }
}

/// Named as in PyTorch's own ResNets (`downsample`) or the usual CIFAR ResNet (`shortcut`): it runs in their order.
pub(super) fn is_usual_shortcut(segment: &Segment) -> bool {
    segment.has(&["downsample", "shortcut"])
}

/// Scales channels: squeeze-and-excite (SENet, EfficientNet) and similar.
pub(super) fn is_channel_gate(segment: &Segment) -> bool {
    segment.means(Meaning::ChannelGate) || (segment.has(&["squeeze"]) && segment.has(&["excite"]))
}

/// Weights its input: a channel gate, or attention of any kind.
pub(super) fn is_gate(segment: &Segment) -> bool {
    is_channel_gate(segment) || is_attention(segment)
}

/// Attention in a block (timm's `attn`).
pub(super) fn is_attention(segment: &Segment) -> bool {
    segment.has(&["attn"])
}

/// An attention gate: in a decoder it weights the skip connection (Attention U-Net's `Att4`, MONAI's `attention`).
pub(super) fn is_attention_gate(segment: &Segment) -> bool {
    segment.has(&["attention", "att"])
}

/// Computes attention's queries; a `proj` beside it runs after (ViT).
pub(super) fn is_query(segment: &Segment) -> bool {
    segment.has(&["qkv", "q", "query"])
}

/// Projects attention's output (ViT).
pub(super) fn is_projection(segment: &Segment) -> bool {
    segment.words == ["proj"]
}

/// Computes the offsets of the deformable convolution of its number, and runs before it (`conv2_offset`).
pub(super) fn is_offset(segment: &Segment) -> bool {
    segment.has(&["offset", "offsets"])
}

/// Joins the outputs of several others (DLA's `root`, CSPNet's unnumbered `conv_transition`).
pub(super) fn is_merge(segment: &Segment) -> bool {
    segment.means(Meaning::Merge)
        || (is_transition(segment) && segment.ordinal.iter().all(|part| part.0 == 0))
}

/// Lies between two stages (DenseNet's `transition1`) and waits for the stage of its number.
pub(super) fn is_transition(segment: &Segment) -> bool {
    segment.has(&["transition"])
}

/// Widens at the start of an inverted bottleneck (timm EfficientNet's `conv_pw`, `conv_exp`).
pub(super) fn is_widening(segment: &Segment) -> bool {
    (segment.has(&["pw"]) && !segment.has(&["proj"])) || segment.words == ["conv", "exp"]
}

/// Narrows at the end of an inverted bottleneck (timm EfficientNet's `conv_pwl`, MobileNetV4's `pw_proj`).
pub(super) fn is_narrowing(segment: &Segment) -> bool {
    segment.has(&["pwl"]) || (segment.has(&["pw"]) && segment.has(&["proj"]))
}

/// The blocks of a stage (ConvNeXt, timm's CSP networks).
pub(super) fn is_blocks(segment: &Segment) -> bool {
    segment.words == ["blocks"]
}

/// The blocks or layers of a stage (ConvNeXt, Swin): a `downsample` beside them is not a shortcut around them.
pub(super) fn is_stage_body(segment: &Segment) -> bool {
    segment.has(&["blocks", "layers"])
}

/// Starts a stage, if the blocks read its output (ConvNeXt).
pub(super) fn is_downsample(segment: &Segment) -> bool {
    segment.words == ["downsample"]
}

/// Starts a stage of blocks (`conv_down`, `conv_exp` of timm's CSP networks).
pub(super) fn opens_blocks(segment: &Segment) -> bool {
    segment.has(&["exp", "down"])
}

/// One of the branches of an Inception block.
pub(super) fn is_branch(segment: &Segment) -> bool {
    segment.has(&["branch"])
}

/// A branch that begins with pooling: the last one in an Inception block.
pub(super) fn is_pooled(segment: &Segment) -> bool {
    segment.has(&["pool"])
}

/// Named `conv`, with or without a number.
pub(super) fn is_plain_convolution(segment: &Segment) -> bool {
    segment.words == ["conv"]
}

/// Its first word says convolution (`conv_body`, `conv2d`, `convs`).
pub(super) fn is_convolution(segment: &Segment) -> bool {
    let mut words = segment.words.iter();
    words.next().is_some_and(|word| word.starts_with("conv"))
}

/// An unnumbered convolution: beside branches, it joins them (Inception-ResNet's `conv2d`).
pub(super) fn joins_branches(segment: &Segment) -> bool {
    is_unnumbered(segment, &["conv", "conv1d", "conv2d", "conv3d"])
}

/// An unnumbered convolution: beside encoders and decoders, it is the output (`conv`, `Conv_1x1` of Attention U-Net).
pub(super) fn ends_phases(segment: &Segment) -> bool {
    is_unnumbered(segment, &["conv", "conv2d", "conv3d", "1x1"])
}

fn is_unnumbered(segment: &Segment, words: &[&str]) -> bool {
    let mut own = segment.words.iter();
    segment.ordinal.is_empty()
        && !segment.words.is_empty()
        && own.all(|word| words.contains(&word.as_str()))
}

/// Joins two stages (DenseNet's and HRNet's `transition1`).
pub(super) fn is_joint(segment: &Segment) -> bool {
    segment.means(Meaning::Joint)
}

/// Its members run in parallel on one input (HRNet's branches, feature pyramids, ASPP).
pub(super) fn is_parallel(segment: &Segment) -> bool {
    segment.means(Meaning::Parallel)
}

/// Runs before siblings of its number: SqueezeNet's `squeeze`, BN-Inception's `3x3_reduce`, MobileOne's `conv_scale`.
pub(super) fn opens_pair(segment: &Segment) -> bool {
    segment.has(&["reduce", "squeeze", "scale"])
}

/// A step of a decoder, not the upsampling that starts it (U-Nets' `dec4` after `upconv4`).
pub(super) fn is_decoder_step(segment: &Segment) -> bool {
    segment.has(&["dec", "decoder"])
}

/// A head only at the top of a network: further in, `fc` and `linear` are parts of blocks (gates, transformers).
pub(super) fn is_head_at_top_only(segment: &Segment) -> bool {
    segment.has(&["fc", "linear"])
}

/// Produces an output (detectors, deep supervision), unless the name also says encoder.
pub(super) fn is_output(segment: &Segment) -> bool {
    segment.means(Meaning::Output) && !segment.has(&["encoder"])
}

/// Generates from noise instead of reading an input (a GAN's generator).
pub(super) fn is_generator(segment: &Segment) -> bool {
    segment.has(&["generator", "gen", "netg", "g"])
}

/// A transposed convolution, by a word (MONAI's `transp_conv`) or part of one (`convTranspose2d`, `transpconvs`,
/// `upscore8`).
pub(super) fn is_transposed(segment: &Segment) -> bool {
    const PARTS: [&str; 6] = [
        "deconv",
        "convtrans",
        "transpos",
        "transpconv",
        "upconv",
        "upscore",
    ];
    let text = segment.text.to_lowercase();
    segment.means(Meaning::Transposed) || PARTS.iter().any(|part| text.contains(part))
}

/// May abbreviate depthwise as well as deconvolution (ShuffleNet's `dconv`).
pub(super) fn may_be_depthwise(segment: &Segment) -> bool {
    segment.has(&["dconv"])
}

/// An embedding, by the beginning of a word (`patch_embed`, `embeddings`).
pub(super) fn is_embedding(segment: &Segment) -> bool {
    segment.words.iter().any(|word| word.starts_with("embed"))
}

/// An embedding, by any part of a word (`wordembeddings`).
pub(super) fn holds_embedding(segment: &Segment) -> bool {
    segment.words.iter().any(|word| word.contains("embedding"))
}

/// A LayerNorm (GPT-2's `ln_1`, ViT's `ln1`).
pub(super) fn is_layer_norm(segment: &Segment) -> bool {
    segment.words.first().is_some_and(|word| word == "ln")
}

/// A capsule network's layer (`primary_capsules`, `digit_caps`).
pub(super) fn is_capsule(segment: &Segment) -> bool {
    let is_capsule = |word: &String| word.contains("capsule") || word.ends_with("caps");
    segment.words.iter().any(is_capsule)
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
        let turn = |name: &str| shortcut(&Segment::parse(name));
        assert_eq!(turn("downsample"), Some(ShortcutTurn::Last));
        assert_eq!(turn("proj"), Some(ShortcutTurn::First));
        assert_eq!(turn("conv_proj"), None);
    }
}
