//! The names beside a place under which a run puts another folder there.
//!
//! `.NAME.inmerge-RANDOM.run` is a file that is locked while its run lives, and says later what the run was about;
//! `.NAME.inmerge-RANDOM.tmp` is a folder that holds nothing but what the run made, or is done with;
//! `.NAME.inmerge-RANDOM.old` is the folder that was replaced, as long as it may hold what is nowhere else.
//!
//! The file is locked rather than a folder, for NFS locks nothing but files that are open for writing.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::files::{self, Identity, is_at, retried};

use super::inventory::Inventory;

/// How the names end.
const RUN: &str = "run";
const DRAFT: &str = "tmp";
const ASIDE: &str = "old";

/// Attempts to make a file that no other run takes for one of a dead run's in the moment before it is locked.
const ATTEMPTS: usize = 100;

/// What a file about a run may have at most: the inventory of some hundred thousand files.
const MAX_BYTES: u64 = 64 << 20;

/// The names of one run, which are nobody else's while this exists.
#[derive(Debug)]
pub(super) struct Claim {
    /// The path of all names without their ends.
    stem: PathBuf,
    file: File,
    /// Whether the file is to stay, for a later run to read.
    is_kept: bool,
}

/// The names of a run that were found.
#[derive(Debug)]
pub(super) enum Found {
    /// The run lives.
    Alive,
    /// It is dead, and its names are this run's.
    Dead(Claim),
    /// It is dead, and was done with the folder that it replaced.
    Done,
    /// The file system has no locks, so that nobody can tell.
    Unknown,
}

impl Claim {
    /// New names for a folder in `parent` that is to be called `name`.
    pub fn new(parent: &Path, name: &OsStr) -> io::Result<Self> {
        let (prefix, suffix) = (prefix(name), format!(".{RUN}"));
        for _ in 0..ATTEMPTS {
            let made = retried(|| {
                let mut builder = tempfile::Builder::new();
                let builder = builder.prefix(&prefix).suffix(&suffix);
                let made = builder.make_in(parent, |path| {
                    File::options()
                        .read(true)
                        .write(true)
                        .create_new(true)
                        .open(path)
                });
                // Without the hidden name that comes with the error.
                made.map_err(|error| io::Error::from(error.kind()))
            })?;
            let (file, path) = made.into_parts();
            if files::is_locked(&file) != Some(true) && is_at(&file, &path) {
                let path = path.keep().map_err(|error| error.error)?;
                return Ok(Self {
                    stem: path.with_extension(""),
                    file,
                    is_kept: false,
                });
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// The names that begin like this.
    pub fn find(stem: &Path) -> io::Result<Found> {
        let path = with_end(stem, RUN);
        let Some(status) = files::entry(&path)? else {
            return Ok(Found::Done);
        };
        if !status.is_file() {
            return Ok(Found::Unknown);
        }
        let file = match retried(|| File::options().read(true).write(true).open(&path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Done),
            opened => opened?,
        };
        Ok(match files::is_locked(&file) {
            Some(true) => Found::Alive,
            Some(false) if is_at(&file, &path) => Found::Dead(Self {
                stem: stem.to_owned(),
                file,
                is_kept: false,
            }),
            // Another run has cleaned up, and may have been given the same name again.
            Some(false) => Found::Alive,
            None => Found::Unknown,
        })
    }

    /// The folder in the making, or the one for what is done with.
    pub fn draft(&self) -> PathBuf {
        draft(&self.stem)
    }

    /// The folder that is replaced.
    pub fn aside(&self) -> PathBuf {
        aside(&self.stem)
    }

    /// Says which folder takes the place, and what it answers for of the one that is there.
    pub fn write(&self, draft: Identity, inventory: &Inventory) -> io::Result<()> {
        self.file.write_all_at(&inventory.to_json(draft), 0)
    }

    /// What [`Claim::write`] said; `None` where it said nothing, or not all.
    pub fn read(&self) -> io::Result<Option<(Identity, Inventory)>> {
        let bytes = files::status(&self.file)?.len();
        if bytes > MAX_BYTES {
            return Ok(None);
        }
        let mut json = vec![0; bytes as usize];
        self.file.read_exact_at(&mut json, 0)?;
        Ok(Inventory::from_json(&json))
    }

    /// Leaves the file to a later run, which may be luckier with what it is about.
    pub fn keep(&mut self) {
        self.is_kept = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let path = with_end(&self.stem, RUN);
        if !self.is_kept && is_at(&self.file, &path) {
            let _ = files::remove_file(&path);
        }
    }
}

/// The path of the folder in the making.
pub(super) fn draft(stem: &Path) -> PathBuf {
    with_end(stem, DRAFT)
}

/// The path of the folder that is replaced.
pub(super) fn aside(stem: &Path) -> PathBuf {
    with_end(stem, ASIDE)
}

fn with_end(stem: &Path, end: &str) -> PathBuf {
    let mut path = stem.as_os_str().to_owned();
    path.push(".");
    path.push(end);
    path.into()
}

/// What an entry's name begins with, if it is one of those of a run on its way to `name`.
pub(super) fn stem_of<'n>(found: &'n OsStr, name: &OsStr) -> Option<&'n OsStr> {
    let path = Path::new(found);
    let (stem, end) = (path.file_stem()?, path.extension()?);
    let random = stem.as_encoded_bytes();
    let random = random.strip_prefix(prefix(name).as_encoded_bytes())?;
    let is_random = !random.is_empty() && random.iter().all(u8::is_ascii_alphanumeric);
    (is_random && [RUN, DRAFT, ASIDE].iter().any(|known| end == *known)).then_some(stem)
}

/// `.NAME.inmerge-`
fn prefix(name: &OsStr) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".inmerge-");
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_a_run_s_own_while_it_lives() {
        let desk = tempfile::tempdir().unwrap();
        let mut claim = Claim::new(desk.path(), OsStr::new("a.b")).unwrap();
        let stem = claim.stem.clone();
        assert!(matches!(Claim::find(&stem).unwrap(), Found::Alive));
        let name = claim.draft().file_name().unwrap().to_owned();
        assert_eq!(
            stem_of(&name, OsStr::new("a.b")),
            Some(stem.file_name().unwrap())
        );
        assert_eq!(stem_of(&name, OsStr::new("a")), None);
        claim.keep();
        drop(claim);
        let found = Claim::find(&stem).unwrap();
        assert!(matches!(&found, Found::Dead(claim) if claim.read().unwrap().is_none()));
        drop(found);
        assert!(matches!(Claim::find(&stem).unwrap(), Found::Done));
    }
}
