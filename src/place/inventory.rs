//! What of a folder that is about to be replaced the new one answers for.
//!
//! Other programs go on working in a folder while another takes its place, and even afterwards, where it is the folder they
//! are in. So nothing is removed with the old folder by its name alone: what is there must still be what was seen there.

use std::collections::{HashMap, HashSet};
use std::fs::Metadata;
use std::path::{Path, PathBuf};

use crate::files::{Identity, Version};

/// Why an entry of the old folder may go with it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entry {
    /// Whatever it is, it belongs to what is replaced.
    Replaced,
    /// It is replaced by another version, if it is still this one.
    ReplacedVersion(Version),
    /// The new folder has the same file by another link.
    Linked(Identity),
    /// The new folder has a copy.
    Copied {
        /// What was copied.
        from: Version,
        /// The copy.
        to: Version,
    },
}

impl Entry {
    /// Whether it is what was seen, so that nothing is lost with it.
    pub fn accounts_for(self, status: &Metadata) -> bool {
        match self {
            Self::Replaced => true,
            Self::ReplacedVersion(version) | Self::Copied { from: version, .. } => {
                version == Version::of(status)
            }
            Self::Linked(file) => file == Identity::of(status),
        }
    }

    /// Whether what stands in the new folder was taken over from the old one and not touched since, so that a later version
    /// from there may replace it.
    pub fn is_taken_over(self, status: &Metadata) -> bool {
        match self {
            Self::Replaced | Self::ReplacedVersion(_) => false,
            Self::Linked(file) => file == Identity::of(status),
            Self::Copied { to, .. } => to == Version::of(status),
        }
    }
}

/// The entries of the old folder, by their paths in it, that are known.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    entries: HashMap<PathBuf, Entry>,
    folders: HashSet<PathBuf>,
}

impl Inventory {
    /// Notes an entry that is no folder.
    pub fn add(&mut self, path: PathBuf, entry: Entry) {
        if let Some(folder) = path.parent() {
            self.add_folder(folder);
        }
        self.entries.insert(path, entry);
    }

    /// Notes a folder, which may go once nothing is left in it.
    pub fn add_folder(&mut self, path: &Path) {
        let folders = path.ancestors().filter(|path| !path.as_os_str().is_empty());
        self.folders.extend(folders.map(Path::to_owned));
    }

    /// What is known of an entry.
    pub fn get(&self, path: &Path) -> Option<Entry> {
        self.entries.get(path).copied()
    }

    /// Whether a folder is known.
    pub fn has_folder(&self, path: &Path) -> bool {
        self.folders.contains(path)
    }
}
