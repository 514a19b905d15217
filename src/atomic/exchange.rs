//! Putting a folder in place in one step.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::files::{self, is_at, retried};

use super::Problem;

/// Moves a folder to a free path; fails with `AlreadyExists` if the path is taken.
pub(super) fn put_at_new(new: &Path, place: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let put = retried(|| Ok(renameat_with(CWD, new, CWD, place, RenameFlags::NOREPLACE)?));
    match put {
        Err(error) if cannot(&error) => {
            if files::entry(place)?.is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            // If something appears at this moment, the system replaces an empty folder and refuses anything else.
            files::rename(new, place)
        }
        put => put,
    }
}

/// Replaces a folder by another, which is open as `draft`; the old one is then at `aside`. This is one step if the file
/// system can exchange two names.
///
/// Other file systems, such as NFS, need two steps. Between them nothing is at the place, and if the process is killed
/// there, the old folder stays at `aside`.
pub(super) fn replace(draft: &File, new: &Path, place: &Path, aside: &Path) -> Result<(), Problem> {
    // The old folder must never have the name of a draft, even for a moment, because any run may remove a draft.
    files::rename(new, aside).map_err(Problem::writing)?;
    let exchanged = exchange(aside, place);
    // A file server's reply may be lost, so look at what was done.
    if exchanged.is_ok() || is_at(draft, place) {
        return Ok(());
    }
    files::rename(aside, new).map_err(|error| {
        // No later run would look for the draft there.
        if is_at(draft, aside) {
            let _ = files::remove_folder_and_all(aside);
        }
        Problem::writing(error)
    })?;
    match exchanged {
        Err(error) if cannot(&error) => replace_in_two_steps(new, place, aside),
        exchanged => exchanged.map_err(Problem::writing),
    }
}

fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    retried(|| Ok(renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?))
}

fn replace_in_two_steps(new: &Path, place: &Path, aside: &Path) -> Result<(), Problem> {
    files::rename(place, aside).map_err(Problem::writing)?;
    files::rename(new, place).map_err(|error| put_back(aside, place, error))
}

/// Puts the old folder back after the new one could not be put in place; returns the problem to report.
fn put_back(aside: &Path, place: &Path, error: io::Error) -> Problem {
    // Must not replace what another program has put there meanwhile.
    match put_at_new(aside, place) {
        Ok(()) => Problem::writing(error),
        Err(_) => Problem::Stranded {
            aside: aside.to_owned(),
            error,
        },
    }
}

/// Whether the file system or the kernel does not support flags for a rename (renameat2(2)).
fn cannot(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let answers = [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOTSUP];
    files::is_one_of(error, &answers)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    /// Two folders that hold their names.
    fn folders() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let [new, place] = ["new", "place"].map(|name| {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("file"), name).unwrap();
            path
        });
        (folder, new, place)
    }

    fn holds(path: &Path, what: &str) -> bool {
        fs::read(path.join("file")).is_ok_and(|found| found == what.as_bytes())
    }

    #[test]
    fn a_new_folder_replaces_nothing() {
        let (folder, new, place) = folders();
        let error = put_at_new(&new, &place).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(holds(&new, "new") && holds(&place, "place"));
        let free = folder.path().join("free");
        put_at_new(&new, &free).unwrap();
        assert!(holds(&free, "new") && !new.exists());
    }

    #[test]
    fn an_old_folder_is_where_it_is_said_to_be() {
        for in_one_step in [true, false] {
            let (folder, new, place) = folders();
            let aside = folder.path().join("aside");
            let replaced = if in_one_step {
                replace(&File::open(&new).unwrap(), &new, &place, &aside)
            } else {
                replace_in_two_steps(&new, &place, &aside)
            };
            replaced.unwrap();
            assert!(holds(&place, "new") && holds(&aside, "place"));
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        }
    }

    #[test]
    fn an_old_folder_is_put_back_where_the_new_one_cannot_come() {
        let (folder, new, place) = folders();
        fs::remove_dir_all(&new).unwrap();
        replace_in_two_steps(&new, &place, &folder.path().join("aside")).unwrap_err();
        assert!(holds(&place, "place"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn where_nothing_can_stand_in_the_place_it_is_said_where_the_old_folder_is() {
        let (folder, _, place) = folders();
        // A file where a folder was: neither the new nor the old one can come there again.
        let aside = folder.path().join("aside");
        fs::rename(&place, &aside).unwrap();
        fs::write(&place, "").unwrap();
        let stranded = put_back(&aside, &place, io::ErrorKind::Other.into());
        assert!(matches!(&stranded, Problem::Stranded { aside: at, .. } if *at == aside));
        assert!(stranded.to_string().contains("aside") && holds(&aside, "place"));
    }
}
