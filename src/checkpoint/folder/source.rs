//! A folder that is read as a checkpoint.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use crate::checkpoint::endings::{TORCH_ENDINGS, has_ending};
use crate::checkpoint::index::{Index, is_index};
use crate::checkpoint::{Error, Problem};
use crate::files;

use super::names::{is_weights, rank};

/// A folder that is read as a checkpoint.
#[derive(Debug)]
pub struct SourceFolder {
    path: PathBuf,
    /// The index of its shards; `None` if its weights are one file.
    index: Option<Index>,
    /// The names of the files that hold its weights, without the index.
    weights: BTreeSet<String>,
}

impl SourceFolder {
    /// The folder at a path, or around the index there; `None` if the path leads to another file, or nothing exists there.
    ///
    /// # Errors
    ///
    /// If the folder cannot be listed, does not hold the weights of exactly one checkpoint, or its index cannot be read.
    pub(crate) fn find(path: &Path) -> Result<Option<Self>, Error> {
        let is_folder = files::is_folder(path).map_err(|e| Problem::reading(e).of(path))?;
        if is_folder {
            return Self::of(path).map(Some);
        }
        if path.file_name().is_some_and(is_index) {
            let index = Index::open(path.to_owned())?;
            return Ok(Some(Self::of_shards(index)));
        }
        Ok(None)
    }

    /// The folder at a path with its weights. Of safetensors files and those of `torch.save` the former are taken, and of variants
    /// that without a name.
    fn of(folder: &Path) -> Result<Self, Error> {
        let names = files::names(folder).map_err(|e| Problem::reading(e).of(folder))?;
        let found = names.iter().filter(|name| is_weights(name));
        let mut found: Vec<String> = found
            .filter_map(|name| Some(name.to_str()?.to_owned()))
            .collect();
        let Some(best) = found.iter().map(|name| rank(name)).min() else {
            return Err(without_weights(folder, &names));
        };
        found.retain(|name| rank(name) == best);
        found.sort();
        let index = found.iter().find(|name| is_index(name.as_ref()));
        let own = match index {
            Some(index) => Self::of_shards(Index::open(folder.join(index))?),
            None => Self {
                path: folder.to_owned(),
                index: None,
                weights: found.iter().take(1).cloned().collect(),
            },
        };
        if found.iter().all(|name| own.is_part(name.as_ref())) {
            return Ok(own);
        }
        let files = found.into();
        Err(Problem::SeveralCheckpoints { files }.of(folder))
    }

    fn of_shards(index: Index) -> Self {
        let shards = index.map().shards().into_iter();
        Self {
            path: index.folder().to_owned(),
            weights: shards.map(str::to_owned).collect(),
            index: Some(index),
        }
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The index of its shards; `None` if its weights are one file.
    pub fn index(&self) -> Option<&Index> {
        self.index.as_ref()
    }

    /// The paths of the files that hold its weights, without the index.
    pub fn weights(&self) -> impl Iterator<Item = PathBuf> {
        self.weights.iter().map(|name| self.path.join(name))
    }

    /// Whether the file of this name holds weights of the checkpoint, or is their index.
    pub(super) fn is_part(&self, name: &OsStr) -> bool {
        name.to_str()
            .is_some_and(|name| self.weights.contains(name))
            || self.index().is_some_and(|index| name == index.name())
    }
}

/// The error for a folder without weights that are known by name, which says where they may be.
fn without_weights(folder: &Path, names: &[OsString]) -> Error {
    let with_ending = |endings: &[&str]| {
        let names = names
            .iter()
            .filter(|name| has_ending(Path::new(name), endings));
        let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into()).collect();
        names.sort();
        names
    };
    // Beside safetensors, files of torch.save hold what is no weight, as the optimizer's state.
    let mut checkpoints = with_ending(&["safetensors"]);
    if checkpoints.is_empty() {
        checkpoints = with_ending(&TORCH_ENDINGS);
    }
    if !checkpoints.is_empty() {
        let files = checkpoints.into();
        return Problem::FolderWithoutWeights { files }.of(folder);
    }
    // As diffusers has it: one folder for each net.
    let mut folders = Vec::new();
    for name in names {
        let path = folder.join(name);
        match files::names(&path) {
            Ok(inner) if inner.iter().any(|name| is_weights(name)) => {
                folders.push(format!("{}/", name.to_string_lossy()));
            }
            Err(error) if !is_no_folder(&error) => return Problem::reading(error).of(&path),
            _ => {}
        }
    }
    folders.sort();
    if folders.is_empty() {
        return Problem::FolderWithoutCheckpoint.of(folder);
    }
    let folders = folders.into();
    Problem::WeightsInFolders { folders }.of(folder)
}

/// Whether a path could not be listed because there is no folder.
fn is_no_folder(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotADirectory | io::ErrorKind::NotFound
    )
}
