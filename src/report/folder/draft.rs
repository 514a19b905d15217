//! A report in the making, complete before it appears.

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

/// A report in a folder beside the one it is to be. Many threads may write to it at once.
///
/// Dropped before [`ReportDraft::publish`], it leaves nothing behind.
#[derive(Debug)]
pub struct ReportDraft<'a> {
    report: &'a ReportFolder,
    // Before the folders around it, which can only be removed after it.
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
        if let Some(old) = report.standing()? {
            // Now, so that it is no more open than the old one while it grows, and its files get the same group.
            take_over(draft.folder.as_file(), &old).map_err(Problem::writing)?;
        }
        Ok(draft)
    }

    /// Writes a whole file, given its path in the report's folder: plain names with slashes between them.
    ///
    /// # Errors
    ///
    /// Where it has been written before, its name is none, or the disk is full.
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

    /// Adds the list of its files, makes the report durable if asked to, and puts it in its place in one step. What is in a
    /// folder there and not of a report is kept, whenever it came; a file by the name of one of the report's goes. What the
    /// user should know of it.
    ///
    /// # Errors
    ///
    /// Where the disk fails, or a folder there that is not of a report, a pipe or the like has the name of one of the report's
    /// files. Whatever stood there before is then still whole.
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
            // Another run may have put its report there in the last moment: so its files go, too.
            match Files::read(&old.path()) {
                Ok(own) => own.enter(old.inventory()),
                Err(error) => return Some(old.left(error)),
            }
            old.remove(place)
        }));
        Ok(warnings)
    }
}

/// Makes the folder that becomes the report, and those around it.
fn make_folder(report: &ReportFolder) -> io::Result<(TemporaryFolder, Parents)> {
    let make = || {
        let parents = Parents::make(report.place.parent())?;
        Ok((TemporaryFolder::create(&report.place)?, parents))
    };
    let is_made = |made: &io::Result<_>| match made {
        // Another run that made a folder around it has failed, and removed it in this moment.
        Err(error) => error.kind() != io::ErrorKind::NotFound,
        Ok(_) => true,
    };
    let mut attempts = (0..ATTEMPTS).map(|_| make());
    attempts.find(is_made).unwrap_or_else(make)
}

/// Sees to it that the disk holds all files, if it must: at once, so that they share the disk's turns. On ext4 a thousand files
/// take 0.2 s so on two threads, and 0.3 s one after the other (Linux 6.18). Syncing the whole file system takes a tenth of
/// that on an idle disk, but waits for all that others write.
fn sync_files(folder: &Path, files: &Files, durability: Durability) -> Result<(), Problem> {
    let sync = |file| durability.sync_at(&folder.join(file));
    Ok(files.files().par_iter().try_for_each(sync)?)
}

/// Puts the folder in its place, with what is there and not of a report in it. The folder that was there.
fn put(
    report: &ReportFolder,
    folder: &mut TemporaryFolder,
    files: &Files,
    durability: Durability,
) -> Result<Option<Replaced>, Problem> {
    if report.standing()?.is_none() {
        sync_folders(folder.path(), files, durability)?;
        match folder.put_at_new(&report.place, durability) {
            // Another run was ahead.
            Err(atomic::Problem::Exists) => {}
            put => return Ok(put.map(|()| None)?),
        }
    }
    let old = report.standing()?.ok_or(atomic::Problem::Exists)?;
    let inventory = take_over_all(report, folder, files, &old, durability)?;
    sync_folders(folder.path(), files, durability)?;
    Ok(Some(folder.replace(
        &report.place,
        inventory,
        durability,
    )?))
}

/// Takes over what is to stay of the folder that is replaced, and its attributes.
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
        .enter(&mut inventory);
    files.enter(&mut inventory);
    let mut keeper = Keeper::new(from, to, durability, &mut inventory)?;
    for entry in &foreign {
        make_parent(&to.join(&entry.path)).map_err(Problem::writing)?;
        keeper.keep(&entry.path)?;
    }
    // Else some of that may be of another run's report.
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

/// Sees to it that the disk holds the entries of all folders, if it must.
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
        // Fewer removals than attempts, each of which takes one to fail: whatever the two threads do meanwhile, one succeeds.
        let left = AtomicUsize::new(0);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    if left.load(Ordering::Relaxed) == 0 {
                        std::thread::yield_now();
                        continue;
                    }
                    // Another run, which makes the folder and fails.
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
            // Before anything can fail: the other thread waits for it.
            is_over.store(true, Ordering::Relaxed);
            begun.unwrap();
        });
    }
}
