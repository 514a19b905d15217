//! Where a report is written: a folder that appears whole, or takes the place of the report before it as a whole.
//!
//! Of the report before it nothing stays, and nothing that is not of a report goes: a list among a report's files,
//! `report.files`, tells the two apart. A program whose current folder it is, such as a shell or a web server, stays in the one
//! that was replaced and removed.

mod draft;
mod error;
mod files;
mod foreign;
mod parents;

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use crate::atomic::{self, FolderPlace, Standing};
use crate::checkpoint::Names;
use crate::files::{self as disk, Identity, retried};

use super::{DOCUMENT, LAYERS, PAGE, PAIRS};
pub(crate) use files::Files;
use files::LIST;
use foreign::Foreign;
use parents::Parents;

pub use draft::ReportDraft;
pub use error::{Error, Problem};

/// The files that every report has beside its figures.
const NAMES: [&str; 5] = [LIST, PAGE, DOCUMENT, LAYERS, PAIRS];

/// Attempts at what other runs to the same folder can get in the way of.
const ATTEMPTS: usize = 100;

/// A place where a report may be written, checked before anything is computed.
#[derive(Debug)]
pub struct ReportFolder {
    /// As the user has it.
    path: PathBuf,
    place: FolderPlace,
}

impl ReportFolder {
    /// Checks that a report may be written at `path`, where a report, an empty folder or nothing must be; with `force` also a
    /// folder with other files, which stay, but none by the name of one that every report has. Folders around it that are missing come with the report.
    ///
    /// # Errors
    ///
    /// Where something stands in the way: other files without `force`, a file, a link or a device; where the folder cannot be
    /// replaced as a whole: it has no name of its own (`.`, `/`), a disk is mounted there, it may not be written to, or this
    /// process works in it.
    pub fn check(path: &Path, force: bool) -> Result<Self, Error> {
        Self::try_check(path, force).map_err(|problem| problem.of(path))
    }

    fn try_check(path: &Path, force: bool) -> Result<Self, Problem> {
        let folder = Self {
            path: path.to_owned(),
            place: FolderPlace::recovered(path)?,
        };
        Parents::check(folder.place.parent())?;
        if folder.standing()?.is_some() {
            folder.refuse_around_here()?;
            let (foreign, _) = folder.foreign()?;
            let names = |is: &dyn Fn(&Foreign) -> bool| -> Vec<String> {
                foreign
                    .iter()
                    .filter(|f| is(f))
                    .map(Foreign::name)
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

    /// Where the report goes, as the user has it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a report, and removes what killed runs have left of others like it.
    ///
    /// # Errors
    ///
    /// Where the folder around it cannot be made or written to.
    pub fn begin(&self) -> Result<ReportDraft<'_>, Error> {
        ReportDraft::begin(self).map_err(|problem| problem.of(&self.path))
    }

    /// The folder that stands there now, which can be replaced.
    fn standing(&self) -> Result<Option<Metadata>, Problem> {
        match self.place.standing()? {
            Standing::Nothing => Ok(None),
            Standing::File => Err(Problem::File),
            Standing::Special => Err(Problem::Special),
            Standing::Folder(status) => {
                self.place.refuse_mount(&status)?;
                Ok(Some(status))
            }
        }
    }

    /// Refuses a folder from under whose users it would be drawn away, as far as they are known.
    fn refuse_around_here(&self) -> Result<(), Problem> {
        let folder = disk::canonical(self.place.path()).map_err(Problem::writing)?;
        match disk::canonical(Path::new(".")) {
            Ok(here) if here.starts_with(&folder) => Err(Problem::AroundHere),
            _ => Ok(()),
        }
    }

    /// What in the folder that stands there is not of a report, and which folder that is.
    fn foreign(&self) -> Result<(Vec<Foreign>, Identity), Problem> {
        for _ in 0..ATTEMPTS {
            let folder = self.identity()?;
            let found = foreign::find(self.place.path());
            // Else another run has put its report there meanwhile, of which the list of the one before knows nothing.
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

    /// Tells the folder that stands there from another.
    fn identity(&self) -> Result<Identity, Problem> {
        let status = retried(|| fs::symlink_metadata(self.place.path()));
        Ok(Identity::of(&status.map_err(Problem::writing)?))
    }
}
