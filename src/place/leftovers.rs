//! What runs that were killed have left beside a place, on their way to it.
//!
//! A draft, `.NAME.inmerge-RANDOM.tmp`, holds nothing but what its run made: it goes when its maker is dead. What a run replaced,
//! `.NAME.inmerge-RANDOM.old`, may hold what is nowhere else: it goes by its inventory, `.NAME.inmerge-RANDOM.json`, if that is
//! known to be true of it, and is named otherwise.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::files::{self, Identity, is_at, retried};

use super::inventory::Inventory;
use super::replaced::Replaced;
use super::{FolderPlace, or_here};

/// How the name of a folder in the making ends.
pub(super) const UNFINISHED: &str = ".tmp";

/// How the name of a folder ends whose place another takes.
pub(super) const REPLACED: &str = ".old";

/// How the name of its inventory ends.
pub(super) const INVENTORY: &str = ".json";

/// What an inventory may have at most: that of some hundred thousand files.
const MAX_BYTES: u64 = 64 << 20;

/// Removes what killed runs have left on their way to a place. What cannot be removed stays. The folders among it that such runs
/// replaced, or were about to, and that may hold what is nowhere else.
pub(super) fn clean(place: &FolderPlace) -> Vec<PathBuf> {
    let mut replaced = Vec::new();
    let parent = place.parent();
    let mut found = files::names(parent).unwrap_or_default();
    // In the order of their endings: an inventory is of use until its folder has gone.
    found.sort_by_key(|name| end_of(name, place.name()) == Some(INVENTORY));
    for name in found {
        let path = parent.join(&name);
        match end_of(&name, place.name()) {
            Some(UNFINISHED) => remove_draft(&path),
            Some(REPLACED) if !remove_replaced(&path, place) => replaced.push(path),
            Some(INVENTORY) => remove_inventory(&path),
            _ => {}
        }
    }
    replaced.sort();
    replaced
}

fn remove_draft(path: &Path) {
    // The lock is held until it is gone.
    if let Ok(folder) = open_folder(path)
        && files::is_locked(&folder) == Some(false)
    {
        let _ = files::remove_folder_and_all(path);
    }
}

/// Whether nothing is left of a folder that a killed run replaced or was about to, or a run that lives sees to it.
fn remove_replaced(path: &Path, place: &FolderPlace) -> bool {
    let Ok(folder) = open_folder(path) else {
        return matches!(files::entry(path), Ok(None));
    };
    match files::is_locked(&folder) {
        Some(true) => return true,
        Some(false) => {}
        // Of an empty one nothing is lost, whether its maker lives or not.
        None => return files::remove_folder(path).is_ok(),
    }
    let list = path.with_extension(&INVENTORY[1..]);
    let Some((draft, inventory)) = inventory(&list) else {
        return files::remove_folder(path).is_ok();
    };
    let is_draft = |status: &fs::Metadata| draft.is_unique() && Identity::of(status) == draft;
    match files::status(&folder) {
        // It was killed before the draft came to the place.
        Ok(status) if is_draft(&status) => return files::remove_folder_and_all(path).is_ok(),
        Ok(_) => {}
        Err(_) => return false,
    }
    match files::entry(place.path()) {
        Ok(Some(there)) if is_draft(&there) => {
            let replaced = Replaced::new(path.to_owned(), folder, inventory);
            replaced.remove(place).is_none()
        }
        // The draft never came there, or has gone again.
        Ok(_) => {
            let _ = files::remove_file(&list);
            false
        }
        Err(_) => false,
    }
}

fn remove_inventory(path: &Path) {
    let has = |end: &str| !matches!(files::entry(&path.with_extension(&end[1..])), Ok(None));
    if !has(UNFINISHED) && !has(REPLACED) {
        let _ = files::remove_file(path);
    }
}

fn inventory(path: &Path) -> Option<(Identity, Inventory)> {
    let status = files::entry(path).ok()??;
    if !status.is_file() || status.len() > MAX_BYTES {
        return None;
    }
    Inventory::from_json(&fs::read(path).ok()?)
}

/// Opens a folder, and nothing else.
fn open_folder(path: &Path) -> io::Result<File> {
    if !files::entry(path)?.is_some_and(|status| status.is_dir()) {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let folder = retried(|| File::open(path))?;
    match is_at(&folder, path) {
        true => Ok(folder),
        false => Err(io::ErrorKind::NotFound.into()),
    }
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
    [UNFINISHED, REPLACED, INVENTORY]
        .into_iter()
        .find(|end| rest.strip_suffix(end.as_bytes()).is_some_and(is_random))
}

#[cfg(test)]
mod tests {
    use super::super::inventory::Entry;
    use super::super::{Durability, TemporaryFolder};
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
        let place = FolderPlace::of(&parent.join("out")).unwrap();
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
        fs::write(parent.join(".out.inmerge-lone12.json"), "{}").unwrap();
        let living = TemporaryFolder::create_in(parent, OsStr::new("out")).unwrap();
        let dead = parent.join(".out.inmerge-abc123.tmp");
        fs::create_dir_all(dead.join("inner")).unwrap();
        fs::write(dead.join("inner/file"), "x").unwrap();
        // Whether the folder itself is there or not: it may be another one by now.
        for _ in 0..2 {
            let left = clean(&place);
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

    /// A folder that holds `file`, a draft of another on its way there, and its inventory.
    fn half_way(desk: &Path) -> (FolderPlace, TemporaryFolder, Inventory) {
        let place = FolderPlace::of(&desk.join("out")).unwrap();
        fs::create_dir(place.path()).unwrap();
        fs::write(place.path().join("file"), "old").unwrap();
        let draft = TemporaryFolder::create(&place).unwrap();
        fs::write(draft.path().join("file"), "new").unwrap();
        let mut inventory = Inventory::default();
        let file = files::entry(&place.path().join("file")).unwrap().unwrap();
        let replaced = Entry::ReplacedVersion(files::Version::of(&file));
        inventory.add("file".into(), replaced);
        (place, draft, inventory)
    }

    #[test]
    fn what_a_run_left_that_was_killed_after_the_exchange_goes_but_for_what_came_since() {
        let desk = tempfile::tempdir().unwrap();
        let (place, mut draft, inventory) = half_way(desk.path());
        let replaced = draft
            .replace(&place, inventory, Durability::Unsynced)
            .unwrap();
        fs::write(replaced.path().join("late"), "late").unwrap();
        drop(replaced);
        assert_eq!(names(desk.path()).len(), 3);
        assert!(clean(&place).is_empty());
        assert_eq!(names(desk.path()), ["out"]);
        assert_eq!(names(place.path()), ["file", "late"]);
        assert_eq!(fs::read(place.path().join("file")).unwrap(), b"new");
    }

    #[test]
    fn what_was_replaced_is_the_only_copy_where_the_new_folder_never_came() {
        let desk = tempfile::tempdir().unwrap();
        let (place, mut draft, inventory) = half_way(desk.path());
        let replaced = draft
            .replace(&place, inventory, Durability::Unsynced)
            .unwrap();
        let aside = replaced.path().to_owned();
        drop(replaced);
        // As it is between two steps; then the trainer makes the folder anew.
        fs::remove_dir_all(place.path()).unwrap();
        assert_eq!(clean(&place), [&*aside]);
        fs::create_dir(place.path()).unwrap();
        fs::write(place.path().join("file"), "another").unwrap();
        assert_eq!(clean(&place), [&*aside]);
        assert_eq!(fs::read(aside.join("file")).unwrap(), b"old");
    }

    #[test]
    fn a_draft_that_was_killed_just_before_the_exchange_goes() {
        let desk = tempfile::tempdir().unwrap();
        let (place, draft, inventory) = half_way(desk.path());
        let own = Identity::of(&draft.as_file().metadata().unwrap());
        let aside = draft.path().with_extension("old");
        fs::write(draft.path().with_extension("json"), inventory.to_json(own)).unwrap();
        fs::rename(draft.path(), &aside).unwrap();
        drop(draft);
        assert!(clean(&place).is_empty());
        assert_eq!(names(desk.path()), ["out"]);
        assert_eq!(fs::read(place.path().join("file")).unwrap(), b"old");
    }
}
