//! What runs that were killed have left beside a place, on their way to it.
//!
//! A draft, `.NAME.inmerge-RANDOM.tmp`, holds nothing but what its run made: it goes when its maker is dead. What a run replaced,
//! `.NAME.inmerge-RANDOM.old`, may hold what is nowhere else: it is named, and never removed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::files::{self, retried};

use super::or_here;

/// How the name of a folder in the making ends.
pub(super) const UNFINISHED: &str = ".tmp";

/// How the name of a folder ends whose place another takes.
pub(super) const REPLACED: &str = ".old";

/// Removes the drafts of killed runs on their way to `name`. What cannot be removed stays. The folders that such runs replaced,
/// or were about to.
pub(super) fn clean(parent: &Path, name: &OsStr) -> Vec<PathBuf> {
    let mut replaced = Vec::new();
    for found in files::names(parent).unwrap_or_default() {
        let Some(end) = end_of(&found, name) else {
            continue;
        };
        let path = parent.join(&found);
        let is_folder = files::entry(&path).is_ok_and(|e| e.is_some_and(|e| e.is_dir()));
        if !is_folder {
            continue;
        }
        // The lock is held until it is gone.
        let Ok(folder) = retried(|| File::open(&path)) else {
            continue;
        };
        let is_locked = files::is_locked(&folder);
        if end == REPLACED {
            // Of an empty one nothing is lost. On a file system without locks its maker may still be at work, and is content.
            if is_locked != Some(true) && files::remove_folder(&path).is_err() {
                replaced.push(path);
            }
        } else if is_locked == Some(false) {
            let _ = files::remove_folder_and_all(&path);
        }
    }
    replaced.sort();
    replaced
}

/// The folders that runs which were killed have moved away from a path where nothing stands now, and found no time to put
/// another there.
///
/// # Errors
///
/// Where the folder around it cannot be listed.
pub(crate) fn moved_away(path: &Path) -> io::Result<Vec<PathBuf>> {
    let parent = or_here(path.parent());
    let Some(name) = path.file_name() else {
        return Ok(Vec::new());
    };
    let found = files::names(parent)?;
    let replaced = found
        .iter()
        .filter(|found| end_of(found, name) == Some(REPLACED));
    let mut replaced: Vec<PathBuf> = replaced.map(|found| parent.join(found)).collect();
    replaced.sort();
    Ok(replaced)
}

/// `.NAME.inmerge-`
pub(super) fn prefix(name: &OsStr) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".inmerge-");
    prefix
}

/// How the name of a temporary folder on its way to `name` ends; `None` where it is of another kind.
fn end_of(found: &OsStr, name: &OsStr) -> Option<&'static str> {
    let rest = found
        .as_encoded_bytes()
        .strip_prefix(prefix(name).as_encoded_bytes())?;
    let is_random = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_alphanumeric);
    [UNFINISHED, REPLACED]
        .into_iter()
        .find(|end| rest.strip_suffix(end.as_bytes()).is_some_and(is_random))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::TemporaryFolder;
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = files::names(folder).unwrap().into_iter();
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn only_drafts_of_dead_runs_on_their_way_to_the_same_name_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let parent = folder.path();
        let replaced = ".out.inmerge-abc123.old";
        let kept = [
            ".other.inmerge-abc123.tmp",
            ".out.inmerge-abc.inmerge-abc123.tmp",
            ".out.inmerge-.tmp",
            replaced,
            "out.inmerge-abc123.tmp",
        ];
        for name in kept {
            fs::create_dir(parent.join(name)).unwrap();
        }
        fs::write(parent.join(replaced).join("shard"), "all there is").unwrap();
        fs::create_dir(parent.join(".out.inmerge-empty1.old")).unwrap();
        let living = TemporaryFolder::create_in(parent, OsStr::new("out")).unwrap();
        let dead = parent.join(".out.inmerge-abc123.tmp");
        fs::create_dir_all(dead.join("inner")).unwrap();
        fs::write(dead.join("inner/file"), "x").unwrap();
        // Whether the folder itself is there or not: it may be another one by now.
        for _ in 0..2 {
            let left = clean(parent, OsStr::new("out"));
            assert_eq!(left, [parent.join(replaced)]);
            assert!(!dead.exists() && living.path().exists());
            let _ = fs::create_dir(parent.join("out"));
        }
        assert_eq!(
            moved_away(&parent.join("out")).unwrap(),
            [parent.join(replaced)]
        );
        drop(living);
        let mut kept: Vec<String> = kept.iter().map(|&name| name.to_owned()).collect();
        kept.push("out".to_owned());
        kept.sort();
        assert_eq!(names(parent), kept);
    }
}
