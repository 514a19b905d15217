//! Writing a report to a folder, which appears or replaces an earlier report as a whole.
//!
//! All files of the earlier report are removed, and all others are kept; its list, `report.files`, tells them apart. A program
//! whose current folder it is, such as a shell or a web server, stays in the folder that was replaced and removed.

mod draft;
mod error;
mod files;
mod foreign;
mod parents;

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use crate::atomic::{self, Existing, FolderDestination};
use crate::checkpoint::Names;
use crate::files::{self as disk, Identity, retried};

use super::{DOCUMENT, LAYERS, PAGE, PAIRS};
pub(crate) use files::Files;
use files::LIST;
use foreign::ForeignEntry;
use parents::Parents;

pub use draft::ReportDraft;
pub use error::{Error, Problem};

/// The files that every report has, besides its figures.
const NAMES: [&str; 5] = [LIST, PAGE, DOCUMENT, LAYERS, PAIRS];

/// Attempts at steps that other runs to the same folder can disturb.
const ATTEMPTS: usize = 100;

/// A folder to which a report may be written, checked before anything is computed.
#[derive(Debug)]
pub struct ReportFolder {
    /// The path as the user gave it.
    path: PathBuf,
    place: FolderDestination,
}

impl ReportFolder {
    /// Checks that a report may be written at `path`, which must be a report, an empty folder or free. With `force` it may
    /// also be a folder with other files, which are kept, but none may have the name of a file that every report has.
    /// Missing folders around it are created with the report.
    ///
    /// # Errors
    ///
    /// If `path` is a file, a link, a device, or a folder with other files without `force`; or if it is a folder that cannot be
    /// replaced as a whole: it has no name of its own (`.`, `/`), a disk is mounted there, it may not be written to, or it
    /// contains the current folder.
    pub fn check(path: &Path, force: bool) -> Result<Self, Error> {
        Self::try_check(path, force).map_err(|problem| problem.of(path))
    }

    fn try_check(path: &Path, force: bool) -> Result<Self, Problem> {
        let folder = Self {
            path: path.to_owned(),
            place: FolderDestination::recovered(path)?,
        };
        Parents::check(folder.place.parent())?;
        if folder.existing()?.is_some() {
            folder.refuse_around_here()?;
            let (foreign, _) = folder.foreign()?;
            let names = |is: &dyn Fn(&ForeignEntry) -> bool| -> Vec<String> {
                foreign
                    .iter()
                    .filter(|f| is(f))
                    .map(ForeignEntry::name)
                    .collect()
            };
            let all = names(&|_| true);
            if !force && !all.is_empty() {
                return Err(Problem::Foreign {
                    names: Names::from(all),
                });
            }
            let namesakes =
                names(&|foreign| NAMES.iter().any(|name| foreign.path == Path::new(name)));
            if !namesakes.is_empty() {
                return Err(Problem::Namesakes {
                    names: Names::from(namesakes),
                });
            }
        }
        Ok(folder)
    }

    /// The path of the report, as the user gave it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a draft, and removes the leftovers of killed runs.
    ///
    /// # Errors
    ///
    /// If the parent folder cannot be created or written to.
    pub fn begin(&self) -> Result<ReportDraft<'_>, Error> {
        ReportDraft::begin(self).map_err(|problem| problem.of(&self.path))
    }

    /// The metadata of the existing folder, if there is one; it can be replaced.
    fn existing(&self) -> Result<Option<Metadata>, Problem> {
        match self.place.existing()? {
            Existing::Nothing => Ok(None),
            Existing::File => Err(Problem::File),
            Existing::Special => Err(Problem::Special),
            Existing::Folder(status) => {
                self.place.refuse_mount(&status)?;
                Ok(Some(status))
            }
        }
    }

    /// Refuses a folder that contains the current one, which this process would lose.
    fn refuse_around_here(&self) -> Result<(), Problem> {
        let folder = disk::canonical(self.place.path()).map_err(Problem::writing)?;
        match disk::canonical(Path::new(".")) {
            Ok(here) if here.starts_with(&folder) => Err(Problem::AroundHere),
            _ => Ok(()),
        }
    }

    /// The foreign entries of the existing folder, and the identity of that folder.
    fn foreign(&self) -> Result<(Vec<ForeignEntry>, Identity), Problem> {
        for _ in 0..ATTEMPTS {
            let folder = self.identity()?;
            let found = foreign::find(self.place.path());
            // Otherwise another run has put its report there meanwhile, and the list belongs to the one before.
            if self.identity()? == folder {
                let found = found.map_err(|error| match error.kind() {
                    io::ErrorKind::CrossesDevices => atomic::Problem::Mount.into(),
                    _ => Problem::writing(error),
                });
                return Ok((found?, folder));
            }
        }
        Err(Problem::Busy)
    }

    /// The identity of the existing folder.
    fn identity(&self) -> Result<Identity, Problem> {
        let status = retried(|| fs::symlink_metadata(self.place.path()));
        Ok(Identity::of(&status.map_err(Problem::writing)?))
    }
}
