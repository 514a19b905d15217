//! The temporary names that a run uses beside the place of its output.
//!
//! `.NAME.inmerge-RANDOM.run` is a file that is locked while its run is alive, and tells later what the run was doing;
//! `.NAME.inmerge-RANDOM.tmp` is a folder that holds only what the run made, or no longer needs;
//! `.NAME.inmerge-RANDOM.old` is the folder that was replaced, as long as it may hold the only copy of something.
//!
//! A file is locked rather than a folder, because NFS locks only files that are open for writing.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::files::{self, Identity, is_at, retried};

use super::inventory::Inventory;

/// The endings of the names.
const RUN: &str = "run";
const DRAFT: &str = "tmp";
const ASIDE: &str = "old";

/// Attempts to make a file that no other run takes for a dead run's in the moment before it is locked.
const ATTEMPTS: usize = 100;

/// The maximum size of a run's file: the inventory of some hundred thousand files.
const MAX_BYTES: u64 = 64 << 20;

/// The names of one run, which no other run uses while this exists.
#[derive(Debug)]
pub(super) struct Claim {
    /// The common path of all names, without their endings.
    stem: PathBuf,
    file: File,
    /// Whether the file is to stay, for a later run to read.
    is_kept: bool,
}

/// The state of a run whose names were found.
#[derive(Debug)]
pub(super) enum Found {
    /// The run is alive.
    Alive,
    /// It is dead, and this run has taken its names over.
    Dead(Claim),
    /// It is dead, and had finished with the folder that it replaced.
    Done,
    /// Unknown, because the file system has no locks.
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
                // Without the temporary name that the error contains.
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

    /// The state of the run whose names begin like this.
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
            // Another run has cleaned up, and the name may be in use again.
            Some(false) => Found::Alive,
            None => Found::Unknown,
        })
    }

    /// The folder in the making, or the one for what is to be removed.
    pub fn draft(&self) -> PathBuf {
        draft(&self.stem)
    }

    /// The folder that is replaced.
    pub fn aside(&self) -> PathBuf {
        aside(&self.stem)
    }

    /// Records which folder is put in place, and the inventory of the one that it replaces.
    pub fn write(&self, draft: Identity, inventory: &Inventory) -> io::Result<()> {
        self.file.write_all_at(&inventory.to_json(draft), 0)
    }

    /// What [`Claim::write`] recorded; `None` if it recorded nothing, or was interrupted.
    pub fn read(&self) -> io::Result<Option<(Identity, Inventory)>> {
        let bytes = files::status(&self.file)?.len();
        if bytes > MAX_BYTES {
            return Ok(None);
        }
        let mut json = vec![0; bytes as usize];
        self.file.read_exact_at(&mut json, 0)?;
        Ok(Inventory::from_json(&json))
    }

    /// Leaves the file for a later run to try again.
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

/// The stem of an entry's name, if it is a temporary name of a run whose output is `name`.
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
