//! Warnings about the layers of a checkpoint.

use std::fmt;

use crate::checkpoint::{Dtype, Notice};

/// A warning about the layers, printed to stderr and kept in the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// What the file holds beside them, or in a form that is not read.
    File(Notice),
    /// Two modules may run in either order, and the cut falls between them: which layers are shallow is in doubt.
    OpenOrder {
        /// Path of the module placed first.
        first: String,
        /// Path of the one placed second.
        second: String,
        /// Number of further such pairs.
        others: usize,
    },
    /// By the order of definition, other layers are shallow than by names and shapes.
    OrderOfDefinition {
        /// One that is shallow by definition only.
        before: String,
        /// One that is shallow by names and shapes only.
        behind: String,
    },
    /// A layer before the cut reads channels that no earlier layer outputs: one that runs before it is placed after it.
    Unfed {
        /// Name of the tensor.
        name: String,
        /// Channels that each of its kernels reads.
        reads: usize,
    },
    /// The first layer cannot read an image, but a later one can.
    NoStem {
        /// The tensor placed first.
        first: String,
        /// The tensor that can read an image.
        stem: String,
    },
    /// An order list leaves convolutions out: they follow the listed ones, in structural order.
    OrderIncomplete {
        /// `--order`, `--layers` or the metadata key.
        origin: &'static str,
        /// The first one left out.
        first: String,
        /// How many were left out.
        count: usize,
    },
    /// A flag's list overrides the metadata's.
    MetadataOverruled {
        /// `--order` or `--layers`.
        flag: &'static str,
    },
    /// A declared copy has other values than its original, or all its values are equal.
    UnequalCopy {
        /// Name of the tensor.
        name: String,
        /// What it is declared a copy of.
        original: String,
    },
    /// Several networks: depth starts from 1 in each.
    Networks {
        /// Paths of their modules; empty for the layers outside the others.
        roots: Vec<String>,
        /// Whether they have the same layers.
        are_copies: bool,
    },
    /// A weight stored in parts (pruning, weight norm, spectral norm, a parametrisation).
    Parametrised {
        /// Name of the tensor.
        name: String,
    },
    /// The shapes fit a grouped convolution as well as a dense one.
    AmbiguousGroups {
        /// Name of the tensor.
        name: String,
        /// Input channels, if it is grouped.
        channels: usize,
        /// Channels that each kernel reads.
        per_kernel: usize,
    },
    /// The weight fits a convolution as well as a transposed one.
    AmbiguousTransposed {
        /// Name of the tensor.
        name: String,
    },
    /// Output channels seem to be the last axis, as in TensorFlow, Keras and Flax.
    KernelsLast {
        /// The first such tensor.
        name: String,
        /// How many more there are.
        others: usize,
    },
    /// Input channels seem to be the last axis, as in MLX, but that is not certain.
    ChannelsLast {
        /// The first such tensor.
        name: String,
        /// How many more there are.
        others: usize,
    },
    /// Factors of adapters (LoRA and similar).
    Adapter {
        /// The first of them.
        name: String,
        /// How many more there are.
        others: usize,
    },
    /// Convolutions whose weights are integers, or floats of 8 bits or fewer.
    StoredAs {
        /// The first of them.
        name: String,
        /// The type.
        dtype: Dtype,
        /// How many more there are.
        others: usize,
    },
    /// Tensors that look like kernels of convolutions but are not named `*.weight`.
    UnnamedKernels {
        /// The first of them.
        names: Vec<String>,
        /// How many there are.
        count: usize,
        /// How many of them have the axes of TensorFlow, Keras and Flax.
        kernels_last: usize,
        /// A glob that matches all of them, if there is a short one.
        glob: Option<String>,
    },
    /// The bias fits neither axis of the weight.
    BiasMismatch {
        /// Name of the tensor.
        name: String,
        /// The bias's length.
        bias: usize,
    },
    /// An extent is zero.
    Empty {
        /// Name of the tensor.
        name: String,
    },
}

/// What to do if the order is in doubt.
const REMEDY: &str = "pass `--layers FILE` or `--order FILE`";

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::File(notice) => notice.fmt(f),
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
                    ", and the --skip-shallow cut falls between them: {REMEDY} if `{first}` does not run first"
                )
            }
            Warning::OrderOfDefinition { before, behind } => write!(
                f,
                "the order is in doubt: the modules were defined in an order in which `{before}` is shallow, but by names and shapes \
                 `{behind}` runs before it; {REMEDY}"
            ),
            Warning::Unfed { name, reads } => write!(
                f,
                "the order is in doubt: `{name}` reads {reads} channels, which no layer before it outputs; {REMEDY}"
            ),
            Warning::NoStem { first, stem } => write!(
                f,
                "the order is in doubt: `{first}` is first but cannot read an image, while `{stem}` can; {REMEDY}"
            ),
            Warning::OrderIncomplete {
                origin,
                first,
                count,
            } => write!(
                f,
                "{} not in {origin}: placed after the listed layers, in structural order",
                counted(first, count - 1, "is", "are")
            ),
            Warning::MetadataOverruled { flag } => write!(
                f,
                "`{flag}` overrides the file's own metadata `inmerge.layers`, which differs"
            ),
            Warning::UnequalCopy { name, original } => write!(
                f,
                "`{name}` is declared a copy of `{original}`, but their values differ, or are all one number: it is left alone; make them equal, or list it as a layer of its own"
            ),
            Warning::Networks { roots, are_copies } => {
                let named: Vec<String> = roots
                    .iter()
                    .map(|root| match &root[..] {
                        "" => "the layers outside the others".to_owned(),
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
                "`{name}` may be grouped: its input seems to have {channels} channels, and each kernel reads {per_kernel}; it is not merged; `--layers FILE` with its `groups` settles that"
            ),
            Warning::AmbiguousTransposed { name } => {
                write!(
                    f,
                    "`{name}` may be a convolution or a transposed one, and nothing tells which: it is not merged; `--layers FILE` with its `kind` settles that"
                )
            }
            Warning::KernelsLast { name, others } => write!(
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
                "{} (LoRA or similar): left alone and not counted in depth",
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
                kernels_last,
                glob,
            } => unnamed(f, names, *count, *kernels_last, glob.as_deref()),
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
    kernels_last: usize,
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
    match kernels_last {
        0 => write!(
            f,
            "{flag} includes tensors that are laid out as [out, in, …]"
        ),
        kernels_last if kernels_last == count => write!(
            f,
            "{flag} lists them, but they seem to be laid out as [height, width, in, out], which cannot be merged; save them as \
            [out, in, height, width]"
        ),
        kernels_last => write!(
            f,
            "{flag} includes those that are laid out as [out, in, …]; {kernels_last} seem to be laid out as [height, width, in, out], \
            which cannot be merged"
        ),
    }
}
