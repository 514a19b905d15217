//! Taking everything over from a folder that is to be replaced.
//!
//! Hard links are what makes this safe and free: the old folder goes away, so no file is left with two names. Between an
//! input and an output that both stay they would be a trap: programs that write a file in place, such as safetensors'
//! `save_file`, would change the other with it.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use super::{Durability, Problem, attributes};

/// Takes every entry of `old` over into `new`, subfolders included. Where `new` has a file of that name already, it stays.
///
/// # Errors
///
/// Where an entry cannot be linked nor copied, another disk is mounted in one, or one is a folder and its namesake is not.
pub(crate) fn keep_all(old: &Path, new: &Path, durability: Durability) -> Result<(), Problem> {
    let device = fs::metadata(old).map_err(Problem::Unwritable)?.dev();
    keep_entries(old, new, device, durability)
}

fn keep_entries(
    old: &Path,
    new: &Path,
    device: u64,
    durability: Durability,
) -> Result<(), Problem> {
    for entry in fs::read_dir(old).map_err(Problem::Unwritable)? {
        let name = entry.map_err(Problem::Unwritable)?.file_name();
        keep_entry(&old.join(&name), &new.join(&name), device, durability)?;
    }
    Ok(())
}

/// As [`keep_all`], of one entry; folders must lie on the disk with this number.
pub(crate) fn keep_entry(
    from: &Path,
    to: &Path,
    device: u64,
    durability: Durability,
) -> Result<(), Problem> {
    let status = match fs::symlink_metadata(from) {
        // Another program's passing file.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        status => status.map_err(Problem::Unwritable)?,
    };
    let namesake = fs::symlink_metadata(to).ok();
    if !status.is_dir() {
        return match namesake {
            None => keep(from, to),
            Some(new) if !new.is_dir() && (status.is_file() || status.is_symlink()) => Ok(()),
            Some(_) => Err(Problem::InTheWay(from.to_owned())),
        };
    }
    if status.dev() != device {
        return Err(Problem::Mount);
    }
    match namesake {
        None => fs::create_dir(to).map_err(Problem::writing)?,
        Some(new) if new.is_dir() => {}
        Some(_) => return Err(Problem::InTheWay(from.to_owned())),
    }
    keep_entries(from, to, device, durability)?;
    let folder = File::open(to).map_err(Problem::writing)?;
    attributes::take_over(&folder, &status).map_err(Problem::writing)?;
    durability.sync(&folder)
}

/// Takes one entry over that is no folder: a link as it is, anything else as another name of the same file.
pub(crate) fn keep(from: &Path, to: &Path) -> Result<(), Problem> {
    let status = fs::symlink_metadata(from).map_err(Problem::Unwritable)?;
    if status.is_symlink() {
        let target = fs::read_link(from).map_err(Problem::Unwritable)?;
        return symlink(target, to).map_err(Problem::writing);
    }
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => Err(Problem::Mount),
        // Not every file system has hard links, nor may everybody make one of any file.
        Err(_) if status.is_file() => fs::copy(from, to).map(drop).map_err(Problem::writing),
        Err(error) => Err(Problem::writing(error)),
    }
}

/// Moves into `new` what came into `old` or was replaced there after it was taken over; `is_done` tells, by the paths in `old`,
/// of the entries of which nothing more is to be taken over.
pub(crate) fn keep_late(old: &Path, new: &Path, is_done: &dyn Fn(&Path) -> bool) -> io::Result<()> {
    keep_late_in(old, new, Path::new(""), is_done)
}

fn keep_late_in(
    old: &Path,
    new: &Path,
    folder: &Path,
    is_done: &dyn Fn(&Path) -> bool,
) -> io::Result<()> {
    for entry in fs::read_dir(old.join(folder))? {
        keep_late_entry(old, new, &folder.join(entry?.file_name()), is_done)?;
    }
    Ok(())
}

/// As [`keep_late`], of the entry with this path in `old`.
pub(crate) fn keep_late_entry(
    old: &Path,
    new: &Path,
    entry: &Path,
    is_done: &dyn Fn(&Path) -> bool,
) -> io::Result<()> {
    if is_done(entry) {
        return Ok(());
    }
    let (from, to) = (old.join(entry), new.join(entry));
    let own = fs::symlink_metadata(&from)?;
    match fs::symlink_metadata(&to) {
        Ok(other) if own.is_dir() && other.is_dir() => keep_late_in(old, new, entry, is_done),
        Ok(other) if is_same(&from, &own, &to, &other) => Ok(()),
        Ok(other) if own.is_dir() || other.is_dir() => Err(io::ErrorKind::AlreadyExists.into()),
        _ => fs::rename(&from, &to),
    }
}

fn is_same(a: &Path, own: &Metadata, b: &Path, other: &Metadata) -> bool {
    if own.is_symlink() && other.is_symlink() {
        return fs::read_link(a).ok() == fs::read_link(b).ok();
    }
    (own.dev(), own.ino()) == (other.dev(), other.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is under a folder, as `path: contents`.
    fn all(folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_symlink() {
                found.push(format!(
                    "{name} -> {}",
                    fs::read_link(&path).unwrap().display()
                ));
            } else if path.is_dir() {
                found.extend(all(&path).iter().map(|inner| format!("{name}/{inner}")));
            } else {
                found.push(format!("{name}: {}", fs::read_to_string(&path).unwrap()));
            }
        }
        found.sort();
        found
    }

    #[test]
    fn everything_is_taken_over_and_then_what_came_late() {
        let folder = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|name| folder.path().join(name));
        fs::create_dir_all(old.join("sub/deep")).unwrap();
        fs::create_dir(&new).unwrap();
        fs::write(old.join("shard"), "old").unwrap();
        fs::write(new.join("shard"), "new").unwrap();
        fs::write(old.join("file"), "1").unwrap();
        fs::write(old.join("sub/deep/file"), "2").unwrap();
        symlink("nowhere", old.join("link")).unwrap();
        keep_all(&old, &new, Durability::Synced).unwrap();
        let taken = [
            "file: 1",
            "link -> nowhere",
            "shard: new",
            "sub/deep/file: 2",
        ];
        assert_eq!(all(&new), taken);
        assert_eq!(fs::metadata(new.join("file")).unwrap().nlink(), 2);

        // Other programs write, replace and add meanwhile.
        fs::write(old.join("file"), "written").unwrap();
        fs::write(old.join("sub/fresh"), "replaced").unwrap();
        fs::rename(old.join("sub/fresh"), old.join("sub/deep/file")).unwrap();
        fs::write(old.join("sub/added"), "3").unwrap();
        fs::create_dir(old.join("more")).unwrap();
        fs::write(old.join("more/added"), "4").unwrap();
        keep_late(&old, &new, &|name| name == "shard").unwrap();
        assert_eq!(
            all(&new),
            [
                "file: written",
                "link -> nowhere",
                "more/added: 4",
                "shard: new",
                "sub/added: 3",
                "sub/deep/file: replaced"
            ]
        );
    }
}
