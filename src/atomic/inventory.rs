//! The entries of a folder about to be replaced that the new folder accounts for.
//!
//! Other programs may write to a folder while it is replaced, and even afterwards if it is their current folder. So an entry is
//! not removed with the old folder by its name alone: it must still be the one that was seen.
//!
//! While the folder is replaced, a file beside it holds the inventory, so that if the run is killed, the next one knows what
//! it may remove.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::{Identity, Version};

/// Why an entry of the old folder may be removed with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Entry {
    /// It belongs to the output that is replaced, whatever it holds.
    Replaced,
    /// The new folder replaces this version of it.
    ReplacedVersion(Version),
    /// The new folder has a hard link to the same file.
    Linked(Identity),
    /// The new folder has a copy.
    Copied { from: Version, to: Version },
}

impl Entry {
    /// Whether the entry is still the one that was seen, so that removing it loses nothing.
    pub fn accounts_for(self, status: &Metadata) -> bool {
        match self {
            Self::Replaced => true,
            Self::ReplacedVersion(version) | Self::Copied { from: version, .. } => {
                version == Version::of(status)
            }
            Self::Linked(file) => file == Identity::of(status),
        }
    }

    /// Whether the new folder's entry was taken over from the old folder and not changed since, so that a later version from
    /// there may replace it.
    pub fn is_taken_over(self, status: &Metadata) -> bool {
        match self {
            Self::Replaced | Self::ReplacedVersion(_) => false,
            Self::Linked(file) => file == Identity::of(status),
            Self::Copied { to, .. } => to == Version::of(status),
        }
    }
}

/// The known entries of the old folder, by their paths in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inventory {
    entries: HashMap<PathBuf, Entry>,
    folders: HashSet<PathBuf>,
}

impl Inventory {
    /// Adds an entry that is not a folder.
    pub fn add(&mut self, path: PathBuf, entry: Entry) {
        if let Some(folder) = path.parent() {
            self.add_folder(folder);
        }
        self.entries.insert(path, entry);
    }

    /// Adds a folder, which may be removed once it is empty.
    pub fn add_folder(&mut self, path: &Path) {
        let folders = path.ancestors().filter(|path| !path.as_os_str().is_empty());
        self.folders.extend(folders.map(Path::to_owned));
    }

    /// Why an entry may be removed; `None` if it is unknown.
    pub fn get(&self, path: &Path) -> Option<Entry> {
        self.entries.get(path).copied()
    }

    /// Whether a folder is known.
    pub fn has_folder(&self, path: &Path) -> bool {
        self.folders.contains(path)
    }
}

/// An inventory as stored in a file. Paths are bytes, because they may not be UTF-8.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredInventory {
    draft: Identity,
    entries: Vec<(Vec<u8>, Entry)>,
    folders: Vec<Vec<u8>>,
}

impl Inventory {
    /// The JSON of this inventory and the identity of the new folder.
    pub fn to_json(&self, draft: Identity) -> Vec<u8> {
        let bytes = |path: &PathBuf| path.as_os_str().as_bytes().to_vec();
        let entries = self.entries.iter();
        let stored = StoredInventory {
            draft,
            entries: entries.map(|(path, &entry)| (bytes(path), entry)).collect(),
            folders: self.folders.iter().map(bytes).collect(),
        };
        serde_json::to_vec(&stored).expect("plain data")
    }

    /// Parses that JSON; `None` if it is not this program's, or was cut because its writer was killed.
    pub fn from_json(json: &[u8]) -> Option<(Identity, Self)> {
        let stored: StoredInventory = serde_json::from_slice(json).ok()?;
        let path = |bytes| PathBuf::from(OsString::from_vec(bytes));
        let entries = stored.entries.into_iter();
        let inventory = Self {
            entries: entries.map(|(bytes, entry)| (path(bytes), entry)).collect(),
            folders: stored.folders.into_iter().map(path).collect(),
        };
        Some((stored.draft, inventory))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inventory_reads_back_as_it_was_written_and_a_torn_one_does_not() {
        let desk = tempfile::tempdir().unwrap();
        let status = std::fs::metadata(desk.path()).unwrap();
        let (file, version) = (Identity::of(&status), Version::of(&status));
        let mut inventory = Inventory::default();
        inventory.add("a".into(), Entry::Replaced);
        inventory.add("b/c".into(), Entry::ReplacedVersion(version));
        inventory.add("d".into(), Entry::Linked(file));
        let name = PathBuf::from(OsString::from_vec(vec![b'x', 0xff]));
        inventory.add(
            name,
            Entry::Copied {
                from: version,
                to: version,
            },
        );
        inventory.add_folder(Path::new("e/f"));
        let json = inventory.to_json(file);
        assert_eq!(Inventory::from_json(&json), Some((file, inventory)));
        for end in 0..json.len() {
            assert_eq!(Inventory::from_json(&json[..end]), None);
        }
    }
}
