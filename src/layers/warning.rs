//! What a user should know about a layer model that could be made.

use std::fmt;

/// Something about the layers that deserves a line on stderr and in the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Neither names nor shapes tell the order inside this module: its parts stand in natural order of their names.
    NaturalOrder {
        /// Path of the module, empty for the root.
        module: String,
        /// How many further modules are in the same position.
        others: usize,
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
    /// Copies of one network: depth starts from 1 in each.
    Copies {
        /// Paths of the copies.
        modules: Vec<String>,
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
    /// The kernel axis seems to be the last, as TensorFlow lays weights out.
    ForeignLayout {
        /// The tensor.
        name: String,
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

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::NaturalOrder { module, others } => {
                let place = if module.is_empty() {
                    "at the top of the file".to_owned()
                } else {
                    format!("in `{module}`")
                };
                write!(
                    f,
                    "neither names nor shapes tell the order of the layers {place}"
                )?;
                if *others > 0 {
                    write!(f, " and in {others} more modules")?;
                }
                write!(
                    f,
                    ": sorted by name; pass `--layers FILE` if that is not the order they run in"
                )
            }
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
            Warning::Copies { modules } => {
                let named: Vec<String> =
                    modules.iter().map(|module| format!("`{module}`")).collect();
                write!(
                    f,
                    "the file holds {} copies of one network ({}): depth, and so --skip-shallow, starts again in each",
                    modules.len(),
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
            Warning::ForeignLayout { name } => {
                write!(
                    f,
                    "`{name}` seems to be laid out as [height, width, in, out]; only [out, in, …] is supported: it is not merged"
                )
            }
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
