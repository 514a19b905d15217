//! The files beside a checkpoint's weights that are copied with them: configuration, tokenizer, the trainer's state.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::atomic::Durability;
use crate::checkpoint::Problem;
use crate::checkpoint::endings::{FOREIGN_ENDINGS, TORCH_ENDINGS, has_ending};
use crate::checkpoint::index::is_index;
use crate::checkpoint::names::Names;
use crate::checkpoint::warning::Warning;
use crate::files::{self, CopyError, Version, copy_to_new, retried};

use super::SourceFolder;

/// How the names of a trainer's own files begin, which have the endings of weights and are copied (Hugging Face's Trainer and
/// Accelerate).
const TRAINER_FILES: [&str; 8] = [
    "optimizer",
    "scheduler",
    "scaler",
    "rng_state",
    "random_states",
    "training_args",
    "sampler",
    "dl_state_dict",
];

/// The entries of the input's folder that are neither its weights nor their index.
#[derive(Debug)]
pub(super) struct Companions {
    folder: PathBuf,
    /// Those that are copied, as they were when they were listed.
    files: BTreeMap<OsString, Version>,
    /// Those that are not.
    left_behind: Vec<String>,
}

impl Companions {
    /// Lists a folder.
    pub fn find(source: &SourceFolder) -> Result<Self, Problem> {
        let folder = source.path();
        let mut files = BTreeMap::new();
        let mut left_behind = Vec::new();
        let failed = |file: PathBuf| |error| Problem::Companion { file, error };
        for name in files::names(folder).map_err(failed(folder.to_owned()))? {
            if source.is_part(&name) {
                continue;
            }
            let text = name.to_string_lossy();
            // Links are followed: in the cache of the Hugging Face Hub all files are links.
            let path = folder.join(&name);
            match files::target(&path).map_err(failed(path))? {
                Some(status) if status.is_dir() => left_behind.push(format!("{text}/")),
                Some(status) if status.is_file() && !holds_weights(&name) => {
                    files.insert(name, Version::of(&status));
                }
                _ => left_behind.push(text.into_owned()),
            }
        }
        left_behind.sort();
        Ok(Self {
            folder: folder.to_owned(),
            files,
            left_behind,
        })
    }

    /// Whether an entry of this name is copied.
    pub fn contains(&self, name: &OsStr) -> bool {
        self.files.contains_key(name)
    }

    /// The warning that names what is not copied.
    pub fn warning(&self) -> Option<Warning> {
        (!self.left_behind.is_empty()).then(|| Warning::LeftBehind {
            folder: self.folder.clone(),
            names: Names::from(self.left_behind.clone()),
        })
    }

    /// Copies the files, sharing blocks if the file system can.
    ///
    /// # Errors
    ///
    /// If one cannot be copied, or is no longer as it was listed: the trainer may still be writing it, or removing the folder.
    pub fn copy_to(&self, folder: &Path, durability: Durability) -> Result<(), Problem> {
        for (name, &version) in &self.files {
            let from = self.folder.join(name);
            let failed = |error: io::Error| match error.kind() {
                io::ErrorKind::NotFound => Problem::CompanionChanged { file: from.clone() },
                _ => Problem::Companion {
                    file: from.clone(),
                    error,
                },
            };
            let source = retried(|| File::open(&from)).map_err(failed)?;
            let copy = copy_to_new(&source, &folder.join(name)).map_err(|error| match error {
                CopyError::Reading(error) => failed(error),
                CopyError::Writing(error) => Problem::writing(error),
            })?;
            if Version::of(&files::status(&source).map_err(failed)?) != version {
                return Err(Problem::CompanionChanged { file: from });
            }
            durability.sync(&copy)?;
        }
        Ok(())
    }
}

/// Whether a file of this name holds weights: they are not copied, because they would not be merged.
fn holds_weights(name: &OsStr) -> bool {
    let text = name.to_string_lossy();
    if TRAINER_FILES.iter().any(|start| text.starts_with(start)) {
        return false;
    }
    let name = text.to_ascii_lowercase();
    let endings = [&TORCH_ENDINGS[..], &FOREIGN_ENDINGS, &["safetensors"]];
    endings
        .iter()
        .any(|endings| has_ending(name.as_ref(), endings))
        || is_index(name.as_ref())
        || name.ends_with(".index.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_known_by_their_names() {
        for name in [
            "other.safetensors",
            "pytorch_model.BIN",
            "ema.pt",
            "pytorch_model.bin.index.json",
            "model.safetensors.index.fp16.json",
        ] {
            assert!(holds_weights(OsStr::new(name)), "{name}");
        }
        for name in [
            "config.json",
            "tokenizer.model",
            "README.md",
            "bin",
            ".gitattributes",
            "optimizer.pt",
            "rng_state_0.pth",
            "training_args.bin",
        ] {
            assert!(!holds_weights(OsStr::new(name)), "{name}");
        }
    }
}
