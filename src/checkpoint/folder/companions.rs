//! The small files beside a sharded checkpoint that are copied with it: configuration, tokenizer and the like.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::atomic::Durability;
use crate::checkpoint::Problem;
use crate::checkpoint::index::{Index, is_index};
use crate::checkpoint::names::Names;
use crate::checkpoint::warning::Warning;
use crate::files::{self, CopyError, copy_to_new, retried};

/// The size up to which a file is copied.
const MAX_BYTES: u64 = 64 << 20;

/// File name endings of weights, which are not copied: they would not be merged.
const WEIGHTS: [&str; 10] = [
    "safetensors",
    "bin",
    "pt",
    "pth",
    "ckpt",
    "h5",
    "msgpack",
    "gguf",
    "onnx",
    "npz",
];

/// The entries of the input's folder that are neither its shards nor its index.
#[derive(Debug)]
pub(super) struct Companions {
    folder: PathBuf,
    /// Those that are copied.
    files: BTreeSet<OsString>,
    /// Those that are not.
    left_behind: Vec<String>,
}

impl Companions {
    /// Lists the folder of an index.
    pub fn find(index: &Index) -> Result<Self, Problem> {
        let folder = index.folder();
        let shards = index.map().shards();
        let mut files = BTreeSet::new();
        let mut left_behind = Vec::new();
        let failed = |file: PathBuf| |error| Problem::Companion { file, error };
        for name in files::names(folder).map_err(failed(folder.to_owned()))? {
            let text = name.to_string_lossy();
            if name == index.name() || shards.contains(&*text) {
                continue;
            }
            // Links are followed: in the cache of the Hugging Face Hub all files are links.
            let path = folder.join(&name);
            match files::target(&path).map_err(failed(path))? {
                Some(status) if status.is_dir() => left_behind.push(format!("{text}/")),
                Some(status)
                    if status.is_file() && status.len() <= MAX_BYTES && !holds_weights(&name) =>
                {
                    files.insert(name);
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
        self.files.contains(name)
    }

    /// The warning that names what is not copied.
    pub fn warning(&self) -> Option<Warning> {
        (!self.left_behind.is_empty()).then(|| Warning::LeftBehind {
            folder: self.folder.clone(),
            names: Names::from(self.left_behind.clone()),
        })
    }

    /// Copies the files, sharing blocks if the file system can.
    pub fn copy_to(&self, folder: &Path, durability: Durability) -> Result<(), Problem> {
        for name in &self.files {
            let from = self.folder.join(name);
            let failed = |error| Problem::Companion {
                file: from.clone(),
                error,
            };
            let source = match retried(|| File::open(&from)) {
                // A temporary file of another program.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(failed)?,
            };
            let copy = copy_to_new(&source, &folder.join(name)).map_err(|error| match error {
                CopyError::Reading(error) => failed(error),
                CopyError::Writing(error) => Problem::writing(error),
            })?;
            durability.sync(&copy)?;
        }
        Ok(())
    }
}

fn holds_weights(name: &OsStr) -> bool {
    let end = Path::new(name).extension().map(OsStr::to_ascii_lowercase);
    end.is_some_and(|end| WEIGHTS.iter().any(|weights| end == *weights))
        || is_index(name)
        || name.as_encoded_bytes().ends_with(b".index.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_known_by_their_names() {
        for name in [
            "other.safetensors",
            "pytorch_model.BIN",
            "optimizer.pt",
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
        ] {
            assert!(!holds_weights(OsStr::new(name)), "{name}");
        }
    }
}
