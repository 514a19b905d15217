//! Polling a folder for checkpoints that no longer change.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use crate::atomic::missing_target;
use crate::files;

use super::{Error, Status, is_checkpoint, natural};

/// Polls in a row that must find an incomplete checkpoint unchanged before a warning: at the default of one poll every two
/// seconds, a minute without a write.
pub const POLLS_BEFORE_WARNING: u32 = 30;

/// Polls between two attempts at a file that failed for a reason that may pass.
const POLLS_BETWEEN_ATTEMPTS: u32 = 30;

/// A folder, and the states of its files at the last poll.
#[derive(Debug)]
pub struct FolderPoller {
    folder: PathBuf,
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

/// A file that has not changed since the last poll.
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
    /// The files that have not changed since the last poll, except those that are ignored or deferred, in natural order of
    /// their names.
    pub unchanged: Vec<Unchanged>,
    /// The paths that could not be reached, each with its error, in the same order.
    pub unreachable: Vec<(PathBuf, Error)>,
    /// An error for each dangling link.
    pub dangling: Vec<Error>,
}

impl Unchanged {
    /// Whether the path still leads to this file in this state.
    ///
    /// # Errors
    ///
    /// If the path cannot be reached.
    pub fn is_current(&self) -> Result<bool, Error> {
        let status = status(&self.path)?;
        Ok(status.is_some_and(|status| Status::of(&status) == self.status))
    }
}

/// The metadata of a path, following links; `None` if nothing is there.
fn status(path: &Path) -> Result<Option<Metadata>, Error> {
    files::target(path).map_err(|error| Error::Unreachable {
        file: path.to_owned(),
        error,
    })
}

impl FolderPoller {
    /// A poller of a folder, before the first poll.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            last: HashMap::new(),
        }
    }

    /// Polls the checkpoints directly in the folder, including links to files.
    ///
    /// # Errors
    ///
    /// If the folder cannot be listed.
    pub fn poll(&mut self) -> io::Result<PollResult> {
        let mut names = files::names(&self.folder)?;
        names.retain(|name| is_checkpoint(name));
        names.sort_by(|a, b| natural(a, b));
        let mut last = HashMap::new();
        let mut found = PollResult::default();
        for name in names {
            let path = self.folder.join(&name);
            // A file that cannot be reached now counts as new once it can be.
            let status = match status(&path) {
                Ok(Some(status)) if status.is_file() => status,
                Ok(Some(_)) => continue,
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
            let now = self.compare(&name, Status::of(&status));
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
            let poller = FolderPoller::new(folder.path());
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
    fn only_files_and_links_to_them_count() {
        let mut watched = Watched::new();
        let path = |name: &str| watched.folder.path().join(name);
        fs::create_dir(path("folder.safetensors")).unwrap();
        symlink("weights.bin", path("link.safetensors")).unwrap();
        watched.write("weights.bin", b"abc");
        assert!(watched.names().is_empty());
        assert_eq!(watched.names(), ["link.safetensors"]);
        fs::remove_file(watched.folder.path().join("link.safetensors")).unwrap();
        assert!(watched.names().is_empty());
    }

    #[test]
    fn what_is_not_there_is_told_from_what_cannot_be_reached() {
        let mut watched = Watched::new();
        let path = |name: &str| watched.folder.path().join(name);
        symlink("nowhere", path("dangling.safetensors")).unwrap();
        symlink("a2.safetensors", path("a2.safetensors")).unwrap();
        symlink("file/x", path("a10.safetensors")).unwrap();
        watched.write("file", b"abc");
        let found = watched.poller.poll().unwrap();
        let names: Vec<&Path> = found.unreachable.iter().map(|(path, _)| &**path).collect();
        assert_eq!(names, [path("a2.safetensors"), path("a10.safetensors")]);
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
