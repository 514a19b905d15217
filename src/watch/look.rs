//! Looking at a folder again and again: which of its checkpoints have stayed as they are.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use crate::atomic::missing_target;
use crate::files;

use super::{Error, Status, is_checkpoint, natural};

/// Looks in a row at which a file that is no checkpoint was the same, before that is worth a warning: with one look in two
/// seconds, a minute in which a trainer wrote nothing to it.
pub const LOOKS_BEFORE_A_WARNING: u32 = 30;

/// Looks between two attempts at what failed for another reason than the file itself.
const LOOKS_BETWEEN_ATTEMPTS: u32 = 30;

/// A folder, and what was seen there.
#[derive(Debug)]
pub struct Looks {
    folder: PathBuf,
    seen: HashMap<OsString, LastLook>,
}

#[derive(Clone, Copy, Debug)]
struct LastLook {
    status: Status,
    /// Looks in a row at which it was as at the one before.
    unchanged: u32,
    /// How many of these it takes until it is of interest; `None` where it must change for that.
    wanted: Option<u32>,
}

/// A file that is as it was at the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unchanged {
    pub name: OsString,
    pub path: PathBuf,
    pub status: Status,
    /// Looks in a row at which it was as at the one before; at least 1.
    pub looks: u32,
}

/// What a look finds.
#[derive(Debug, Default)]
pub struct Found {
    /// The files that have not changed since the last look, in natural order of their names, without those that are settled or
    /// put off.
    pub unchanged: Vec<Unchanged>,
    /// What could not be looked at, each with its path and why, in the same order.
    pub unreachable: Vec<(PathBuf, Error)>,
    /// Links to what is not there.
    pub dangling: Vec<Error>,
}

impl Unchanged {
    /// Whether the path still leads to this file in this state.
    ///
    /// # Errors
    ///
    /// Where that cannot be known.
    pub fn is_still_so(&self) -> Result<bool, Error> {
        let status = status(&self.path)?;
        Ok(status.is_some_and(|status| Status::of(&status) == self.status))
    }
}

/// What the system says of what a path leads to; `None` where nothing is there.
fn status(path: &Path) -> Result<Option<Metadata>, Error> {
    files::target(path).map_err(|error| Error::Unreachable {
        file: path.to_owned(),
        error,
    })
}

impl Looks {
    /// At a folder at which nobody has looked yet.
    pub fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            seen: HashMap::new(),
        }
    }

    /// Looks at the checkpoints directly in the folder, links to files included.
    ///
    /// # Errors
    ///
    /// Where the folder cannot be listed.
    pub fn look(&mut self) -> io::Result<Found> {
        let mut names = files::names(&self.folder)?;
        names.retain(|name| is_checkpoint(name));
        names.sort_by(|a, b| natural(a, b));
        let mut seen = HashMap::new();
        let mut found = Found::default();
        for name in names {
            let path = self.folder.join(&name);
            // A file that cannot be reached now counts as new once it can.
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
            if now.unchanged > 0 && now.wanted.is_some_and(|wanted| now.unchanged >= wanted) {
                found.unchanged.push(Unchanged {
                    name: name.clone(),
                    path,
                    status: now.status,
                    looks: now.unchanged,
                });
            }
            seen.insert(name, now);
        }
        self.seen = seen;
        Ok(found)
    }

    fn compare(&self, name: &OsStr, status: Status) -> LastLook {
        match self.seen.get(name) {
            Some(&last) if last.status == status => LastLook {
                unchanged: last.unchanged.saturating_add(1),
                ..last
            },
            _ => LastLook {
                status,
                unchanged: 0,
                wanted: Some(1),
            },
        }
    }

    /// Leaves a file alone until it changes.
    pub fn settle(&mut self, file: &Unchanged) {
        self.wait(file, None);
    }

    /// Leaves a file alone for some looks, or until it changes.
    pub fn put_off(&mut self, file: &Unchanged) {
        self.wait(
            file,
            Some(file.looks.saturating_add(LOOKS_BETWEEN_ATTEMPTS)),
        );
    }

    fn wait(&mut self, file: &Unchanged, wanted: Option<u32>) {
        if let Some(seen) = self.seen.get_mut(&file.name) {
            seen.wanted = wanted;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;
    use std::time::{Duration, SystemTime};

    use super::*;

    /// A folder, and the names that its looks find unchanged.
    struct Watched {
        folder: tempfile::TempDir,
        looks: Looks,
    }

    impl Watched {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let looks = Looks::at(folder.path());
            Self { folder, looks }
        }

        fn write(&self, name: &str, bytes: &[u8]) {
            fs::write(self.folder.path().join(name), bytes).unwrap();
        }

        fn look(&mut self) -> Vec<Unchanged> {
            self.looks.look().unwrap().unchanged
        }

        fn names(&mut self) -> Vec<String> {
            let found = self.look();
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
        let found = watched.looks.look().unwrap();
        let names: Vec<&Path> = found.unreachable.iter().map(|(path, _)| &**path).collect();
        assert_eq!(names, [path("a2.safetensors"), path("a10.safetensors")]);
        let [Error::Dangling { link, target }] = &found.dangling[..] else {
            panic!("{:?}", found.dangling);
        };
        assert_eq!(link, &path("dangling.safetensors"));
        assert_eq!(target, &path("nowhere"));
        watched.write("b.safetensors", b"abc");
        watched.look();
        let file = &watched.look()[0];
        fs::remove_file(&file.path).unwrap();
        assert!(!file.is_still_so().unwrap());
        symlink("b.safetensors", &file.path).unwrap();
        assert!(matches!(file.is_still_so(), Err(Error::Unreachable { .. })));
    }

    #[test]
    fn what_is_settled_comes_back_when_it_changes_and_what_is_put_off_in_time() {
        let mut watched = Watched::new();
        watched.write("a.safetensors", b"abc");
        watched.write("b.safetensors", b"abc");
        watched.look();
        let found = watched.look();
        assert!(
            found
                .iter()
                .all(|file| file.looks == 1 && file.is_still_so().unwrap())
        );
        watched.looks.settle(&found[0]);
        watched.looks.put_off(&found[1]);
        for _ in 1..LOOKS_BETWEEN_ATTEMPTS {
            assert!(watched.names().is_empty());
        }
        assert_eq!(watched.names(), ["b.safetensors"]);
        watched.write("a.safetensors", b"abcd");
        assert!(!found[0].is_still_so().unwrap());
        assert_eq!(watched.names(), ["b.safetensors"]);
        assert_eq!(watched.names(), ["a.safetensors", "b.safetensors"]);
    }
}
