//! Leftovers of killed runs beside the place of their output.
//!
//! What such a run made is removed. The folder that it replaced may hold the only copy of something: it is removed according to
//! its inventory if that is known to apply, and reported otherwise.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::files::{self, Identity};

use super::claim::{self, Claim, Found, stem_of};
use super::replaced::Replaced;
use super::{FolderPlace, Problem, exchange, or_here};

/// Removes the leftovers of killed runs beside a place, as far as possible. Returns the folders that such runs replaced, or were
/// about to, and that may hold the only copy of something.
pub(super) fn clean(place: &FolderPlace) -> Vec<PathBuf> {
    let found = files::names(place.parent()).unwrap_or_default();
    let stems = found.iter().filter_map(|name| stem_of(name, place.name()));
    let stems: BTreeSet<PathBuf> = stems.map(|stem| place.parent().join(stem)).collect();
    let left = stems.iter().filter(|stem| !is_clean(stem, place));
    left.map(|stem| claim::aside(stem)).collect()
}

/// Whether nothing is left of the folder that the run with these names replaced, or the run is alive and will remove it.
fn is_clean(stem: &Path, place: &FolderPlace) -> bool {
    let aside = claim::aside(stem);
    // An empty folder holds nothing. If the state of its run is unknown, the run may be alive, and copes.
    let is_gone = || {
        let _ = files::remove_folder(&aside);
        matches!(files::entry(&aside), Ok(None))
    };
    match Claim::find(stem) {
        Ok(Found::Alive) => true,
        Ok(Found::Unknown) | Err(_) => is_gone(),
        Ok(Found::Done) => {
            let _ = files::remove_folder_and_all(&claim::draft(stem));
            is_gone()
        }
        Ok(Found::Dead(mut claim)) => {
            let draft = claim.draft();
            let _ = files::remove_folder_and_all(&draft);
            let settled = if is_gone() {
                Ok(true)
            } else {
                is_settled(&claim, place)
            };
            // A later run may succeed. If the inventory is useless, its file is removed.
            if settled.is_err() || !matches!(files::entry(&draft), Ok(None)) {
                claim.keep();
            }
            settled.unwrap_or(false)
        }
    }
}

/// Removes what a dead run replaced, as far as its inventory is known to apply; returns whether nothing is left.
fn is_settled(claim: &Claim, place: &FolderPlace) -> io::Result<bool> {
    let Some((draft, inventory)) = claim.read()? else {
        return Ok(false);
    };
    let is_draft = |status: &fs::Metadata| draft.is_unique() && Identity::of(status) == draft;
    let aside = claim.aside();
    if files::entry(&aside)?.is_some_and(|status| is_draft(&status)) {
        // The run was killed before the draft came to the place.
        files::remove_folder_and_all(&aside)?;
        return Ok(true);
    }
    if files::entry(place.path())?.is_some_and(|there| is_draft(&there)) {
        return Replaced::settle(claim, place, &inventory).map(|()| true);
    }
    // The draft never came there, or is gone again.
    Ok(false)
}

/// The folders that runs moved away from a path before they were killed, so that nothing is there now.
///
/// # Errors
///
/// If the parent folder cannot be listed.
pub(crate) fn moved_away(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut left = Vec::new();
    for (aside, found) in asides(path)? {
        // A run that is alive is about to put another folder there.
        if !matches!(found, Found::Alive) {
            left.push(aside);
        }
    }
    Ok(left)
}

impl FolderPlace {
    /// As [`FolderPlace::of`], after putting back the folder that a run moved away from there before it was killed.
    pub fn recovered(path: &Path) -> Result<Self, Problem> {
        let place = Self::of(path)?;
        put_back(&place);
        Ok(place)
    }
}

/// Puts back the folder that a run, killed between the two steps of replacing it, moved away from a place where nothing is now.
/// If that is impossible, or there are several, [`clean`] reports them.
fn put_back(place: &FolderPlace) {
    if !matches!(files::entry(place.path()), Ok(None)) {
        return;
    }
    let asides = asides(place.path()).unwrap_or_default();
    let [(aside, Found::Dead(claim))] = &asides[..] else {
        return;
    };
    // The draft is still beside the place. If it is not, it was put there, and whoever removed it does not expect the old folder.
    let is_between_steps = match (claim.read(), files::entry(&claim.draft())) {
        (Ok(Some((draft, _))), Ok(Some(status))) => {
            draft.is_unique() && Identity::of(&status) == draft
        }
        _ => false,
    };
    if is_between_steps {
        // The run's other leftovers are removed when the next folder is put there.
        let _ = exchange::put_at_new(aside, place.path());
    }
}

/// The folders that runs have moved away from a path, and the state of these runs; nothing is changed.
fn asides(path: &Path) -> io::Result<Vec<(PathBuf, Found)>> {
    let parent = or_here(path.parent());
    let Some(name) = path.file_name() else {
        return Ok(Vec::new());
    };
    let found = files::names(parent)?;
    let stems = found.iter().filter_map(|found| stem_of(found, name));
    let stems: BTreeSet<PathBuf> = stems.map(|stem| parent.join(stem)).collect();
    let mut asides = Vec::new();
    for stem in stems {
        let aside = claim::aside(&stem);
        if files::entry(&aside)?.is_some() {
            let mut found = Claim::find(&stem)?;
            if let Found::Dead(claim) = &mut found {
                claim.keep();
            }
            asides.push((aside, found));
        }
    }
    Ok(asides)
}

#[cfg(test)]
mod tests {
    use super::super::inventory::{Entry, Inventory};
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
        fs::write(parent.join(".out.inmerge-lone12.run"), "").unwrap();
        let living = TemporaryFolder::create(&place).unwrap();
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

    /// The same after the draft has taken the folder's place.
    fn replaced(desk: &Path) -> (FolderPlace, Replaced) {
        let (place, mut draft, inventory) = half_way(desk);
        let replaced = draft.replace(&place, inventory, Durability::Unsynced);
        (place, replaced.unwrap())
    }

    /// The same as left by a run that is killed between the two steps, and where the folder was moved to.
    fn between_steps(desk: &Path) -> (FolderPlace, PathBuf) {
        let (place, draft, inventory) = half_way(desk);
        let own = Identity::of(&draft.as_file().metadata().unwrap());
        let path = draft.path().to_owned();
        fs::rename(&path, desk.join("safe")).unwrap();
        drop(draft);
        fs::rename(desk.join("safe"), &path).unwrap();
        fs::write(path.with_extension("run"), inventory.to_json(own)).unwrap();
        let aside = path.with_extension("old");
        fs::rename(place.path(), &aside).unwrap();
        (place, aside)
    }

    fn file_in(folder: &Path) -> String {
        fs::read_to_string(folder.join("file")).unwrap()
    }

    #[test]
    fn what_a_run_left_that_was_killed_after_the_exchange_goes_but_for_what_came_since() {
        let desk = tempfile::tempdir().unwrap();
        let (place, replaced) = replaced(desk.path());
        fs::write(replaced.path().join("late"), "late").unwrap();
        replaced.forget();
        assert_eq!(names(desk.path()).len(), 3);
        assert!(clean(&place).is_empty());
        assert_eq!(names(desk.path()), ["out"]);
        assert_eq!(names(place.path()), ["file", "late"]);
        assert_eq!(file_in(place.path()), "new");
    }

    #[test]
    fn what_was_replaced_is_the_only_copy_where_the_new_folder_never_came() {
        let desk = tempfile::tempdir().unwrap();
        let (place, replaced) = replaced(desk.path());
        let aside = replaced.path();
        // As it is between two steps; then the trainer makes the folder anew.
        fs::remove_dir_all(place.path()).unwrap();
        assert!(
            moved_away(place.path()).unwrap().is_empty(),
            "its run lives"
        );
        replaced.forget();
        assert_eq!(moved_away(place.path()).unwrap(), [&*aside]);
        assert_eq!(clean(&place), [&*aside]);
        assert_eq!(names(desk.path()).len(), 1, "what is not named is gone");
        fs::create_dir(place.path()).unwrap();
        fs::write(place.path().join("file"), "another").unwrap();
        assert_eq!(clean(&place), [&*aside]);
        assert_eq!(file_in(&aside), "old");
    }

    #[test]
    fn a_draft_that_was_killed_just_before_the_exchange_goes() {
        let desk = tempfile::tempdir().unwrap();
        let (place, draft, inventory) = half_way(desk.path());
        let own = Identity::of(&draft.as_file().metadata().unwrap());
        let run = draft.path().with_extension("run");
        let aside = draft.path().with_extension("old");
        fs::rename(draft.path(), &aside).unwrap();
        drop(draft);
        fs::write(run, inventory.to_json(own)).unwrap();
        assert!(clean(&place).is_empty());
        assert_eq!(names(desk.path()), ["out"]);
        assert_eq!(fs::read(place.path().join("file")).unwrap(), b"old");
    }

    #[test]
    fn a_folder_that_was_moved_away_comes_back_where_nothing_stands() {
        let desk = tempfile::tempdir().unwrap();
        let (place, _) = between_steps(desk.path());
        put_back(&place);
        assert_eq!(file_in(place.path()), "old");
        assert!(clean(&place).is_empty());
        assert_eq!(names(desk.path()), ["out"]);
    }

    #[test]
    fn of_two_folders_that_were_moved_away_none_comes_back() {
        let desk = tempfile::tempdir().unwrap();
        let (place, aside) = between_steps(desk.path());
        let other = desk.path().join(".out.inmerge-abc123.old");
        fs::create_dir(&other).unwrap();
        fs::write(other.join("file"), "?").unwrap();
        put_back(&place);
        assert!(!place.path().exists());
        let mut left = [aside, other];
        left.sort();
        assert_eq!(clean(&place), left);
    }

    #[test]
    fn what_was_replaced_does_not_come_back_where_the_new_folder_was_removed() {
        let desk = tempfile::tempdir().unwrap();
        let (place, replaced) = replaced(desk.path());
        let aside = replaced.path();
        put_back(&place);
        assert_eq!(file_in(place.path()), "new");
        fs::remove_dir_all(place.path()).unwrap();
        put_back(&place);
        assert!(!place.path().exists(), "its run lives");
        replaced.forget();
        put_back(&place);
        assert!(!place.path().exists());
        assert_eq!(clean(&place), [&*aside]);
        assert_eq!(file_in(&aside), "old");
    }
}
