//! Which tensors are the weights of layers.

use std::collections::{HashMap, HashSet};

use crate::checkpoint::Tensor;

use super::name::Segment;
use super::pattern::NamePattern;

/// What a candidate's name and shape say about its layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// `[out, in/groups, k…]`.
    Forward,
    /// `[in, out/groups, k…]`, with the groups.
    Transposed(usize),
    /// One of the two above; nothing tells which.
    Undecided,
    /// The main part of a parametrised weight: it holds a place in the order, but is not merged.
    Parametrised,
    /// A further part of a parametrised weight: it holds no place.
    Part,
    /// TensorFlow's `[height, width, in, out]`.
    Foreign,
    /// Some extent is zero.
    Empty,
    /// The bias has this length, which neither axis explains.
    Misfit(usize),
}

/// A tensor that is, or stands for, the weight of a layer.
#[derive(Clone, Debug)]
pub(super) struct Candidate<'a> {
    /// Index into the tensor table.
    pub tensor: usize,
    /// The other tensors that hold the same weight, in order of their names.
    pub copies: Vec<usize>,
    /// Path of the module it belongs to.
    pub module: &'a str,
    /// Extents.
    pub shape: &'a [usize],
    /// How the extents are to be read.
    pub layout: Layout,
}

impl Candidate<'_> {
    /// Whether it is a fully connected layer.
    pub fn linear(&self) -> bool {
        self.shape.len() == 2
    }

    /// Output channels: the number of kernels.
    pub fn out(&self) -> usize {
        match self.layout {
            Layout::Transposed(groups) => self.shape[1].saturating_mul(groups),
            Layout::Foreign => *self.shape.last().unwrap_or(&0),
            _ => self.shape[0],
        }
    }

    /// Input channels that one kernel reads; for a transposed convolution, all input channels.
    pub fn reads(&self) -> usize {
        match self.layout {
            Layout::Transposed(_) => self.shape[0],
            _ => self.shape[1],
        }
    }

    /// Whether all kernel sizes are 1.
    pub fn is_point(&self) -> bool {
        self.shape[2..].iter().all(|&extent| extent == 1)
    }
}

/// Lengths of the vectors beside the weights: biases and norms, by module path.
pub(super) struct Companions<'a> {
    biases: HashMap<&'a str, usize>,
    norms: HashMap<&'a str, usize>,
    gains: HashSet<&'a str>,
    /// Modules with a bias of rank 2 and more. A layer's bias is a vector: these are LayerNorms over
    /// `[channels, height, width]` and the like.
    shaped_biases: HashSet<&'a str>,
}

impl<'a> Companions<'a> {
    /// Collect them from a tensor table.
    pub fn of(tensors: &'a [Tensor]) -> Self {
        let mut found = Self {
            biases: HashMap::new(),
            norms: HashMap::new(),
            gains: HashSet::new(),
            shaped_biases: HashSet::new(),
        };
        for tensor in tensors {
            let Some((module, last)) = tensor.name.rsplit_once('.') else {
                continue;
            };
            match (last, tensor.shape.as_slice()) {
                ("bias", &[length]) => _ = found.biases.insert(module, length),
                ("weight", &[length]) => _ = found.norms.insert(module, length),
                ("bias", &[_, _, ..]) => _ = found.shaped_biases.insert(module),
                ("gain", _) => _ = found.gains.insert(module),
                _ => {}
            }
        }
        found
    }

    /// Length of a module's bias.
    pub fn bias(&self, module: &str) -> Option<usize> {
        self.biases.get(module).copied()
    }

    /// Length of a normalisation's scale.
    pub fn norm(&self, module: &str) -> Option<usize> {
        self.norms.get(module).copied()
    }

    /// Whether the module standardises its weights by a gain: then its network has no norms.
    pub fn has_gain(&self, module: &str) -> bool {
        self.gains.contains(module)
    }
}

/// Words of modules whose weight is a table or a recurrent cell, not a layer with kernels.
const TABLES: [&str; 16] = [
    "embedding",
    "embeddings",
    "embed",
    "token",
    "tokens",
    "pos",
    "position",
    "positional",
    "wte",
    "wpe",
    "rel",
    "lstm",
    "gru",
    "rnn",
    "norm",
    "layernorm",
];

/// Last parts of names that belong to a parametrised weight; `true` marks the one that has the weight's shape.
const PARTS: [(&str, bool); 5] = [
    ("weight_orig", true),
    ("weight_mask", false),
    ("weight_v", true),
    ("weight_g", false),
    ("weight_bar", true),
];

/// Find the candidates. A float tensor of rank 2 to 5 named `*.weight` (or just `weight`) is one; so is a float
/// tensor of rank 3 to 5 that an `--include` glob names.
pub(super) fn find<'a>(
    tensors: &'a [Tensor],
    companions: &Companions<'_>,
    include: &[NamePattern],
) -> Vec<Candidate<'a>> {
    let mut found = Vec::new();
    for (index, tensor) in tensors.iter().enumerate() {
        if tensor.float_type().is_none() || !(2..=5).contains(&tensor.rank()) {
            continue;
        }
        let (module, last) = tensor.name.rsplit_once('.').unwrap_or(("", &tensor.name));
        let (module, layout) = if last == "weight" {
            if is_table(module, tensor.rank()) || companions.shaped_biases.contains(module) {
                continue;
            }
            (module, layout(tensor, module, companions, false))
        } else if let Some(&(_, main)) = PARTS.iter().find(|(part, _)| *part == last) {
            (
                module,
                if main {
                    Layout::Parametrised
                } else {
                    Layout::Part
                },
            )
        } else if let Some((owner, part)) = parametrisation(&tensor.name) {
            (
                owner,
                if part == "original0" {
                    Layout::Part
                } else {
                    Layout::Parametrised
                },
            )
        } else if tensor.rank() >= 3 && include.iter().any(|pattern| pattern.matches(&tensor.name))
        {
            (
                tensor.name.as_str(),
                layout(tensor, &tensor.name, companions, true),
            )
        } else {
            continue;
        };
        found.push(Candidate {
            tensor: index,
            copies: Vec::new(),
            module,
            shape: &tensor.shape,
            layout,
        });
    }
    found
}

/// `conv.parametrizations.weight.original0` → (`conv`, `original0`).
fn parametrisation(name: &str) -> Option<(&str, &str)> {
    let (owner, part) = match name.strip_prefix("parametrizations.weight.") {
        Some(part) => ("", part),
        None => name.split_once(".parametrizations.weight.")?,
    };
    matches!(part, "original" | "original0" | "original1").then_some((owner, part))
}

/// Tables are of rank 2 as a rule (`pos_embed.weight`); a projection inside one (`patch_embed.proj`) is a layer.
fn is_table(module: &str, rank: usize) -> bool {
    let last = Segment::parse(module.rsplit('.').next().unwrap_or(module));
    let table = last.has(&TABLES) || last.words.iter().any(|word| word.contains("embedding"));
    // `patch_embed` may itself be the convolution that cuts the patches.
    table && !(rank >= 3 && last.has(&["patch", "patches", "proj", "projection", "conv"]))
}

/// Names that say "transposed" of themselves.
const TRANSPOSED: [&str; 11] = [
    "deconv",
    "transp",
    "transpose",
    "transposed",
    "tconv",
    "convt",
    "convtranspose",
    "upconv",
    "convtrans",
    "dconv",
    "deconvolution",
];

/// Names that say so only if the kernel fits a stride of 2: an upsampling followed by a convolution has them too.
const UPWARD: [&str; 6] = [
    "up",
    "ups",
    "upsample",
    "upsampling",
    "upscale",
    "upsamples",
];

/// Names under which an even kernel is a strided convolution's.
const DOWNWARD: [&str; 8] = [
    "down",
    "downs",
    "downsample",
    "stem",
    "patch",
    "enc",
    "encoder",
    "proj",
];

fn layout(tensor: &Tensor, module: &str, companions: &Companions<'_>, included: bool) -> Layout {
    let shape = &tensor.shape;
    if shape.contains(&0) {
        return Layout::Empty;
    }
    let (first, second) = (shape[0], shape[1]);
    let bias = companions.bias(module);
    if shape.len() == 2 {
        return Layout::Forward;
    }
    if included && is_foreign(shape) {
        return Layout::Foreign;
    }
    if let Some(bias) = bias {
        if bias != first && bias % second == 0 && first % (bias / second).max(1) == 0 {
            return Layout::Transposed(bias / second);
        }
        if bias != first {
            return Layout::Misfit(bias);
        }
        if first != second {
            return Layout::Forward;
        }
    }
    if shape[2..].iter().all(|&extent| extent == 1) {
        return Layout::Forward;
    }
    let mut path = module.rsplit('.').map(Segment::parse);
    let (own, parent) = (path.next(), path.next());
    let near = [own.as_ref(), parent.as_ref()];
    let says = |words: &[&str]| near.iter().flatten().any(|segment| segment.has(words));
    // Kernels of 2 and 4 are what a stride of 2 takes; of 3 they are an ordinary convolution's as well.
    let strided = shape[2..].iter().all(|&extent| extent == 2 || extent == 4);
    let follower = own
        .as_ref()
        .filter(|own| own.is_number())
        .and_then(|own| following_norm(module, own, companions));
    match follower {
        Some(length) if length == second && first != second => return Layout::Transposed(1),
        Some(length) if length == first && first != second => return Layout::Forward,
        _ => {}
    }
    // `double_conv` below an `up1` is a pair of plain convolutions: the nearer name decides.
    if says(&TRANSPOSED) || (says(&UPWARD) && strided) {
        return Layout::Transposed(1);
    }
    if first != second {
        return Layout::Forward;
    }
    // A square weight reads the same either way, and an even kernel is more often than not a stride's.
    let upward = own.as_ref().is_some_and(|own| {
        own.has(&UPWARD)
            || (own.is_number() && parent.as_ref().is_some_and(|parent| parent.has(&UPWARD)))
    });
    let downward = says(&DOWNWARD);
    if upward || (strided && !downward) {
        Layout::Undecided
    } else {
        Layout::Forward
    }
}

/// The scale of the norm that follows a convolution in an `nn.Sequential`: at one of the next two numbers.
fn following_norm(module: &str, own: &Segment, companions: &Companions<'_>) -> Option<usize> {
    let prefix = &module[..module.len() - own.text.len()];
    let number: u64 = own.text.parse().ok()?;
    (1..=2).find_map(|step| companions.norm(&format!("{prefix}{}", number.checked_add(step)?)))
}

/// `[3, 3, in, out]`: small equal extents lead and large ones trail, the other way round than in PyTorch.
fn is_foreign(shape: &[usize]) -> bool {
    let (spatial, channels) = shape.split_at(shape.len() - 2);
    let largest = spatial.iter().copied().max().unwrap_or(0);
    largest <= 11
        && spatial.iter().all(|&extent| extent == largest)
        && channels[1] > 11
        && channels[1] > largest
}
