//! Where a sharded checkpoint may be written: a folder that appears whole or is replaced as a whole.

mod attributes;
mod companions;
mod exchange;
mod keep;
mod new;
mod temporary;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::index::{Index, WeightMap, is_index, or_here};
use super::{Error, Problem};
use companions::Companions;

pub(super) use new::NewFolder;

/// A place where a sharded checkpoint may be written, checked before anything is computed.
#[derive(Debug)]
pub struct FolderDestination {
    /// As the user has it: the folder or the index in it.
    path: PathBuf,
    /// The folder, by its own name.
    folder: PathBuf,
    old: Old,
}

/// What stands there already.
#[derive(Debug)]
enum Old {
    Nothing {
        companions: Companions,
    },
    /// The input itself, of which everything else is kept.
    Input,
    /// An earlier output, whose entries may all go.
    Output {
        companions: Companions,
        entries: BTreeSet<OsString>,
    },
}

impl FolderDestination {
    /// Checks that the checkpoint of this index may be written at `path`.
    pub(super) fn check(index: &Index, path: &Path, replace: bool) -> Result<Self, Error> {
        Self::try_check(index, path, replace).map_err(|problem| problem.of(path))
    }

    fn try_check(index: &Index, path: &Path, replace: bool) -> Result<Self, Problem> {
        let folder = folder_meant(index, path)?;
        let Some(name) = folder.file_name() else {
            return Err(Problem::OutputNameless);
        };
        let parent = or_here(folder.parent());
        // Without the slash at the end that makes a link its target.
        let folder = parent.join(name);
        let status = match fs::symlink_metadata(&folder) {
            Ok(status) if status.is_symlink() => return Err(Problem::OutputLink),
            Ok(status) if status.is_file() => {
                return Err(Problem::OutputNotFolder {
                    index: index.name().to_string_lossy().into_owned(),
                });
            }
            Ok(status) if !status.is_dir() => return Err(Problem::OutputSpecial),
            Ok(_) if !replace => return Err(Problem::OutputExists),
            Ok(status) => Some(status),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Problem::Unwritable(error)),
        };
        if !parent.is_dir() {
            return Err(Problem::OutputFolderMissing(parent.to_owned()));
        }
        let whole_parent = parent.canonicalize().map_err(Problem::Unwritable)?;
        let input = index.folder().canonicalize().map_err(Problem::reading)?;
        let old = match status {
            Some(status) => {
                let parent = fs::metadata(&whole_parent).map_err(Problem::Unwritable)?;
                let input = fs::metadata(&input).map_err(Problem::reading)?;
                if status.dev() != parent.dev() {
                    return Err(Problem::OutputMount);
                }
                if (status.dev(), status.ino()) == (input.dev(), input.ino()) {
                    Old::Input
                } else {
                    let companions = Companions::find(index)?;
                    Old::Output {
                        entries: disposable(&folder, index, &companions)?,
                        companions,
                    }
                }
            }
            None => Old::Nothing {
                companions: Companions::find(index)?,
            },
        };
        let whole = whole_parent.join(name);
        if !matches!(old, Old::Input) {
            if whole.starts_with(&input) {
                return Err(Problem::OutputInInput);
            }
            if input.starts_with(&whole) {
                return Err(Problem::OutputAroundInput);
            }
        }
        Ok(Self {
            path: path.to_owned(),
            folder,
            old,
        })
    }

    /// Where the output goes, as the user has it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the output replaces the input.
    pub fn is_input(&self) -> bool {
        matches!(self.old, Old::Input)
    }

    /// The folder around it.
    fn parent(&self) -> &Path {
        or_here(self.folder.parent())
    }

    fn name(&self) -> &OsStr {
        self.folder.file_name().expect("checked")
    }
}

/// The folder that a path means: itself, or the one around the index.
fn folder_meant<'a>(index: &Index, path: &'a Path) -> Result<&'a Path, Problem> {
    if path.is_dir() {
        return Ok(path);
    }
    if path.file_name() == Some(index.name()) {
        return Ok(or_here(path.parent()));
    }
    let end = path.extension().and_then(OsStr::to_str);
    if matches!(end, Some("safetensors" | "json")) {
        return Err(Problem::OutputNotFolder {
            index: index.name().to_string_lossy().into_owned(),
        });
    }
    Ok(path)
}

/// The entries of an existing output, if they all may go: for others of the same name, or with the sharded checkpoint that is
/// replaced.
fn disposable(
    folder: &Path,
    index: &Index,
    companions: &Companions,
) -> Result<BTreeSet<OsString>, Problem> {
    let mut entries = BTreeSet::new();
    let mut others = Vec::new();
    let mut old_indexes = Vec::new();
    for entry in fs::read_dir(folder).map_err(Problem::Unwritable)? {
        let entry = entry.map_err(Problem::Unwritable)?;
        let is_folder = entry.file_type().map_err(Problem::Unwritable)?.is_dir();
        let name = entry.file_name();
        if is_index(&name) {
            old_indexes.push(name.clone());
        }
        let comes_again = name == index.name()
            || index.map().shards().contains(&*name.to_string_lossy())
            || companions.contains(&name);
        if is_folder || !comes_again {
            others.push((name.clone(), is_folder));
        }
        entries.insert(name);
    }
    // The files of the index that is replaced, or of the only one, go with it.
    old_indexes.retain(|old| {
        old == index.name() || entries.iter().filter(|name| is_index(name)).count() == 1
    });
    let gone = old_indexes.first().and_then(|old| {
        let map = WeightMap::parse(&fs::read(folder.join(old)).ok()?).ok()?;
        Some((old.clone(), map))
    });
    if let Some((old, map)) = &gone {
        let shards = map.shards();
        others.retain(|(name, is_folder)| {
            *is_folder || name != old && !shards.contains(&*name.to_string_lossy())
        });
    }
    if others.is_empty() {
        return Ok(entries);
    }
    let mut names: Vec<String> = others
        .iter()
        .map(|(name, is_folder)| {
            format!(
                "{}{}",
                name.to_string_lossy(),
                if *is_folder { "/" } else { "" }
            )
        })
        .collect();
    names.sort();
    Err(Problem::OutputHoldsMore {
        names: names.into(),
    })
}
