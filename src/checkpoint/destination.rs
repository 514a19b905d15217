//! Where a checkpoint may be written.

use std::path::Path;

use crate::atomic::FileDestination;

use super::endings::{TORCH_ENDINGS, has_ending};
use super::folder::OutputFolder;
use super::index::is_index;
use super::{Checkpoint, Error, Problem};

/// A place where a checkpoint of the input's layout may be written, checked before anything is computed.
#[derive(Debug)]
pub enum Destination {
    /// For a checkpoint that is one file.
    File(FileDestination),
    /// For one that is a folder.
    Folder(OutputFolder),
}

impl Destination {
    /// Checks that the merged `source` may be written at `path`: a file if the source is one, a folder (or the index in one) if it is
    /// one. It must not exist or, with `replace`, be of the same kind as the source.
    ///
    /// # Errors
    ///
    /// If something is in the way: an existing output without `replace`, something of another kind, a link, a missing parent folder,
    /// or files in it that would be lost.
    pub fn check(source: &Checkpoint, path: &Path, replace: bool) -> Result<Self, Error> {
        match source.folder() {
            Some(folder) => OutputFolder::check(folder, path, replace).map(Self::Folder),
            None if path.file_name().is_some_and(is_index) => Err(Problem::OutputIndex.of(path)),
            None if !source.is_torch() && has_ending(path, &TORCH_ENDINGS) => {
                Err(Problem::OutputTorch.of(path))
            }
            // The output would be safetensors, and all but the state dict gone.
            None if source.is_torch()
                && has_ending(path, &["safetensors"])
                && source.is_at(path) =>
            {
                Err(Problem::TorchNamedSafetensors.of(path))
            }
            None => Ok(FileDestination::check(path, replace).map(Self::File)?),
        }
    }

    /// Whether the output is a safetensors file, and the source is none.
    pub fn converts(&self, source: &Checkpoint) -> bool {
        source.is_torch()
            && matches!(self, Self::File(_))
            && has_ending(self.path(), &["safetensors"])
    }

    /// The path of the output as the user gave it.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(file) => file.path(),
            Self::Folder(folder) => folder.path(),
        }
    }

    /// The folder that is written.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::File(_) => None,
            Self::Folder(folder) => Some(folder.folder()),
        }
    }

    /// The folder that appears or is replaced as a whole, so that no other file can be written into it meanwhile; `None` if there is
    /// no such folder.
    pub fn replaced_folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(folder) if !folder.is_input() => Some(folder.folder()),
            _ => None,
        }
    }
}
