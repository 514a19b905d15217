//! A folder that is read as a checkpoint.

use std::ffi::{OsStr, OsString};
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
    weights: Weights,
}

/// The files of a folder that hold its weights.
#[derive(Debug)]
enum Weights {
    /// A file of this name.
    File(String),
    Shards(Index),
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
            let weights = weights(path)?;
            let path = path.to_owned();
            return Ok(Some(Self { path, weights }));
        }
        if path.file_name().is_some_and(is_index) {
            let index = Index::open(path.to_owned())?;
            return Ok(Some(Self {
                path: index.folder().to_owned(),
                weights: Weights::Shards(index),
            }));
        }
        Ok(None)
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The index of its shards; `None` if its weights are one file.
    pub fn index(&self) -> Option<&Index> {
        match &self.weights {
            Weights::File(_) => None,
            Weights::Shards(index) => Some(index),
        }
    }

    /// The names of the files that hold its weights, without the index.
    pub fn weights(&self) -> Vec<&str> {
        match &self.weights {
            Weights::File(name) => vec![name],
            Weights::Shards(index) => index.map().shards().into_iter().collect(),
        }
    }

    /// Whether the file of this name holds weights of the checkpoint, or is their index.
    pub(super) fn is_part(&self, name: &OsStr) -> bool {
        match &self.weights {
            Weights::File(file) => name == OsStr::new(file),
            Weights::Shards(index) => {
                name == index.name() || index.map().shards().contains(&*name.to_string_lossy())
            }
        }
    }
}

/// The weights of a folder. Of safetensors files and those of `torch.save` the former are taken, and of variants that without
/// a name.
fn weights(folder: &Path) -> Result<Weights, Error> {
    let names = files::names(folder).map_err(|e| Problem::reading(e).of(folder))?;
    let found = names.iter().filter(|name| is_weights(name));
    let mut found: Vec<String> = found
        .filter_map(|name| Some(name.to_str()?.to_owned()))
        .collect();
    let Some(best) = found.iter().map(|name| rank(name)).min() else {
        return Err(without_weights(folder, names));
    };
    found.retain(|name| rank(name) == best);
    found.sort();
    let mut indexes = found.iter().filter(|name| is_index(name.as_ref()));
    match (indexes.next(), indexes.next()) {
        (None, _) if found.len() == 1 => Ok(Weights::File(found.remove(0))),
        (Some(index), None) => {
            let index = Index::open(folder.join(index))?;
            let shards = index.map().shards();
            found.retain(|name| index.name() != OsStr::new(name) && !shards.contains(&**name));
            if found.is_empty() {
                return Ok(Weights::Shards(index));
            }
            found.push(index.name().to_string_lossy().into_owned());
            found.sort();
            Err(Problem::SeveralCheckpoints {
                files: found.into(),
            }
            .of(folder))
        }
        _ => Err(Problem::SeveralCheckpoints {
            files: found.into(),
        }
        .of(folder)),
    }
}

/// The error for a folder without weights that are known by name, which says where they may be.
fn without_weights(folder: &Path, names: Vec<OsString>) -> Error {
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
    let with_weights = names.iter().filter(|name| {
        let inner = files::names(&folder.join(name));
        inner.is_ok_and(|inner| inner.iter().any(|name| is_weights(name)))
    });
    let mut folders: Vec<String> = with_weights
        .map(|name| format!("{}/", name.to_string_lossy()))
        .collect();
    folders.sort();
    if folders.is_empty() {
        return Problem::FolderWithoutCheckpoint.of(folder);
    }
    let folders = folders.into();
    Problem::WeightsInFolders { folders }.of(folder)
}
