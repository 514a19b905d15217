//! Drafts of reports, which are complete before they appear.

use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::atomic::{
    self, Durability, Inventory, Keeper, Replaced, TemporaryFolder, Warning, take_over,
};
use crate::files::{self, retried};

use super::files::{Files, LIST};
use super::parents::Parents;
use super::{ATTEMPTS, Error, Problem, ReportFolder};

/// A draft of a report, in a folder beside its destination. Several threads may write to it at once.
///
/// If it is dropped before [`ReportDraft::publish`], it is removed.
#[derive(Debug)]
pub struct ReportDraft<'a> {
    report: &'a ReportFolder,
    // Dropped before the folders that contain it, which can only be removed when they are empty.
    folder: TemporaryFolder,
    parents: Parents,
    files: Mutex<Files>,
}

impl<'a> ReportDraft<'a> {
    pub(super) fn begin(report: &'a ReportFolder) -> Result<Self, Problem> {
        let (folder, parents) = make_folder(report).map_err(Problem::writing)?;
        let draft = Self {
            report,
            folder,
            parents,
            files: Mutex::new(Files::new()),
        };
        if let Some(old) = report.existing()? {
            // Now, so that the draft is never more accessible than the old report, and its files get the same group.
            take_over(draft.folder.as_file(), &old).map_err(Problem::writing)?;
        }
        Ok(draft)
    }

    /// Writes a whole file, given its path in the report's folder: plain names separated by slashes.
    ///
    /// # Errors
    ///
    /// If it has been written before, its path is not of that form, or the disk is full.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = files.insert(name);
        drop(files);
        if !is_new {
            let name = name.to_owned();
            return Err(Problem::FileName { name }.of(&self.report.path));
        }
        self.create(name, bytes)
            .map_err(|error| Problem::writing(error).of(&self.report.path.join(name)))
    }

    fn create(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.folder.path().join(name);
        let file = match (File::create_new(&path), path.parent()) {
            (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
                files::create_folders(parent)?;
                File::create_new(&path)
            }
            (file, _) => file,
        };
        file?.write_all(bytes)
    }

    /// Adds the list of the report's files, syncs the report if required, and puts it in place in one step. Files in an
    /// existing folder that do not belong to a report are kept, even if they are added meanwhile, except those with the name
    /// of one of the report's files. Returns warnings.
    ///
    /// # Errors
    ///
    /// If the disk fails, or a foreign folder, a pipe or the like has the name of one of the report's files. Whatever existed
    /// there before is then unchanged.
    pub fn publish(self, durability: Durability) -> Result<Vec<Warning>, Error> {
        let path = self.report.path();
        self.try_publish(durability)
            .map_err(|problem| problem.of(path))
    }

    fn try_publish(mut self, durability: Durability) -> Result<Vec<Warning>, Problem> {
        let files = self.files.into_inner();
        let files = files.unwrap_or_else(PoisonError::into_inner);
        let folder = self.folder.path();
        fs::write(folder.join(LIST), files.list()).map_err(Problem::writing)?;
        sync_files(folder, &files, durability)?;
        self.parents.sync(durability)?;
        let replaced = put(self.report, &mut self.folder, &files, durability)?;
        self.parents.keep();
        let place = &self.report.place;
        let mut warnings = self.folder.warnings(place);
        warnings.extend(replaced.and_then(|mut old| {
            // Another run may have put its report there at the last moment; its files are removed too.
            match Files::read(&old.path()) {
                Ok(own) => own.add_to(old.inventory()),
                Err(error) => return Some(old.left(error)),
            }
            old.remove(place)
        }));
        Ok(warnings)
    }
}

/// Creates the folder that becomes the report, and missing folders around it.
fn make_folder(report: &ReportFolder) -> io::Result<(TemporaryFolder, Parents)> {
    let make = || {
        let parents = Parents::make(report.place.parent())?;
        Ok((TemporaryFolder::create(&report.place)?, parents))
    };
    let is_made = |made: &io::Result<_>| match made {
        // Another run that had created a folder around it has failed and removed it at this moment.
        Err(error) => error.kind() != io::ErrorKind::NotFound,
        Ok(_) => true,
    };
    let mut attempts = (0..ATTEMPTS).map(|_| make());
    attempts.find(is_made).unwrap_or_else(make)
}

/// Syncs all files if required, in parallel, so that the disk can batch them. On ext4 (Linux 6.18) a thousand files take 0.2 s
/// on two threads, and 0.3 s one after another. Syncing the whole file system takes a tenth of that on an idle disk, but waits
/// for everything that other programs write.
fn sync_files(folder: &Path, files: &Files, durability: Durability) -> Result<(), Problem> {
    let sync = |file| durability.sync_at(&folder.join(file));
    Ok(files.files().par_iter().try_for_each(sync)?)
}

/// Puts the draft in place, with the foreign entries of an existing folder. Returns the folder that it replaced.
fn put(
    report: &ReportFolder,
    folder: &mut TemporaryFolder,
    files: &Files,
    durability: Durability,
) -> Result<Option<Replaced>, Problem> {
    if report.existing()?.is_none() {
        sync_folders(folder.path(), files, durability)?;
        match folder.put_at_new(&report.place, durability) {
            // Another run has put a report there.
            Err(atomic::Problem::Exists) => {}
            put => return Ok(put.map(|()| None)?),
        }
    }
    let old = report.existing()?.ok_or(atomic::Problem::Exists)?;
    let inventory = take_over_all(report, folder, files, &old, durability)?;
    sync_folders(folder.path(), files, durability)?;
    Ok(Some(folder.replace(
        &report.place,
        inventory,
        durability,
    )?))
}

/// Takes over the foreign entries of the folder that is replaced, and its attributes.
fn take_over_all(
    report: &ReportFolder,
    folder: &TemporaryFolder,
    files: &Files,
    old: &Metadata,
    durability: Durability,
) -> Result<Inventory, Problem> {
    let (from, to) = (report.place.path(), folder.path());
    let (foreign, source) = report.foreign()?;
    let mut inventory = Inventory::default();
    Files::read(from)
        .map_err(Problem::writing)?
        .add_to(&mut inventory);
    files.add_to(&mut inventory);
    let mut keeper = Keeper::new(from, to, durability, &mut inventory)?;
    for entry in &foreign {
        make_parent(&to.join(&entry.path)).map_err(Problem::writing)?;
        keeper.keep(&entry.path)?;
    }
    // Otherwise some of the entries may belong to another run's report.
    if !foreign.is_empty() && report.identity()? != source {
        return Err(Problem::Busy);
    }
    for inner in files.folders() {
        let old = files::entry(&from.join(inner)).map_err(Problem::writing)?;
        if let Some(old) = old.filter(Metadata::is_dir) {
            let folder = retried(|| File::open(to.join(inner))).map_err(Problem::writing)?;
            take_over(&folder, &old).map_err(Problem::writing)?;
        }
    }
    take_over(folder.as_file(), old).map_err(Problem::writing)?;
    Ok(inventory)
}

/// Syncs all folders, if required.
fn sync_folders(folder: &Path, files: &Files, durability: Durability) -> Result<(), Problem> {
    for inner in files.folders() {
        durability.sync_at(&folder.join(inner))?;
    }
    Ok(durability.sync_at(folder)?)
}

fn make_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), files::create_folders)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn what_came_late_is_saved_but_for_what_the_report_has() {
        let desk = tempfile::tempdir().unwrap();
        let place = desk.path().join("place");
        let write = |folder: &Path, name: &str, text: &str| {
            make_parent(&folder.join(name)).unwrap();
            fs::write(folder.join(name), text).unwrap();
        };
        let mut gone = Files::new();
        for name in ["index.html", "figures/1.svg", "tables/1.csv"] {
            assert!(gone.insert(name));
            write(&place, name, "old");
        }
        write(&place, LIST, &gone.list());
        write(&place, "kept", "mine");
        let report = ReportFolder::check(&place, true).unwrap();
        let mut draft = report.begin().unwrap();
        for name in ["index.html", "figures/2.svg", "late/1"] {
            draft.write(name, b"new").unwrap();
        }
        let mut files = Files::new();
        let names = ["index.html", "figures/2.svg", "late/1"];
        assert!(names.iter().all(|name| files.insert(name)));
        let old = put(&report, &mut draft.folder, &files, Durability::Unsynced);
        let old = old.unwrap().unwrap();
        let late = [
            "figures/2.svg",
            "figures/mine.svg",
            "tables/mine/1",
            "late/1",
            "late/2",
            "new",
        ];
        for name in late {
            write(&old.path(), name, "late");
        }
        assert!(old.remove(&report.place).is_none());

        let saved = ["figures/mine.svg", "tables/mine/1", "late/2", "new"];
        for name in saved {
            assert_eq!(fs::read(place.join(name)).unwrap(), b"late", "{name}");
        }
        for file in names {
            assert_eq!(fs::read(place.join(file)).unwrap(), b"new", "{file}");
        }
        assert_eq!(fs::read(place.join("kept")).unwrap(), b"mine");
        for name in ["figures/1.svg", "tables/1.csv"] {
            assert!(!place.join(name).exists(), "{name}");
        }
    }

    #[test]
    fn a_folder_around_it_that_another_run_removes_is_made_again() {
        let desk = tempfile::tempdir().unwrap();
        let around = desk.path().join("reports");
        let report = ReportFolder::check(&around.join("net"), false).unwrap();
        // A removal makes at most one attempt fail, and there are fewer removals than attempts, so one must succeed.
        let left = AtomicUsize::new(0);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    if left.load(Ordering::Relaxed) == 0 {
                        std::thread::yield_now();
                        continue;
                    }
                    // Stands for another run, which makes the folder and fails.
                    let _ = fs::create_dir(&around);
                    if fs::remove_dir(&around).is_ok() {
                        left.fetch_sub(1, Ordering::Relaxed);
                    }
                }
            });
            let begun = (0..50).try_for_each(|_| {
                left.store(ATTEMPTS / 2, Ordering::Relaxed);
                report.begin().map(drop)
            });
            // Before the test can panic, because the scope waits for the other thread.
            is_over.store(true, Ordering::Relaxed);
            begun.unwrap();
        });
    }
}
