//! A checkpoint open for reading.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use sha2::{Digest, Sha256};

use crate::atomic::moved_away;
use crate::files;

use super::container::Container;
use super::shard::Shard;
use super::{Error, Index, Notice, Piece, Problem, SourceFolder, Tensor, lone_shard, sharded};

/// A checkpoint open for reading. Opening reads headers only; values are mapped when they are asked for.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    /// If it is one.
    folder: Option<SourceFolder>,
    shards: Vec<Shard>,
    tensors: Vec<Tensor>,
    metadata: BTreeMap<String, String>,
    notices: Vec<Notice>,
    /// The size and identity of the file that this one was made from.
    made_from: Option<(u64, String)>,
}

impl Checkpoint {
    /// Opens a checkpoint: a `.safetensors` file or one of `torch.save`, a folder that holds weights, or the index of its shards.
    /// Checks what the files say of their tensors, and that it matches the index. Of several state dicts in a file, that with the most convolutions
    /// is the checkpoint.
    ///
    /// # Errors
    ///
    /// If a file is missing, cannot be read or is no valid file of these two formats (other known ones are named), if index and
    /// files disagree, or if the file is one shard of several.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_state_dict(path, None)
    }

    /// The same, with the state dict of a file of `torch.save` that lies under these keys, joined by dots: `model`, `ema.shadow`;
    /// empty for the outermost mapping.
    ///
    /// # Errors
    ///
    /// Those of [`Checkpoint::open`], and if there is no such state dict.
    pub fn open_state_dict(path: &Path, state_dict: Option<&str>) -> Result<Self, Error> {
        Self::try_open(path, state_dict).map_err(|error| match *error.problem {
            Problem::Missing => left_elsewhere(path).unwrap_or(error),
            _ => error,
        })
    }

    fn try_open(path: &Path, state_dict: Option<&str>) -> Result<Self, Error> {
        let folder = SourceFolder::find(path)?;
        let opened = match &folder {
            Some(folder) => match folder.index() {
                Some(_) if state_dict.is_some() => return Err(Problem::NoStateDicts.of(path)),
                Some(index) => sharded::open(index)?,
                None => folder
                    .weights()
                    .map(|file| Shard::open(&file, state_dict))
                    .collect::<Result<_, _>>()?,
            },
            None => {
                let opened = Shard::open(path, state_dict)?;
                lone_shard::refuse(path)?;
                vec![opened]
            }
        };
        let mut checkpoint = Self {
            path: path.to_owned(),
            folder,
            shards: Vec::new(),
            tensors: Vec::new(),
            metadata: BTreeMap::new(),
            notices: Vec::new(),
            made_from: None,
        };
        for (number, (shard, mut contents)) in opened.into_iter().enumerate() {
            checkpoint.shards.push(shard);
            for tensor in &mut contents.tensors {
                tensor.shard = number;
            }
            // No copy if there is one file: its header can describe two million tensors.
            match number {
                0 => checkpoint.tensors = contents.tensors,
                _ => checkpoint.tensors.append(&mut contents.tensors),
            }
            // The appended values win.
            contents.metadata.append(&mut checkpoint.metadata);
            checkpoint.metadata = contents.metadata;
            checkpoint.notices.append(&mut contents.notices);
        }
        Ok(checkpoint)
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that it is, if it is one.
    pub fn folder(&self) -> Option<&SourceFolder> {
        self.folder.as_ref()
    }

    /// The index, if it is sharded.
    pub fn index(&self) -> Option<&Index> {
        self.folder.as_ref()?.index()
    }

    /// The paths of all its files, the index included.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let index = self.index().into_iter().map(Index::path);
        index.chain(self.shards.iter().map(Shard::path))
    }

    /// The files that make it up.
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// Size in bytes of all files that were given as the input, without the index.
    pub fn source_size(&self) -> u64 {
        self.made_from
            .as_ref()
            .map_or(self.size(), |&(size, _)| size)
    }

    /// Size of all its files in bytes, without the index.
    pub fn size(&self) -> u64 {
        self.shards.iter().map(Shard::size).sum()
    }

    /// The tensors of all files, by file and then in the order of their values; of a state dict in its own order.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The `__metadata__` of its files; if several have a key, the first file's value.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Whether its tensors stand in the order in which the modules were defined, as those of a state dict do. One that is sorted
    /// by name within each type has been through a safetensors file, which loses that order.
    pub fn is_in_definition_order(&self) -> bool {
        let mut last: BTreeMap<Dtype, &str> = BTreeMap::new();
        let is_sorted = self.tensors.iter().all(|tensor| {
            let before = last.insert(tensor.dtype, &tensor.name);
            before.is_none_or(|before| before < tensor.name.as_str())
        });
        self.is_torch() && !is_sorted
    }

    /// Whether it was read from files of `torch.save`.
    pub fn is_torch(&self) -> bool {
        let is_torch = |shard: &Shard| matches!(shard.container(), Container::Torch(_));
        self.shards.iter().all(is_torch)
    }

    /// This checkpoint, in another file with these tensors.
    pub(super) fn converted(&self, shard: Shard, tensors: Vec<Tensor>) -> Self {
        Self {
            path: self.path.clone(),
            folder: None,
            shards: vec![shard],
            tensors,
            metadata: self.metadata.clone(),
            notices: self.notices.clone(),
            made_from: Some((self.source_size(), self.header_sha256())),
        }
    }

    /// The keys of the state dict that it is, joined by dots; `None` if it is no single file of `torch.save`.
    pub fn state_dict(&self) -> Option<&str> {
        match (self.index(), self.shards.first()?.container()) {
            (None, Container::Torch(file)) => Some(&file.state_dict),
            _ => None,
        }
    }

    /// What the user should know of it.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Its files in pieces of this size.
    pub(super) fn in_pieces(&self, size: usize) -> Vec<Piece> {
        let shards = self.shards.iter().enumerate();
        let pieces = shards.flat_map(|(index, shard)| {
            let end = shard.size() as usize;
            let starts = (0..end).step_by(size);
            starts.map(move |start| Piece {
                shard: index,
                bytes: start..end.min(start + size),
            })
        });
        pieces.collect()
    }

    /// All bytes outside some of its tensors, including the headers.
    pub(super) fn all_but(&self, tensors: &[&Tensor]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for (index, shard) in self.shards.iter().enumerate() {
            let mut left_out: Vec<&Tensor> = tensors
                .iter()
                .copied()
                .filter(|tensor| tensor.shard == index)
                .collect();
            left_out.sort_by_key(|tensor| tensor.bytes.start);
            let ends = left_out.iter().map(|tensor| tensor.bytes.end);
            let starts = left_out.iter().map(|tensor| tensor.bytes.start);
            let gaps = std::iter::once(0)
                .chain(ends)
                .zip(starts.chain([shard.size() as usize]));
            let gaps = gaps.filter(|(start, end)| start < end);
            pieces.extend(gaps.map(|(start, end)| Piece {
                shard: index,
                bytes: start..end,
            }));
        }
        pieces
    }

    /// Calls `use_them` with the values of one of this checkpoint's tensors as stored (little-endian, row-major, of any alignment), and
    /// returns its result.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or another program truncated it meanwhile: the result is then invalid, and is dropped.
    ///
    /// # Panics
    ///
    /// If the tensor is of another checkpoint that has more files.
    pub fn with_values<R>(
        &self,
        tensor: &Tensor,
        use_them: impl FnOnce(&[u8]) -> R,
    ) -> Result<R, Error> {
        self.shards[tensor.shard].with_bytes(tensor.bytes.clone(), use_them)
    }

    /// The first bytes of a tensor's values: `length` of them, or all if there are fewer. No more of the file is read.
    ///
    /// # Errors
    ///
    /// Where they cannot be read.
    ///
    /// # Panics
    ///
    /// As [`Checkpoint::with_values`].
    pub fn first_values(&self, tensor: &Tensor, length: usize) -> Result<Vec<u8>, Error> {
        let end = tensor
            .bytes
            .end
            .min(tensor.bytes.start.saturating_add(length));
        self.shards[tensor.shard].read(tensor.bytes.start..end)
    }

    /// SHA-256 of its files' descriptions of their tensors, concatenated, in hexadecimal: by this a plan identifies its source. A
    /// file's description is its header's JSON, or its pickle and the path of the state dict.
    pub fn header_sha256(&self) -> String {
        if let Some((_, identity)) = &self.made_from {
            return identity.clone();
        }
        let mut hash = Sha256::new();
        for shard in &self.shards {
            hash.update(shard.description());
            if let Container::Torch(file) = shard.container() {
                hash.update(&file.state_dict);
            }
        }
        hash.finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Whether `path` leads to one of its files, or to its folder.
    pub fn is_at(&self, path: &Path) -> bool {
        let is_folder = |folder: &SourceFolder| files::lead_to_same(folder.path(), path);
        self.shards.iter().any(|shard| shard.is_at(path))
            || self.index().is_some_and(|index| index.is_at(path))
            || self.folder.as_ref().is_some_and(is_folder)
    }

    /// Whether the two checkpoints' headers are the same, byte for byte, and so are the shards' names and the indexes.
    pub fn has_same_header(&self, other: &Self) -> bool {
        let own = self.shards.iter().map(Shard::description);
        own.eq(other.shards.iter().map(Shard::description))
            && self.index().map(Index::json) == other.index().map(Index::json)
    }

    /// Checks that no file has changed since it was opened, by size and time of change.
    pub(super) fn check_unchanged(&self) -> Result<(), Error> {
        self.index().map_or(Ok(()), Index::check_unchanged)?;
        self.shards.iter().try_for_each(Shard::check_unchanged)
    }

    /// Checks that its files are still the ones that their paths lead to.
    pub(super) fn check_in_place(&self) -> Result<(), Error> {
        let index = self
            .index()
            .into_iter()
            .map(|index| (index.path(), index.is_at(index.path())));
        let shards = self
            .shards
            .iter()
            .map(|shard| (shard.path(), shard.is_at(shard.path())));
        match index.chain(shards).find(|(_, is_there)| !is_there) {
            Some((path, _)) => Err(Problem::ChangedMeanwhile.of(path)),
            None => Ok(()),
        }
    }
}

/// The error for a missing path whose former content was moved away by a run that was killed; it names where that is.
fn left_elsewhere(path: &Path) -> Option<Error> {
    let around = path.ancestors().take(2);
    let mut gone = around.filter(|path| matches!(files::entry(path), Ok(None)));
    gone.find_map(|gone| {
        let found = moved_away(gone).ok()?;
        let folders: Vec<String> = found.iter().map(|f| f.display().to_string()).collect();
        let problem = Problem::MovedAway {
            folders: folders.into(),
        };
        (!found.is_empty()).then(|| problem.of(gone))
    })
}
