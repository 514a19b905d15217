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
        )
    }

    /// Whether the file holds no weights.
    pub(in crate::checkpoint) fn is_no_checkpoint(&self) -> bool {
        matches!(self, Self::NotTorch | Self::NoStateDict)
    }
}
