//! Errors of checkpoint files; each message names the file, the tensor and the remedy.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::{atomic, files};

use super::names::Names;
use super::torch;

/// A checkpoint could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub struct Error {
    /// The path of the file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: Box<Problem>,
}

/// What is wrong with a checkpoint file.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "every variant's message says what it means")]
pub enum Problem {
    #[error("no such file; check the path")]
    Missing,
    #[error(
        "is a link to {}, which is not there; put the file there, or name the checkpoint itself", .0.display()
    )]
    Dangling(PathBuf),
    #[error(
        "`{tensor}` holds a {what}, which would spread to the channels merged with it; correct it, or leave out --carry"
    )]
    NotBlendable { tensor: String, what: &'static str },
    #[error(
        "no such file; a run that was killed while it replaced it has left what stood there in {folders}: move that back"
    )]
    MovedAway { folders: Names },
    #[error(
        "is a folder without model.safetensors, pytorch_model.bin or an index of shards; name one of its checkpoints ({files})"
    )]
    FolderWithoutWeights { files: Names },
    #[error("is a folder whose nets have folders of their own; name one of them ({folders})")]
    WeightsInFolders { folders: Names },
    #[error(
        "is a folder that holds neither an index of shards nor a .safetensors or PyTorch file; check the path"
    )]
    FolderWithoutCheckpoint,
    #[error(
        "is one shard of a checkpoint, and its layers are counted over the whole; name {index} instead, or the folder with it"
    )]
    LoneShard { index: String },
    #[error(
        "is one shard of {count} by its name, and {index} is not beside it; put all shards and that index in one folder and name that, or rename the file if it is a whole checkpoint"
    )]
    LoneShardWithoutIndex { index: String, count: u64 },
    #[error("is a folder with several checkpoints; name one of them ({files})")]
    SeveralCheckpoints { files: Names },
    #[error(
        "is of {bytes} bytes, beyond the limit of 100,000,000 for an index; this is no index, or a damaged one"
    )]
    IndexTooLong { bytes: u64 },
    #[error("is no valid index of a sharded checkpoint ({0}); save the checkpoint again")]
    IndexNotJson(serde_json::Error),
    #[error(
        "is no valid index of a sharded checkpoint: it has no \"weight_map\"; save the checkpoint again"
    )]
    IndexWithoutMap,
    #[error("lists no tensors; save the checkpoint again")]
    IndexEmpty,
    #[error(
        "lists more than four million tensors, beyond the limit; this is no index, or a damaged one"
    )]
    IndexListsTooMany,
    #[error("holds `{key}` twice; save the checkpoint again with unique names")]
    IndexRepeats { key: String },
    #[error("names no file for tensor `{tensor}` ({error}); save the checkpoint again")]
    IndexEntry {
        tensor: String,
        error: serde_json::Error,
    },
    #[error(
        "names the file {file:?} for tensor `{tensor}`, which is not the plain name of a file in its own folder; put the shards beside the index and correct it"
    )]
    ShardName { tensor: String, file: String },
    #[error(
        "no such file, though {index} names it; fetch the missing shard, or save the checkpoint again"
    )]
    ShardMissing { index: String },
    #[error(
        "does not hold tensor `{name}`, though {index} says so; fetch both again, or save the checkpoint again"
    )]
    NotInShard { name: String, index: String },
    #[error(
        "holds tensor `{name}`, which {index} does not list for it; fetch both again, or save the checkpoint again"
    )]
    NotInIndex { name: String, index: String },
    #[error(
        "holds tensor `{name}`, and so does {other}; save the checkpoint again with unique names"
    )]
    InTwoShards { name: String, other: String },
    #[error("is not a regular file; copy the checkpoint to a file first")]
    NotRegular,
    #[error(
        "cannot be read, because no more files can be open at once; raise that limit (ulimit -n)"
    )]
    TooManyOpen,
    #[error("cannot be read ({0}); check its permissions and the disk")]
    Unreadable(io::Error),
    #[error(
        "cannot be mapped into memory ({0}); raise the limit of this process's memory (ulimit -v), or run with --threads 1"
    )]
    NoMemory(io::Error),
    #[error("is of {bytes} bytes, more than this machine can address; run on a 64-bit one")]
    BeyondMemory { bytes: u64 },
    #[error("is empty; the checkpoint was probably never written: save it again")]
    Empty,
    #[error("{0}")]
    Foreign(Recognised),
    #[error(transparent)]
    Torch(#[from] torch::Problem),
    #[error(
        "is no single file of torch.save, and so has no state dicts to choose from; leave out --state-dict"
    )]
    NoStateDicts,
    #[error(
        "is truncated: {bytes} bytes cannot even hold the 8-byte header length; copy or save it again"
    )]
    TooShort { bytes: u64 },
    #[error(
        "header length {length} is beyond the format's limit of 100,000,000 bytes; this is no safetensors file, or a damaged one"
    )]
    HeaderTooLong { length: u64 },
    #[error(
        "is truncated: the header claims {length} bytes but the file holds only {available} after the length; copy or save it again"
    )]
    HeaderTruncated { length: u64, available: u64 },
    #[error("header is not UTF-8 (byte {at}); the file is damaged: save it again")]
    HeaderNotUtf8 { at: usize },
    #[error("header is not a valid JSON object ({0}); the file is damaged: save it again")]
    HeaderNotJson(serde_json::Error),
    #[error("header has a malformed __metadata__, which must map strings to strings ({0})")]
    Metadata(serde_json::Error),
    #[error(
        "header has a __metadata__ of more than a million entries, beyond the limit; save it again with fewer"
    )]
    MetadataTooMany,
    #[error("tensor `{name}` appears twice; save the checkpoint again with unique names")]
    DuplicateName { name: String },
    #[error("tensor `{name}` has a malformed header entry ({error}); save the checkpoint again")]
    TensorEntry {
        name: String,
        error: serde_json::Error,
    },
    #[error(
        "tensor `{name}` has dtype `{dtype}`, which safetensors does not define; save it in a standard dtype"
    )]
    UnknownDtype { name: String, dtype: String },
    #[error(
        "tensor `{name}` of shape {shape:?} overflows the size of memory; the header is damaged"
    )]
    SizeOverflow { name: String, shape: Vec<usize> },
    #[error(
        "tensor `{name}` of shape {shape:?} and dtype {dtype} does not fill a whole number of bytes; the header is damaged"
    )]
    FractionOfByte {
        name: String,
        shape: Vec<usize>,
        dtype: String,
    },
    #[error(
        "tensor `{name}` needs {needed} bytes for its shape and dtype, but its data_offsets [{begin}, {end}] do not hold that many; the header is damaged"
    )]
    SizeMismatch {
        name: String,
        needed: usize,
        begin: usize,
        end: usize,
    },
    #[error(
        "tensor `{name}` overlaps the one before it: it begins at byte {begin} of the data, which is taken up to {taken}; the header is damaged"
    )]
    Overlap {
        name: String,
        begin: usize,
        taken: usize,
    },
    #[error(
        "bytes {from} to {to} of the data, before tensor `{name}`, belong to no tensor; the header is damaged"
    )]
    Hole {
        name: String,
        from: usize,
        to: usize,
    },
    #[error(
        "is truncated, or a data_offset is out of range: tensor `{name}` ends at byte {end} of the data, and the file holds {available}; copy or save it again"
    )]
    DataTruncated {
        name: String,
        end: usize,
        available: usize,
    },
    #[error(
        "has {extra} bytes after the last tensor; the file is damaged or two files were joined: save it again"
    )]
    TrailingBytes { extra: usize },
    #[error(
        "was changed by another program while it was being read; run again when nothing writes to it"
    )]
    ChangedMeanwhile,
    #[error(
        "is named like the index of a sharded checkpoint, and the input is a single file; name a .safetensors file"
    )]
    OutputIndex,
    #[error(
        "is a file of torch.save under the name of a safetensors file; rename it to .pt, or name another output"
    )]
    TorchNamedSafetensors,
    #[error(
        "is named like a file of torch.save, and the input is safetensors; name a .safetensors file"
    )]
    OutputTorch,
    #[error(
        "cannot be written as safetensors: tensor `{name}` shares a part of another one, holds no plain numbers, or has a name that the format keeps for itself; save it with .contiguous() or .clone(), or leave it out"
    )]
    ViewToConvert { name: String },
    #[error("cannot be made: {} belongs to it, and cannot be read ({error}); check it (nothing was replaced)", file.display())]
    Companion { file: PathBuf, error: io::Error },
    #[error("cannot be made: {} belongs to it, and changed while it was copied; run it again once nothing writes there", file.display())]
    CompanionChanged { file: PathBuf },
    #[error("the input is a folder, so the output is one too; name a folder")]
    OutputNotFolder,
    #[error(
        "lies inside the input's folder; name a folder elsewhere, or the input's own to replace it"
    )]
    OutputInInput,
    #[error("holds the input's folder; name another folder")]
    OutputAroundInput,
    #[error(
        "holds what the new checkpoint does not, which would be lost ({names}); move that elsewhere, or name another output"
    )]
    OutputHoldsMore { names: Names },
    #[error(
        "reads back differently at byte {at} from what was written; the disk or file system is failing (nothing was replaced)"
    )]
    ReadBackDiffers { at: u64 },
    #[error(transparent)]
    Place(#[from] atomic::Problem),
    #[error(
        "cannot be written, as no thread can be started for that ({0}); end other programs, or raise the limit on processes and threads (ulimit -u) or on memory (ulimit -v); nothing was replaced"
    )]
    NoWriter(io::Error),
}

/// A file format other than safetensors that users give instead of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognised {
    /// The text stub that git keeps in place of a large file.
    GitLfsPointer,
    /// `torch.save` before PyTorch 1.6, or a bare pickle.
    Pickle,
    /// HDF5, as Keras writes.
    Hdf5,
    /// GGUF, as llama.cpp reads.
    Gguf,
}

impl Recognised {
    /// Recognises a file by its first bytes.
    pub fn of(start: &[u8]) -> Option<Self> {
        const SIGNATURES: [(&[u8], Recognised); 7] = [
            (b"version https://git-lfs", Recognised::GitLfsPointer),
            // Pickle protocols 2 to 5: the PROTO opcode and the version.
            (b"\x80\x02", Recognised::Pickle),
            (b"\x80\x03", Recognised::Pickle),
            (b"\x80\x04", Recognised::Pickle),
            (b"\x80\x05", Recognised::Pickle),
            (b"\x89HDF\r\n\x1a\n", Recognised::Hdf5),
            (b"GGUF", Recognised::Gguf),
        ];
        SIGNATURES
            .iter()
            .find(|(signature, _)| start.starts_with(signature))
            .map(|&(_, format)| format)
    }
}

impl fmt::Display for Recognised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GitLfsPointer => {
                "is a git-lfs pointer, not the checkpoint itself; fetch it with `git lfs pull`"
            }
            Self::Pickle => {
                "is a bare pickle, as torch.save wrote before PyTorch 1.6; load it in Python and save it again: torch.save(torch.load(file), file)"
            }
            Self::Hdf5 => {
                "is an HDF5 file, not safetensors; load it in Python and save its weights with safetensors"
            }
            Self::Gguf => "is a GGUF file, not safetensors; use the safetensors checkpoint it was made from",
        })
    }
}

impl Problem {
    /// Attaches the file. If it is missing, it may be a link whose target is missing; the error then says so.
    pub fn of(self, file: &Path) -> Error {
        let target = match self {
            Self::Missing | Self::ShardMissing { .. } => atomic::missing_target(file),
            _ => None,
        };
        Error {
            file: file.to_owned(),
            problem: Box::new(target.map_or(self, Self::Dangling)),
        }
    }

    /// Whether the file or folder is complete and still cannot be opened as a checkpoint.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::LoneShard { .. } | Self::LoneShardWithoutIndex { .. } => true,
            Self::SeveralCheckpoints { .. } => true,
            Self::Foreign(_) | Self::NoStateDicts => true,
            Self::Torch(problem) => problem.is_lasting(),
            _ => self.is_no_checkpoint(),
        }
    }

    /// Whether the file or folder is no checkpoint itself: an optimizer's state, say, or a folder of checkpoints.
    pub fn is_no_checkpoint(&self) -> bool {
        match self {
            Self::FolderWithoutCheckpoint
            | Self::FolderWithoutWeights { .. }
            | Self::WeightsInFolders { .. } => true,
            Self::Torch(problem) => problem.is_no_checkpoint(),
            _ => false,
        }
    }

    /// Whether the input was changed while it was read.
    pub fn is_change(&self) -> bool {
        matches!(self, Self::ChangedMeanwhile | Self::CompanionChanged { .. })
    }

    /// The problem behind a failure to open a file.
    pub(super) fn reading(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            _ if files::are_too_many_open(&error) => Self::TooManyOpen,
            _ => Self::Unreadable(error),
        }
    }

    /// The problem behind a failure to read from an open file within its known size.
    pub(super) fn reading_on(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::ChangedMeanwhile,
            io::ErrorKind::OutOfMemory => Self::NoMemory(error),
            _ => Self::Unreadable(error),
        }
    }

    /// The problem behind a failure to write.
    pub(super) fn writing(error: io::Error) -> Self {
        atomic::Problem::writing(error).into()
    }
}

impl From<atomic::Error> for Error {
    fn from(error: atomic::Error) -> Self {
        Problem::from(*error.problem).of(&error.path)
    }
}
