//! The temporary names that a run uses beside its output.
//!
//! `.NAME.inmerge-RANDOM.run` is a file that is locked while its run is alive, and records what the run was doing;
//! `.NAME.inmerge-RANDOM.tmp` is a folder that holds only files that the run made or no longer needs;
//! `.NAME.inmerge-RANDOM.old` is the folder that was replaced, as long as it may hold the only copy of a file.
//!
//! A file is locked rather than a folder, because NFS locks only files that are open for writing.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::files::{self, Identity, is_at, retried};

use super::inventory::Inventory;

/// The extensions of the names.
const RUN: &str = "run";
const DRAFT: &str = "tmp";
const ASIDE: &str = "old";

/// Attempts to create and lock a file before another run takes it for that of a dead run.
const ATTEMPTS: usize = 100;

/// The maximum size of a run's file, enough for an inventory of some hundred thousand files.
const MAX_BYTES: u64 = 64 << 20;

/// The names of one run, which no other run uses while this exists.
#[derive(Debug)]
pub(super) struct Claim {
    /// The common path of all names, without their extensions.
    stem: PathBuf,
    file: File,
    /// Whether to leave the file for a later run.
    is_kept: bool,
}

/// The state of another run, according to its file.
#[derive(Debug)]
pub(super) enum RunState {
    /// The run is alive.
    Alive,
    /// It is dead, and this run has taken its names over.
    Dead(Claim),
    /// It is dead, and had finished replacing the folder.
    Done,
    /// Unknown: the file system has no locks, or its file is not a regular one.
    Unknown,
}

impl Claim {
    /// Claims names for an output folder called `name` in `parent`.
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
                // Drops the temporary name that the error contains.
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

    /// The state of the run whose names have this stem.
    pub fn find(stem: &Path) -> io::Result<RunState> {
        let path = with_end(stem, RUN);
        let Some(status) = files::entry(&path)? else {
            return Ok(RunState::Done);
        };
        if !status.is_file() {
            return Ok(RunState::Unknown);
        }
        let file = match retried(|| File::options().read(true).write(true).open(&path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(RunState::Done),
            opened => opened?,
        };
        Ok(match files::is_locked(&file) {
            Some(true) => RunState::Alive,
            Some(false) if is_at(&file, &path) => RunState::Dead(Self {
                stem: stem.to_owned(),
                file,
                is_kept: false,
            }),
            // Another run has cleaned up, and the name may be in use again.
            Some(false) => RunState::Alive,
            None => RunState::Unknown,
        })
    }

    /// The folder that becomes the output; later the trash for entries that are about to be removed.
    pub fn draft(&self) -> PathBuf {
        draft(&self.stem)
    }

    /// The path to which the folder that is replaced is moved.
    pub fn aside(&self) -> PathBuf {
        aside(&self.stem)
    }

    /// Records which folder is put in place, and the inventory of the one that it replaces.
    pub fn write(&self, draft: Identity, inventory: &Inventory) -> io::Result<()> {
        self.file.write_all_at(&inventory.to_json(draft), 0)
    }

    /// Reads what [`Claim::write`] recorded; `None` if it recorded nothing, or was interrupted.
    pub fn read(&self) -> io::Result<Option<(Identity, Inventory)>> {
        let bytes = files::status(&self.file)?.len();
        if bytes > MAX_BYTES {
            return Ok(None);
        }
        let mut json = vec![0; bytes as usize];
        self.file.read_exact_at(&mut json, 0)?;
        Ok(Inventory::from_json(&json))
    }

    /// Leaves the file, so that a later run tries again.
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

/// The path of [`Claim::draft`].
pub(super) fn draft(stem: &Path) -> PathBuf {
    with_end(stem, DRAFT)
}

/// The path of [`Claim::aside`].
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

/// The name of the output to which one of a run's names belongs, if it is one.
pub(super) fn output_of(found: &OsStr) -> Option<&OsStr> {
    let bytes = found.as_bytes().strip_prefix(b".")?;
    let marker = b".inmerge-";
    let at = bytes
        .windows(marker.len())
        .rposition(|part| part == marker)?;
    let name = OsStr::from_bytes(&bytes[..at]);
    stem_of(found, name).map(|_| name)
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
        assert!(matches!(Claim::find(&stem).unwrap(), RunState::Alive));
        let name = claim.draft().file_name().unwrap().to_owned();
        assert_eq!(
            stem_of(&name, OsStr::new("a.b")),
            Some(stem.file_name().unwrap())
        );
        assert_eq!(stem_of(&name, OsStr::new("a")), None);
        claim.keep();
        drop(claim);
        let state = Claim::find(&stem).unwrap();
        assert!(matches!(&state, RunState::Dead(claim) if claim.read().unwrap().is_none()));
        drop(state);
        assert!(matches!(Claim::find(&stem).unwrap(), RunState::Done));
    }
}
