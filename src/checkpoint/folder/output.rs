//! Where a checkpoint may be written that is a folder: it appears whole or is replaced as a whole.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::atomic::{self, Existing, FolderDestination, or_here};
use crate::checkpoint::endings::{TORCH_ENDINGS, has_ending};
use crate::checkpoint::index::{WeightMap, is_index};
use crate::checkpoint::{Error, Problem};
use crate::files::{self, retried};

use super::SourceFolder;
use super::companions::Companions;

/// A place where a checkpoint may be written that is a folder, checked before anything is computed.
#[derive(Debug)]
pub struct OutputFolder {
    /// As the user has it: the folder or the index in it.
    path: PathBuf,
    pub(super) place: FolderDestination,
    pub(super) old: Old,
}

/// What stands there already.
#[derive(Debug)]
pub(super) enum Old {
    Nothing {
        companions: Companions,
    },
    /// The input itself; everything else in it is kept.
    Input,
    /// An earlier output, whose entries may all go.
    Output {
        companions: Companions,
        entries: BTreeSet<OsString>,
    },
}

impl OutputFolder {
    /// Checks that the checkpoint of this folder may be written at `path`.
    pub(in crate::checkpoint) fn check(
        source: &SourceFolder,
        path: &Path,
        replace: bool,
    ) -> Result<Self, Error> {
        Self::try_check(source, path, replace).map_err(|problem| problem.of(path))
    }

    fn try_check(source: &SourceFolder, path: &Path, replace: bool) -> Result<Self, Problem> {
        let place = FolderDestination::recovered(folder_meant(source, path)?)?;
        let status = match place.existing()? {
            Existing::File => return Err(Problem::OutputNotFolder),
            Existing::Special => return Err(atomic::Problem::Special.into()),
            Existing::Folder(_) if !replace => return Err(atomic::Problem::Exists.into()),
            Existing::Folder(status) => Some(status),
            Existing::Nothing => None,
        };
        let parent = place.parent();
        if !files::is_folder(parent).map_err(atomic::Problem::Unwritable)? {
            return Err(atomic::Problem::FolderMissing(parent.to_owned()).into());
        }
        let whole_parent = files::canonical(parent).map_err(atomic::Problem::Unwritable)?;
        let input = files::canonical(source.path()).map_err(Problem::reading)?;
        let old = match status {
            Some(status) => {
                let input = retried(|| fs::metadata(&input)).map_err(Problem::reading)?;
                place.refuse_mount(&status)?;
                if (status.dev(), status.ino()) == (input.dev(), input.ino()) {
                    Old::Input
                } else {
                    let companions = Companions::find(source)?;
                    Old::Output {
                        entries: disposable(place.path(), source, &companions)?,
                        companions,
                    }
                }
            }
            None => Old::Nothing {
                companions: Companions::find(source)?,
            },
        };
        let whole = whole_parent.join(place.name());
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
            place,
            old,
        })
    }

    /// Where the output goes, as the user has it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that it is.
    pub fn folder(&self) -> &Path {
        self.place.path()
    }

    /// Whether the output replaces the input's own folder.
    pub fn is_input(&self) -> bool {
        matches!(self.old, Old::Input)
    }
}

/// The folder at a path, or around the index there.
fn folder_meant<'a>(source: &SourceFolder, path: &'a Path) -> Result<&'a Path, Problem> {
    if files::is_folder(path).map_err(atomic::Problem::Unwritable)? {
        return Ok(path);
    }
    if let Some(index) = source.index()
        && path.file_name() == Some(index.name())
    {
        return Ok(or_here(path.parent()));
    }
    if has_ending(path, &["safetensors", "json"]) || has_ending(path, &TORCH_ENDINGS) {
        return Err(Problem::OutputNotFolder);
    }
    Ok(path)
}

/// The entries of an existing output, if all of them may be removed: replaced by others of the same name, or part of the sharded
/// checkpoint that is replaced.
fn disposable(
    folder: &Path,
    source: &SourceFolder,
    companions: &Companions,
) -> Result<BTreeSet<OsString>, Problem> {
    let mut entries = BTreeSet::new();
    let mut others = Vec::new();
    let mut old_indexes = Vec::new();
    for name in files::names(folder).map_err(atomic::Problem::Unwritable)? {
        let entry = files::entry(&folder.join(&name)).map_err(atomic::Problem::Unwritable)?;
        // If it is gone, it was a temporary file of another program.
        let Some(entry) = entry else {
            continue;
        };
        let is_folder = entry.is_dir();
        if is_index(&name) {
            old_indexes.push(name.clone());
        }
        let comes_again = source.is_part(&name) || companions.contains(&name);
        if is_folder || !comes_again {
            others.push((name.clone(), is_folder));
        }
        entries.insert(name);
    }
    // The files of the replaced index, or of the only one, are removed with it.
    old_indexes.retain(|old| {
        source.is_part(old) || entries.iter().filter(|name| is_index(name)).count() == 1
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
