//! Polling a folder for checkpoints that no longer change.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::FileType;
use std::io;
use std::path::{Path, PathBuf};

use crate::atomic::missing_target;
use crate::checkpoint::{FOREIGN_ENDINGS, has_ending};
use crate::files;

use super::{Error, Status, is_checkpoint, is_unfinished, natural};

/// Polls in a row that must find an incomplete checkpoint unchanged before a warning: at the default of one poll every two
/// seconds, a minute without a write.
pub const POLLS_BEFORE_WARNING: u32 = 30;

/// Polls between two attempts at a file that failed for a reason that may pass.
const POLLS_BETWEEN_ATTEMPTS: u32 = 30;

/// A folder, and the states of its files at the last poll.
#[derive(Debug)]
pub struct FolderPoller {
    folder: PathBuf,
    /// The folder for the outputs, which may be in it.
    out: PathBuf,
    last: HashMap<OsString, LastPoll>,
}

#[derive(Clone, Copy, Debug)]
struct LastPoll {
    status: Status,
    /// Polls in a row that found it as the poll before did.
    unchanged: u32,
    /// The number of these from which it is reported; `None` to report it only after it has changed.
    reported_from: Option<u32>,
}

/// A file or folder that has not changed since the last poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unchanged {
    pub name: OsString,
    pub path: PathBuf,
    pub status: Status,
    /// Polls in a row that found it as the poll before did; at least 1.
    pub polls: u32,
}

/// The result of a poll.
#[derive(Debug, Default)]
pub struct PollResult {
    /// The checkpoints, and folders that may be some, that have not changed since the last poll, except those that are ignored
    /// or deferred, in natural order of their names.
    pub unchanged: Vec<Unchanged>,
    /// The paths that could not be reached, each with its error, in the same order.
    pub unreachable: Vec<(PathBuf, Error)>,
    /// An error for each dangling link.
    pub dangling: Vec<Error>,
    /// Links to other checkpoints of the folder.
    pub links: Vec<PathBuf>,
    /// Files that have the names of other libraries' weights.
    pub foreign: Vec<PathBuf>,
}

impl Unchanged {
    /// Whether the path still leads to this file in this state.
    ///
    /// # Errors
    ///
    /// If the path cannot be reached.
    pub fn is_current(&self) -> Result<bool, Error> {
        Ok(status(&self.path)? == Some(self.status))
    }
}

/// The status of what a path leads to; `None` if nothing is there.
fn status(path: &Path) -> Result<Option<Status>, Error> {
    Status::at(path).map_err(|error| Error::Unreachable {
        file: path.to_owned(),
        error,
    })
}

/// Whether this may be a link to a folder: one that cannot be followed may be.
fn is_link_to_folder(file_type: FileType, path: &Path) -> bool {
    file_type.is_symlink() && files::is_folder(path).unwrap_or(true)
}

impl FolderPoller {
    /// A poller of a folder, before the first poll, which passes over the folder for the outputs.
    pub fn new(folder: &Path, out: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            out: out.to_owned(),
            last: HashMap::new(),
        }
    }

    /// Polls the checkpoints and folders directly in the folder, including what links in it lead to.
    ///
    /// # Errors
    ///
    /// If the folder cannot be listed.
    pub fn poll(&mut self) -> io::Result<PollResult> {
        let mut entries = files::entries(&self.folder)?;
        entries.retain(|(name, _)| !is_unfinished(name));
        entries.sort_by(|(a, _), (b, _)| natural(a, b));
        let mut last = HashMap::new();
        let mut found = PollResult::default();
        for (name, file_type) in entries {
            let path = self.folder.join(&name);
            if file_type.is_file() && has_ending(&path, &FOREIGN_ENDINGS) {
                found.foreign.push(path);
                continue;
            }
            // Of other names, only folders count: a file is passed over without a look at it.
            let is_taken =
                is_checkpoint(&name) || file_type.is_dir() || is_link_to_folder(file_type, &path);
            if !is_taken {
                continue;
            }
            if file_type.is_symlink() {
                match self.is_link_within(&path) {
                    Ok(false) => {}
                    Ok(true) => {
                        found.links.push(path);
                        continue;
                    }
                    Err(error) => {
                        let file = path.clone();
                        found
                            .unreachable
                            .push((path, Error::Unreachable { file, error }));
                        continue;
                    }
                }
            }
            // A file that cannot be reached now counts as new once it can be.
            let status = match status(&path) {
                Ok(Some(status)) if status.is_folder && files::lead_to_same(&path, &self.out) => {
                    continue;
                }
                Ok(Some(status)) => status,
                Ok(None) => {
                    if let Some(target) = missing_target(&path) {
                        found.dangling.push(Error::Dangling { link: path, target });
                    }
                    continue;
                }
                Err(error) => {
                    found.unreachable.push((path, error));
                    continue;
                }
            };
            let now = self.compare(&name, status);
            if now.unchanged > 0
                && now
                    .reported_from
                    .is_some_and(|polls| now.unchanged >= polls)
            {
                found.unchanged.push(Unchanged {
                    name: name.clone(),
                    path,
                    status: now.status,
                    polls: now.unchanged,
                });
            }
            last.insert(name, now);
        }
        self.last = last;
        Ok(found)
    }

    /// Whether a link leads to another checkpoint or folder directly in the watched one, which is merged under its own name.
    fn is_link_within(&self, link: &Path) -> io::Result<bool> {
        let target = match files::canonical(link) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            target => target?,
        };
        let name = target.file_name().filter(|name| !is_unfinished(name));
        let is_taken = match name {
            Some(name) => is_checkpoint(name) || files::is_folder(&target)?,
            None => false,
        };
        Ok(is_taken && target.parent() == Some(&files::canonical(&self.folder)?))
    }

    fn compare(&self, name: &OsStr, status: Status) -> LastPoll {
        match self.last.get(name) {
            Some(&last) if last.status == status => LastPoll {
                unchanged: last.unchanged.saturating_add(1),
                ..last
            },
            _ => LastPoll {
                status,
                unchanged: 0,
                reported_from: Some(1),
            },
        }
    }

    /// Ignores a file until it changes.
    pub fn ignore(&mut self, file: &Unchanged) {
        self.set_reported_from(file, None);
    }

    /// Defers a file for [`POLLS_BETWEEN_ATTEMPTS`], or until it changes.
    pub fn defer(&mut self, file: &Unchanged) {
        self.set_reported_from(
            file,
            Some(file.polls.saturating_add(POLLS_BETWEEN_ATTEMPTS)),
        );
    }

    fn set_reported_from(&mut self, file: &Unchanged, reported_from: Option<u32>) {
        if let Some(last) = self.last.get_mut(&file.name) {
            last.reported_from = reported_from;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;
    use std::time::{Duration, SystemTime};

    use super::*;

    /// A folder and its poller.
    struct Watched {
        folder: tempfile::TempDir,
        poller: FolderPoller,
    }

    impl Watched {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let poller = FolderPoller::new(folder.path(), &folder.path().join("merged"));
            Self { folder, poller }
        }

        fn write(&self, name: &str, bytes: &[u8]) {
            fs::write(self.folder.path().join(name), bytes).unwrap();
        }

        fn poll(&mut self) -> Vec<Unchanged> {
            self.poller.poll().unwrap().unchanged
        }

        fn names(&mut self) -> Vec<String> {
            let found = self.poll();
            found
                .iter()
                .map(|file| file.name.to_str().unwrap().to_owned())
                .collect()
        }
    }

    #[test]
    fn what_grows_moves_or_is_rewritten_is_waited_for() {
        let mut watched = Watched::new();
        watched.write("a10.safetensors", b"abc");
        watched.write("a9.safetensors", b"abc");
        assert!(watched.names().is_empty());
        watched.write("a9.safetensors", b"abcd");
        assert_eq!(watched.names(), ["a10.safetensors"]);
        assert_eq!(watched.names(), ["a9.safetensors", "a10.safetensors"]);
        // Another file of the same size and time under the same name.
        let path = watched.folder.path().join("a9.safetensors");
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        watched.write("other", b"efgh");
        let other = watched.folder.path().join("other");
        File::options()
            .write(true)
            .open(&other)
            .unwrap()
            .set_modified(modified)
            .unwrap();
        fs::rename(other, &path).unwrap();
        assert_eq!(watched.names(), ["a10.safetensors"]);
        // The same file and size at another time.
        let later = SystemTime::now() + Duration::from_secs(9);
        assert_eq!(watched.names().len(), 2);
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(later)
            .unwrap();
        assert_eq!(watched.names(), ["a10.safetensors"]);
    }

    #[test]
    fn of_other_names_only_folders_count_and_the_outputs_do_not() {
        let mut watched = Watched::new();
        let path = |name: &str| watched.folder.path().join(name);
        fs::create_dir(path("checkpoint-500")).unwrap();
        fs::create_dir(path("merged")).unwrap();
        symlink("weights.bin", path("link.safetensors")).unwrap();
        for name in ["weights.bin", "log.txt", "checkpoint-500/model.safetensors"] {
            watched.write(name, b"abc");
        }
        assert!(watched.names().is_empty());
        assert_eq!(watched.names(), ["checkpoint-500", "link.safetensors"]);
        // A folder is new where any file in it is.
        watched.write("checkpoint-500/optimizer.pt", b"abc");
        assert_eq!(watched.names(), ["link.safetensors"]);
        assert_eq!(watched.names(), ["checkpoint-500", "link.safetensors"]);
        fs::remove_file(watched.folder.path().join("link.safetensors")).unwrap();
        assert_eq!(watched.names(), ["checkpoint-500"]);
    }

    #[test]
    fn links_within_the_folder_and_other_libraries_weights_are_told() {
        let mut watched = Watched::new();
        let path = |name: &str| watched.folder.path().join(name);
        watched.write("epoch=3.ckpt", b"abc");
        watched.write("model.h5", b"abc");
        fs::create_dir(path("checkpoint-500")).unwrap();
        symlink("epoch=3.ckpt", path("last.ckpt")).unwrap();
        symlink(path("checkpoint-500"), path("latest")).unwrap();
        let found = watched.poller.poll().unwrap();
        assert_eq!(found.links, [path("last.ckpt"), path("latest")]);
        assert_eq!(found.foreign, [path("model.h5")]);
        assert_eq!(watched.names(), ["checkpoint-500", "epoch=3.ckpt"]);
    }

    #[test]
    fn what_is_not_there_is_told_from_what_cannot_be_reached() {
        let mut watched = Watched::new();
        let path = |name: &str| watched.folder.path().join(name);
        symlink("nowhere", path("dangling.safetensors")).unwrap();
        symlink("a2.safetensors", path("a2.safetensors")).unwrap();
        symlink("file/x", path("a10.safetensors")).unwrap();
        symlink("latest", path("latest")).unwrap();
        watched.write("file", b"abc");
        let found = watched.poller.poll().unwrap();
        let names: Vec<&Path> = found.unreachable.iter().map(|(path, _)| &**path).collect();
        // One of no checkpoint's name may be a link to a folder.
        let expected = ["a2.safetensors", "a10.safetensors", "latest"];
        assert_eq!(names, expected.map(path));
        let [Error::Dangling { link, target }] = &found.dangling[..] else {
            panic!("{:?}", found.dangling);
        };
        assert_eq!(link, &path("dangling.safetensors"));
        assert_eq!(target, &path("nowhere"));
        watched.write("b.safetensors", b"abc");
        watched.poll();
        let file = &watched.poll()[0];
        fs::remove_file(&file.path).unwrap();
        assert!(!file.is_current().unwrap());
        symlink("b.safetensors", &file.path).unwrap();
        assert!(matches!(file.is_current(), Err(Error::Unreachable { .. })));
    }

    #[test]
    fn an_ignored_file_comes_back_when_it_changes_and_a_deferred_one_in_time() {
        let mut watched = Watched::new();
        watched.write("a.safetensors", b"abc");
        watched.write("b.safetensors", b"abc");
        watched.poll();
        let found = watched.poll();
        assert!(
            found
                .iter()
                .all(|file| file.polls == 1 && file.is_current().unwrap())
        );
        watched.poller.ignore(&found[0]);
        watched.poller.defer(&found[1]);
        for _ in 1..POLLS_BETWEEN_ATTEMPTS {
            assert!(watched.names().is_empty());
        }
        assert_eq!(watched.names(), ["b.safetensors"]);
        watched.write("a.safetensors", b"abcd");
        assert!(!found[0].is_current().unwrap());
        assert_eq!(watched.names(), ["b.safetensors"]);
        assert_eq!(watched.names(), ["a.safetensors", "b.safetensors"]);
    }
}
