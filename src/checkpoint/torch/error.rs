//! What is wrong with a file of `torch.save`.

use crate::checkpoint::Names;

/// A file of `torch.save` could not be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "every variant's message says what it means")]
pub enum Problem {
    #[error(
        "begins like a PyTorch file but has no end: it is truncated, or still being written; copy or save it again"
    )]
    NoEnd,
    #[error(
        "lists its entries in {bytes} bytes, beyond the limit of 100,000,000; the file is damaged: save it again"
    )]
    DirectoryTooLong { bytes: u64 },
    #[error("is damaged where it lists its entries (byte {at}); copy or save it again")]
    Directory { at: usize },
    #[error("is damaged: entry `{name}` is not where the file says it is; copy or save it again")]
    LocalHeader { name: String },
    #[error("holds entry `{name}` twice; save it again with torch.save")]
    EntryTwice { name: String },
    #[error("is damaged: its entries `{name}` and `{other}` overlap; copy or save it again")]
    EntriesOverlap { name: String, other: String },
    #[error("has an encrypted entry (`{name}`); decrypt it first")]
    Encrypted { name: String },
    #[error(
        "has a compressed entry (`{name}`), which torch.save does not write; load it in Python and save it with torch.save"
    )]
    Compressed { name: String },
    #[error("is damaged: entry `{name}` does not match its checksum; copy or save it again")]
    Checksum { name: String },
    #[error(
        "is a zip archive but no PyTorch file: it has no data.pkl; load it with what wrote it and save its weights with torch.save or as safetensors"
    )]
    NotTorch,
    #[error(
        "is a TorchScript archive; save the weights instead: torch.save(torch.jit.load(file).state_dict(), …)"
    )]
    TorchScript,
    #[error(
        "holds big-endian numbers; load it in Python on a little-endian machine and save it again"
    )]
    BigEndian,
    #[error(
        "describes its contents in {bytes} bytes, beyond the limit of 100,000,000; save the weights alone: torch.save(model.state_dict(), …)"
    )]
    PickleTooLarge { bytes: usize },
    #[error(
        "describes its contents by more than ten million values, beyond the limit; save the weights alone: torch.save(model.state_dict(), …)"
    )]
    PickleTooLong,
    #[error(
        "is damaged: byte {at} of its data.pkl is not what belongs there; copy or save it again"
    )]
    Pickle { at: usize },
    #[error(
        "has the instruction {instruction:#04x} at byte {at} of its data.pkl, which torch.save does not write; save it again with torch.save and its default pickle_protocol"
    )]
    Instruction { instruction: u8, at: usize },
    #[error("is damaged: what it says of tensor `{name}` is no tensor; save it again")]
    Tensor { name: String },
    #[error(
        "is damaged: tensor `{name}` lies in storage {key}, which is not in the file; copy or save it again"
    )]
    NoStorage { name: String, key: String },
    #[error(
        "is damaged: tensor `{name}` reaches beyond its storage {key}, which has {bytes} bytes; copy or save it again"
    )]
    BeyondStorage {
        name: String,
        key: String,
        bytes: usize,
    },
    #[error(
        "holds no state dict (a mapping from names to tensors); save one: torch.save(model.state_dict(), …)"
    )]
    NoStateDict,
    #[error(
        "holds a pickled object of the class {class}, not a state dict; save that: torch.save(model.state_dict(), …)"
    )]
    PickledObject { class: String },
    #[error("holds no state dict `{path}`; name one of {paths} with --state-dict")]
    NoSuchStateDict { path: String, paths: Names },
    #[error(
        "holds no optimizer's momentum (exp_avg or momentum_buffer) beside its weights, or a .safetensors output would not; leave out --momentum merge"
    )]
    NoMomentum,
    #[error(
        "keeps its optimizer in another file, which is not merged; leave out --momentum merge, which is for files that hold both"
    )]
    MomentumElsewhere,
    #[error(
        "holds several optimizers ({paths}), whose parameters cannot be told apart; leave out --momentum merge"
    )]
    SeveralOptimizers { paths: Names },
    #[error(
        "{optimizer} may be the optimizer of `{path}` or of `{other}`, which has weights of the same shapes; leave out --momentum merge"
    )]
    MomentumOfSeveral {
        optimizer: String,
        path: String,
        other: String,
    },
    #[error(
        "{name} holds a NaN or an infinity, which would spread to the kernels merged with it; leave out --momentum merge"
    )]
    MomentumNotFinite { name: String },
    #[error(
        "has an optimizer with {groups} groups of parameters, more than the 2000 that are matched; leave out --momentum merge"
    )]
    ManyGroups { groups: usize },
    #[error(
        "parameter {parameter} of {optimizer} has momentum of shape {shape:?}, and no weight of that shape follows those of the parameters before it; leave out --momentum merge"
    )]
    MomentumUnmatched {
        optimizer: String,
        parameter: usize,
        shape: Vec<usize>,
    },
    #[error(
        "parameter {parameter} of {optimizer} may be `{tensor}` or another weight of its shape, so it is unclear whose momentum it has; leave out --momentum merge, or hand named parameters to the optimizer"
    )]
    MomentumUnclear {
        optimizer: String,
        parameter: usize,
        tensor: String,
    },
    #[error(
        "{name}, the momentum of `{weight}`, has another shape, holds no plain numbers or shares its bytes with another tensor; leave out --momentum merge"
    )]
    MomentumShared { name: String, weight: String },
}

impl Problem {
    /// Whether the file is complete, and holds no state dict that can be read.
    pub(in crate::checkpoint) fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::Encrypted { .. }
                | Self::Compressed { .. }
                | Self::NotTorch
                | Self::TorchScript
                | Self::BigEndian
                | Self::NoStateDict
                | Self::PickledObject { .. }
                | Self::NoSuchStateDict { .. }
                | Self::NoMomentum
                | Self::MomentumElsewhere
                | Self::SeveralOptimizers { .. }
                | Self::ManyGroups { .. }
                | Self::MomentumOfSeveral { .. }
                | Self::MomentumNotFinite { .. }
                | Self::MomentumUnmatched { .. }
                | Self::MomentumUnclear { .. }
                | Self::MomentumShared { .. }
        )
    }

    /// Whether the file holds no weights.
    pub(in crate::checkpoint) fn is_no_checkpoint(&self) -> bool {
        matches!(self, Self::NotTorch | Self::NoStateDict)
    }
}
