//! Leftovers of killed runs beside their output.
//!
//! What such a run made is removed. The folder that it replaced may hold the only copy of a file: it is removed according to
//! its inventory if that applies, and reported otherwise.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::files::{self, Identity};

use super::claim::{self, Claim, RunState, stem_of};
use super::replaced::Replaced;
use super::{FolderDestination, Problem, Warning, exchange, or_here};

/// Removes the leftovers of killed runs beside an output, as far as possible. Returns the folders that such runs replaced,
/// or were about to replace, and that may hold the only copy of a file.
pub(super) fn clean(place: &FolderDestination) -> Vec<PathBuf> {
    let found = files::names(place.parent()).unwrap_or_default();
    let stems = found.iter().filter_map(|name| stem_of(name, place.name()));
    let stems: BTreeSet<PathBuf> = stems.map(|stem| place.parent().join(stem)).collect();
    let left = stems.iter().filter(|stem| !is_clean(stem, place));
    left.map(|stem| claim::aside(stem)).collect()
}

/// As [`clean`], for all outputs in a folder. Puts back what a killed run moved away from its place.
pub(crate) fn clean_all(folder: &Path) -> Vec<Warning> {
    let found = files::names(folder).unwrap_or_default();
    let outputs = found.iter().filter_map(|name| claim::output_of(name));
    let outputs: BTreeSet<PathBuf> = outputs.map(|name| folder.join(name)).collect();
    let mut warnings = Vec::new();
    for output in outputs {
        let Ok(place) = FolderDestination::recovered(&output) else {
            continue;
        };
        let left = clean(&place).into_iter();
        warnings.extend(left.map(|folder| Warning::LeftByKilledRun {
            folder,
            place: output.clone(),
        }));
    }
    warnings
}

/// Whether nothing is left of the folder that the run with these names replaced, or the run is alive and will remove it.
fn is_clean(stem: &Path, place: &FolderDestination) -> bool {
    let aside = claim::aside(stem);
    // Removes only an empty folder. A run of unknown state may be alive, but copes with that.
    let is_gone = || {
        let _ = files::remove_folder(&aside);
        matches!(files::entry(&aside), Ok(None))
    };
    match Claim::find(stem) {
        Ok(RunState::Alive) => true,
        Ok(RunState::Unknown) | Err(_) => is_gone(),
        Ok(RunState::Done) => {
            let _ = files::remove_folder_and_all(&claim::draft(stem));
            is_gone()
        }
        Ok(RunState::Dead(mut claim)) => {
            let draft = claim.draft();
            let _ = files::remove_folder_and_all(&draft);
            let removed = if is_gone() {
                Ok(true)
            } else {
                try_remove_replaced(&claim, place)
            };
            // Keep the file if a later run may succeed. If the inventory does not apply, it is of no use.
            if removed.is_err() || !matches!(files::entry(&draft), Ok(None)) {
                claim.keep();
            }
            removed.unwrap_or(false)
        }
    }
}

/// Removes the folder that a dead run replaced, if its inventory applies; returns whether nothing is left.
fn try_remove_replaced(claim: &Claim, place: &FolderDestination) -> io::Result<bool> {
    let Some((draft, inventory)) = claim.read()? else {
        return Ok(false);
    };
    let is_draft = |status: &fs::Metadata| draft.is_unique() && Identity::of(status) == draft;
    let aside = claim.aside();
    if files::entry(&aside)?.is_some_and(|status| is_draft(&status)) {
        // The run was killed before the draft was put in place.
        files::remove_folder_and_all(&aside)?;
        return Ok(true);
    }
    if files::entry(place.path())?.is_some_and(|there| is_draft(&there)) {
        return Replaced::try_remove(claim, place, &inventory).map(|()| true);
    }
    // The draft was never put in place, or is gone again.
    Ok(false)
}

/// The folders that killed runs moved away from a path without putting another there.
///
/// # Errors
///
/// If the parent folder cannot be listed.
pub(crate) fn moved_away(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut left = Vec::new();
    for (aside, state) in asides(path)? {
        // A run that is alive is about to put another folder there.
        if !matches!(state, RunState::Alive) {
            left.push(aside);
        }
    }
    Ok(left)
}

impl FolderDestination {
    /// As [`FolderDestination::of`], after putting back the folder that a killed run moved away from there.
    pub fn recovered(path: &Path) -> Result<Self, Problem> {
        let place = Self::of(path)?;
        put_back(&place);
        Ok(place)
    }
}

/// If nothing is at the place, puts back the folder that a run moved away before it was killed between the two steps of
/// replacing it. If that is impossible, or there are several such folders, [`clean`] reports them.
fn put_back(place: &FolderDestination) {
    if !matches!(files::entry(place.path()), Ok(None)) {
        return;
    }
    let asides = asides(place.path()).unwrap_or_default();
    let [(aside, RunState::Dead(claim))] = &asides[..] else {
        return;
    };
    // If the draft is gone, it was put in place, and whoever removed it does not expect the old folder.
    let is_between_steps = match (claim.read(), files::entry(&claim.draft())) {
        (Ok(Some((draft, _))), Ok(Some(status))) => {
            draft.is_unique() && Identity::of(&status) == draft
        }
        _ => false,
    };
    if is_between_steps {
        // The next run that replaces the folder removes the other leftovers.
        let _ = exchange::put_at_new(aside, place.path());
    }
}

/// The folders that runs have moved away from a path, and the states of these runs. Changes nothing.
fn asides(path: &Path) -> io::Result<Vec<(PathBuf, RunState)>> {
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
            let mut state = Claim::find(&stem)?;
            if let RunState::Dead(claim) = &mut state {
                claim.keep();
            }
            asides.push((aside, state));
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
    fn in_a_folder_of_outputs_the_leftovers_of_all_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("a-1")).unwrap();
        for name in [".a-1.inmerge-abc123.run", ".b.x.inmerge-abc123.run"] {
            fs::write(path(name), "").unwrap();
        }
        fs::create_dir(path(".b.x.inmerge-abc123.tmp")).unwrap();
        fs::create_dir(path(".c.inmerge-abc123.old")).unwrap();
        fs::write(path(".c.inmerge-abc123.old/file"), "the only copy").unwrap();
        fs::write(path(".inmerge-abc.run"), "of nobody").unwrap();
        let warnings = clean_all(folder.path());
        assert_eq!(
            names(folder.path()),
            [".c.inmerge-abc123.old", ".inmerge-abc.run", "a-1"]
        );
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].to_string().contains(".c.inmerge-abc123.old"));
    }

    #[test]
    fn only_drafts_of_dead_runs_on_their_way_to_the_same_name_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let parent = folder.path();
        let place = FolderDestination::of(&parent.join("out")).unwrap();
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
        // Whether the output exists or not: it may be another folder by now.
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

    /// A folder that holds `file`, a draft that is about to replace it, and its inventory.
    fn half_way(desk: &Path) -> (FolderDestination, TemporaryFolder, Inventory) {
        let place = FolderDestination::of(&desk.join("out")).unwrap();
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

    /// The same after the draft has replaced the folder.
    fn replaced(desk: &Path) -> (FolderDestination, Replaced) {
        let (place, mut draft, inventory) = half_way(desk);
        let replaced = draft.replace(&place, inventory, Durability::Unsynced);
        (place, replaced.unwrap())
    }

    /// The same after the run was killed between the two steps, and the path to which the folder was moved.
    fn between_steps(desk: &Path) -> (FolderDestination, PathBuf) {
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
        // As it is between the two steps; then the trainer makes the folder anew.
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
