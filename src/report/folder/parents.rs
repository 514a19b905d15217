//! Creating the folders that contain a report.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::atomic::{Durability, or_here};
use crate::files::{self, retried};

use super::Problem;

/// Folders that were created to contain a report, removed if this is dropped before the report is published.
#[derive(Debug)]
pub(super) struct Parents {
    /// From the outermost to the innermost.
    made: Vec<PathBuf>,
}

impl Parents {
    /// Refuses a folder that cannot be created because something that is not a folder is on its path.
    pub fn check(folder: &Path) -> Result<(), Problem> {
        for folder in folder.ancestors() {
            let folder = or_here(Some(folder));
            match retried(|| fs::symlink_metadata(folder)) {
                Err(error) if is_below_nothing(&error) => {}
                Err(error) => return Err(Problem::writing(error)),
                Ok(_) if files::is_folder(folder).map_err(Problem::writing)? => return Ok(()),
                Ok(_) => return Err(Problem::NotInFolder(folder.to_owned())),
            }
        }
        Ok(())
    }

    /// Creates a folder and those that contain it, if they are missing.
    pub fn make(folder: &Path) -> io::Result<Self> {
        let mut parents = Self { made: Vec::new() };
        for folder in files::missing_folders(folder)? {
            // It may exist by now because another run created it, or `..` led to it.
            if files::ensure_folder(folder)? {
                parents.made.push(folder.to_owned());
            }
        }
        Ok(parents)
    }

    /// Syncs them if required, except the entries of the innermost.
    pub fn sync(&self, durability: Durability) -> Result<(), Problem> {
        for folder in &self.made {
            durability.sync_at(or_here(folder.parent()))?;
        }
        Ok(())
    }

    pub fn keep(mut self) {
        self.made.clear();
    }
}

impl Drop for Parents {
    fn drop(&mut self) {
        for folder in self.made.iter().rev() {
            // Fails, and must, if others use the folder.
            let _ = files::remove_folder(folder);
        }
    }
}

fn is_below_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_goes_again_unless_it_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b/c");
        drop(Parents::make(&inner).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

        let parents = Parents::make(&inner).unwrap();
        fs::write(folder.path().join("a/file"), "").unwrap();
        drop(parents);
        assert!(folder.path().join("a").is_dir() && !folder.path().join("a/b").exists());

        Parents::make(&inner).unwrap().keep();
        assert!(inner.is_dir());
        drop(Parents::make(&inner).unwrap());
        assert!(inner.is_dir());
    }

    #[test]
    fn a_folder_below_a_file_cannot_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("dangling")).unwrap();
        Parents::check(&folder.path().join("a/b")).unwrap();
        Parents::check(Path::new("no-such-folder/at-all")).unwrap();
        for name in ["file", "file/a/b", "dangling", "dangling/a"] {
            let problem = Parents::check(&folder.path().join(name)).unwrap_err();
            assert!(
                matches!(&problem, Problem::NotInFolder(at) if at.parent() == Some(folder.path())),
                "{name}: {problem}"
            );
        }
    }
}
