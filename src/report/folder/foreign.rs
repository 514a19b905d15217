//! Finding the entries of a folder that do not belong to the report in it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::files::{entry, names, retried};

use super::files::Files;

/// An entry that does not belong to the report in its folder. A folder stands for everything in it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ForeignEntry {
    /// Its path in the report's folder.
    pub path: PathBuf,
    is_folder: bool,
}

impl ForeignEntry {
    /// Its path as messages show it, with a slash if it is a folder.
    pub fn name(&self) -> String {
        let slash = if self.is_folder { "/" } else { "" };
        format!("{}{slash}", self.path.display())
    }
}

/// All foreign entries of a folder, sorted, including links and folders with the name of one of the report's files.
///
/// # Errors
///
/// If one of the report's folders cannot be read or written to; [`io::ErrorKind::CrossesDevices`] if another disk is mounted in
/// one.
pub(super) fn find(folder: &Path) -> io::Result<Vec<ForeignEntry>> {
    let mut scan = FolderScan {
        folder,
        device: retried(|| fs::symlink_metadata(folder))?.dev(),
        own: Files::read(folder)?,
        found: Vec::new(),
    };
    scan.scan(Path::new(""))?;
    scan.found.sort();
    Ok(scan.found)
}

struct FolderScan<'a> {
    folder: &'a Path,
    device: u64,
    own: Files,
    found: Vec<ForeignEntry>,
}

impl FolderScan<'_> {
    fn scan(&mut self, inner: &Path) -> io::Result<()> {
        let folder = self.folder.join(inner);
        if retried(|| fs::symlink_metadata(&folder))?.dev() != self.device {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        retried(|| Ok(access(&folder, Access::WRITE_OK | Access::EXEC_OK)?))?;
        for name in names(&folder)? {
            let path = inner.join(&name);
            // It may be gone again, as another program's temporary file.
            let Some(kind) = entry(&folder.join(&name))? else {
                continue;
            };
            if kind.is_dir() && self.own.folders().contains(&path) {
                self.scan(&path)?;
            } else if !kind.is_file() || !self.own.files().contains(&path) {
                self.found.push(ForeignEntry {
                    path,
                    is_folder: kind.is_dir(),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::report::folder::files::LIST;

    #[test]
    fn only_the_reports_own_files_are_not_foreign() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert_eq!(find(folder.path()).unwrap(), []);

        let mut own = Files::new();
        for name in ["index.html", "link.html", "figures/1.svg", "tables/deep/1"] {
            own.insert(name);
        }
        fs::create_dir_all(path("figures/mine/1.svg")).unwrap();
        fs::create_dir_all(path("tables/deep/1")).unwrap();
        fs::create_dir_all(path("1.svg")).unwrap();
        fs::write(path(LIST), own.list()).unwrap();
        fs::write(path("index.html"), "edited").unwrap();
        fs::write(path("figures/1.svg"), "").unwrap();
        fs::write(path("figures/index.html"), "").unwrap();
        symlink("index.html", path("link.html")).unwrap();
        let names: Vec<String> = find(folder.path())
            .unwrap()
            .iter()
            .map(ForeignEntry::name)
            .collect();
        let foreign = [
            "1.svg/",
            "figures/index.html",
            "figures/mine/",
            "link.html",
            "tables/deep/1/",
        ];
        assert_eq!(names, foreign);
    }
}
