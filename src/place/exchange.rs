//! Putting a folder in its place in one step.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Puts a folder at a place where nothing stands; fails with `AlreadyExists` where something does.
pub(super) fn put_at_new(new: &Path, place: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, new, CWD, place, RenameFlags::NOREPLACE) {
        Err(error) if cannot(error) => {
            if fs::symlink_metadata(place).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            // What appears in this moment is replaced if it is an empty folder, and refused by the system otherwise.
            fs::rename(new, place)
        }
        done => Ok(done?),
    }
}

/// Puts a folder in the place of another in one step. Where the other is then.
///
/// File systems that cannot exchange two names, such as NFS, take two steps, by way of `aside`: between
/// them nothing stands at the place, and a process that is killed in this moment leaves the old folder under that name.
pub(super) fn replace(new: &Path, place: &Path, aside: PathBuf) -> io::Result<PathBuf> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, new, CWD, place, RenameFlags::EXCHANGE) {
        Err(error) if cannot(error) => replace_in_two_steps(new, place, aside),
        done => {
            done?;
            Ok(new.to_owned())
        }
    }
}

fn replace_in_two_steps(new: &Path, place: &Path, aside: PathBuf) -> io::Result<PathBuf> {
    fs::rename(place, &aside)?;
    match fs::rename(new, place) {
        Ok(()) => Ok(aside),
        Err(error) => {
            fs::rename(&aside, place)?;
            Err(error)
        }
    }
}

/// What file systems and kernels that know no flags for a rename answer (renameat2(2)).
fn cannot(error: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOTSUP].contains(&error)
}

#[cfg(test)]
mod tests {
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
        type Replace = fn(&Path, &Path, PathBuf) -> io::Result<PathBuf>;
        for replace in [replace as Replace, replace_in_two_steps] {
            let (folder, new, place) = folders();
            let old = replace(&new, &place, folder.path().join("aside")).unwrap();
            assert!(holds(&place, "new") && holds(&old, "place"));
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        }
    }

    #[test]
    fn an_old_folder_is_put_back_where_the_new_one_cannot_come() {
        let (folder, new, place) = folders();
        fs::remove_dir_all(&new).unwrap();
        replace_in_two_steps(&new, &place, folder.path().join("aside")).unwrap_err();
        assert!(holds(&place, "place"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
