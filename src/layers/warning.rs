//! What a user should know about a layer model that could be made.

use std::fmt;

use crate::checkpoint::Dtype;

/// Something about the layers that deserves a line on stderr and in the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Two modules may run either way round, and the cut falls between them: which layers are shallow is in doubt.
    OpenOrder {
        /// Path of the module placed first.
        first: String,
        /// Path of the one placed second.
        second: String,
        /// How many further pairs are in the same position.
        others: usize,
    },
    /// A layer before the cut reads channels that no layer before it gives: something that runs before it stands behind.
    Unfed {
        /// The tensor.
        name: String,
        /// Channels that each of its kernels reads.
        reads: usize,
    },
    /// The first layer cannot read an image, while another can.
    NoStem {
        /// The tensor placed first.
        first: String,
        /// The tensor that can read an image.
        stem: String,
    },
    /// An order list leaves convolutions out: they follow it, in the order their structure gives.
    OrderIncomplete {
        /// `--order`, `--layers` or the metadata key.
        origin: &'static str,
        /// The first one left out.
        first: String,
        /// How many were left out.
        count: usize,
    },
    /// The list that a flag names comes before the metadata's.
    MetadataOverruled {
        /// `--order` or `--layers`.
        flag: &'static str,
    },
    /// What is declared a copy has other values than its original, or all its values are one number.
    UnequalCopy {
        /// The tensor.
        name: String,
        /// What it is declared a copy of.
        original: String,
    },
    /// Several networks: depth starts from 1 in each.
    Networks {
        /// Paths of the modules that hold them; empty for what stands outside the others.
        roots: Vec<String>,
        /// Whether they have the same layers.
        are_copies: bool,
    },
    /// A weight stored in parts (pruning, weight norm, spectral norm, a parametrisation).
    Parametrised {
        /// The tensor.
        name: String,
    },
    /// Groups fit the shapes as well as one dense convolution does.
    AmbiguousGroups {
        /// The tensor.
        name: String,
        /// Channels that come in.
        channels: usize,
        /// Channels that each kernel reads.
        per_kernel: usize,
    },
    /// Both reading the weight as a convolution and as a transposed one fit.
    AmbiguousTransposed {
        /// The tensor.
        name: String,
    },
    /// The kernel axis seems to be the last, as TensorFlow, Keras and Flax lay weights out.
    ForeignLayout {
        /// The first such tensor.
        name: String,
        /// How many more there are.
        others: usize,
    },
    /// The channels seem to be on the last axis, as MLX lays weights out, but that is not certain.
    ChannelsLast {
        /// The first such tensor.
        name: String,
        /// How many more there are.
        others: usize,
    },
    /// Factors of adapters (LoRA and its kin).
    Adapter {
        /// The first of them.
        name: String,
        /// How many more there are.
        others: usize,
    },
    /// Convolutions whose weights are integers, or floats of 8 bits and fewer.
    StoredAs {
        /// The first of them.
        name: String,
        /// The type.
        dtype: Dtype,
        /// How many more there are.
        others: usize,
    },
    /// Tensors that look like kernels of convolutions but are not named so.
    UnnamedKernels {
        /// The first of them.
        names: Vec<String>,
        /// How many there are.
        count: usize,
        /// How many of them are laid out as TensorFlow, Keras and Flax do.
        foreign: usize,
        /// A glob that names them all, if there is a short one.
        glob: Option<String>,
    },
    /// The bias fits neither axis of the weight.
    BiasMismatch {
        /// The tensor.
        name: String,
        /// The bias's length.
        bias: usize,
    },
    /// An extent is zero.
    Empty {
        /// The tensor.
        name: String,
    },
}

/// What to do where the order is in doubt.
const REMEDY: &str = "pass `--layers FILE` or `--order FILE`";

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::OpenOrder {
                first,
                second,
                others,
            } => {
                write!(
                    f,
                    "neither names nor shapes tell the order of `{first}` and `{second}`"
                )?;
                if *others > 0 {
                    write!(f, " (and of {others} more pairs)")?;
                }
                write!(
                    f,
                    ", and the --skip-shallow cut falls among them: {REMEDY} if `{first}` does not run first"
                )
            }
            Warning::Unfed { name, reads } => write!(
                f,
                "the order is in doubt: neither names nor shapes tell what runs before `{name}`, which reads {reads} channels that no layer before it gives; {REMEDY}"
            ),
            Warning::NoStem { first, stem } => write!(
                f,
                "the order is in doubt: neither names nor shapes tell why `{first}` would run first, as it cannot read an image and `{stem}` can; {REMEDY}"
            ),
            Warning::OrderIncomplete {
                origin,
                first,
                count,
            } => {
                write!(
                    f,
                    "{origin} leaves out {count} convolutions, the first `{first}`: they follow the listed ones, in structural order"
                )
            }
            Warning::MetadataOverruled { flag } => write!(
                f,
                "the file's own metadata `inmerge.layers` is not used: `{flag}` says otherwise"
            ),
            Warning::UnequalCopy { name, original } => write!(
                f,
                "`{name}` is declared a copy of `{original}`, but their values differ: it is left alone; make them equal, or list it as a layer of its own"
            ),
            Warning::Networks { roots, are_copies } => {
                let named: Vec<String> = roots
                    .iter()
                    .map(|root| match &root[..] {
                        "" => "what is outside the others".to_owned(),
                        _ => format!("`{root}`"),
                    })
                    .collect();
                let what = if *are_copies {
                    "copies of one network"
                } else {
                    "networks"
                };
                write!(
                    f,
                    "the file holds {} {what} ({}): depth, and so --skip-shallow, starts again in each",
                    roots.len(),
                    named.join(", ")
                )
            }
            Warning::Parametrised { name } => {
                write!(
                    f,
                    "`{name}` is part of a parametrised weight (pruning, weight or spectral norm): it is not merged; remove the parametrisation before saving to include it"
                )
            }
            Warning::AmbiguousGroups {
                name,
                channels,
                per_kernel,
            } => write!(
                f,
                "`{name}`: {channels} channels come in and each kernel reads {per_kernel}; whether it is grouped cannot be told, so it is not merged; `--layers FILE` with its `groups` settles that"
            ),
            Warning::AmbiguousTransposed { name } => {
                write!(
                    f,
                    "`{name}` may be a convolution or a transposed one, and nothing tells which: it is not merged; `--layers FILE` with its `kind` settles that"
                )
            }
            Warning::ForeignLayout { name, others } => write!(
                f,
                "{} to be laid out as [height, width, in, out]; only [out, in, …] is supported: not merged",
                counted(name, *others, "seems", "seem")
            ),
            Warning::ChannelsLast { name, others } => write!(
                f,
                "{} to be laid out as [out, height, width, in], as MLX does, but that is not certain: not merged; the metadata \
                `format: mlx` settles it, unless shapes, biases or names contradict it",
                counted(name, *others, "seems", "seem")
            ),
            Warning::Adapter { name, others } => write!(
                f,
                "{} (LoRA or its kin): left alone and not counted in depth",
                counted(
                    name,
                    *others,
                    "is a factor of an adapter, not a layer",
                    "are factors of an adapter, not layers"
                )
            ),
            Warning::StoredAs {
                name,
                dtype,
                others,
            } => write!(
                f,
                "{} stored as {dtype}, which cannot be merged: counted in depth and left alone; F64, F32, F16 and BF16 can",
                counted(name, *others, "is", "are")
            ),
            Warning::UnnamedKernels {
                names,
                count,
                foreign,
                glob,
            } => unnamed(f, names, *count, *foreign, glob.as_deref()),
            Warning::BiasMismatch { name, bias } => write!(
                f,
                "`{name}`: its bias has {bias} values, which fits neither axis: it is not merged"
            ),
            Warning::Empty { name } => {
                write!(f, "`{name}` has an extent of zero: it is not merged")
            }
        }
    }
}

/// `` `a` seems `` or `` `a` and 3 more seem ``.
fn counted(name: &str, others: usize, one: &str, several: &str) -> String {
    match others {
        0 => format!("`{name}` {one}"),
        others => format!("`{name}` and {others} more {several}"),
    }
}

fn unnamed(
    f: &mut fmt::Formatter<'_>,
    names: &[String],
    count: usize,
    foreign: usize,
    glob: Option<&str>,
) -> fmt::Result {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let more = if count > names.len() { ", …" } else { "" };
    let glob = glob.unwrap_or("NAME");
    write!(
        f,
        "{} not named `*.weight` ({}{more}), so {} not among the layers: ",
        match count {
            1 => "1 tensor looks like kernels of a convolution but is".to_owned(),
            count => format!("{count} tensors look like kernels of convolutions but are"),
        },
        quoted.join(", "),
        if count == 1 { "it is" } else { "they are" },
    )?;
    let flag = format!("`--include '{glob}'`");
    match foreign {
        0 => write!(f, "{flag} takes tensors that are laid out as [out, in, …]"),
        foreign if foreign == count => write!(
            f,
            "{flag} lists them, but [height, width, in, out], as they seem to be laid out, cannot be merged; save them as \
            [out, in, height, width]"
        ),
        foreign => write!(
            f,
            "{flag} takes those that are laid out as [out, in, …]; {foreign} seem to be laid out as [height, width, in, out], \
            which cannot be merged"
        ),
    }
}
