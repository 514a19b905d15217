//! Dangling links.

use std::fs;
use std::path::{Path, PathBuf};

use crate::files::{self, retried};

use super::folder::or_here;

/// The maximum number of links that the system follows in a row (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// The missing target of a link, or of the last in a chain of links; `None` if the path is not a link, or its target exists.
pub(crate) fn missing_target(link: &Path) -> Option<PathBuf> {
    let mut path = link.to_owned();
    for _ in 0..MAX_LINKS {
        let target = retried(|| fs::read_link(&path)).ok()?;
        // A relative target is relative to the link's folder.
        path = match or_here(path.parent()) {
            here if here == Path::new(".") => target,
            folder => folder.join(target),
        };
        if files::entry(&path).ok()?.is_none() {
            return Some(path);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_links_to_nothing_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "").unwrap();
        for (name, target) in [
            ("good", "file"),
            ("bad", "none/file"),
            ("far", "bad"),
            ("round", "round"),
            ("below-file", "file/x"),
        ] {
            symlink(target, path(name)).unwrap();
        }
        assert_eq!(missing_target(&path("bad")), Some(path("none/file")));
        assert_eq!(missing_target(&path("far")), Some(path("none/file")));
        for name in ["file", "good", "none", "round", "below-file"] {
            assert_eq!(missing_target(&path(name)), None, "{name}");
        }
    }
}
