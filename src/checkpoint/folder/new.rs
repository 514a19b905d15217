//! A folder in the making, complete before it appears.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use crate::checkpoint::Problem;
use crate::checkpoint::index::Index;
use crate::checkpoint::warning::Warning;
use crate::place::{
    Durability, TemporaryFile, TemporaryFolder, keep, keep_all, keep_late, take_over,
};

use super::{FolderDestination, Old};

/// What a sharded checkpoint becomes, in a folder beside the one it is to be. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub(in crate::checkpoint) struct NewFolder<'a> {
    destination: &'a FolderDestination,
    folder: TemporaryFolder,
}

impl<'a> NewFolder<'a> {
    /// Begins one, and removes what killed runs have left of others like it.
    pub fn begin(destination: &'a FolderDestination) -> io::Result<Self> {
        Ok(Self {
            destination,
            folder: TemporaryFolder::create(&destination.place)?,
        })
    }

    /// A file for it, with the mode that the one of this name has in the folder that it replaces.
    pub fn temporary_file(&self, name: &OsStr) -> io::Result<TemporaryFile> {
        let file = TemporaryFile::create(self.folder.path())?;
        if let Ok(replaced) = fs::metadata(self.destination.folder().join(name))
            && replaced.is_file()
        {
            file.as_file().set_permissions(replaced.permissions())?;
        }
        Ok(file)
    }

    /// Whether a file of the source that stays as it is can be taken over as it is, for the source goes away.
    pub fn replaces_source(&self) -> bool {
        self.destination.is_input()
    }

    /// Gives a file its name; where there is none, that of the source is taken over.
    pub fn add(
        &self,
        name: &OsStr,
        file: Option<TemporaryFile>,
        durability: Durability,
    ) -> Result<(), Problem> {
        let path = self.folder.path().join(name);
        match file {
            Some(file) => {
                durability.sync(file.as_file())?;
                file.put_at_new(&path).map_err(Problem::writing)
            }
            None => Ok(keep(&self.destination.folder().join(name), &path)?),
        }
    }

    /// Adds the index, with this sum of the tensors' bytes, and what else belongs into the folder; then puts it in its place in
    /// one step. What the user should know of it.
    pub fn publish(
        mut self,
        index: &Index,
        total_size: u64,
        durability: Durability,
    ) -> Result<Vec<Warning>, Problem> {
        let mut warnings = Vec::new();
        warnings.extend(self.add_index(index, total_size, durability)?);
        match &self.destination.old {
            Old::Input => keep_all(self.destination.folder(), self.folder.path(), durability)?,
            Old::Nothing { companions } | Old::Output { companions, .. } => {
                companions.copy_to(self.folder.path(), durability)?;
                warnings.extend(companions.warning());
            }
        }
        let own = self.folder.open().map_err(Problem::writing)?;
        if !matches!(self.destination.old, Old::Nothing { .. }) {
            let old = fs::metadata(self.destination.folder()).map_err(Problem::writing)?;
            take_over(&own, &old).map_err(Problem::writing)?;
        }
        durability.sync(&own)?;
        warnings.extend(self.put_in_place(index, durability)?);
        Ok(warnings)
    }

    fn add_index(
        &self,
        index: &Index,
        total_size: u64,
        durability: Durability,
    ) -> Result<Option<Warning>, Problem> {
        let corrected = index.with_total_size(total_size);
        let file = if corrected.is_none() && self.replaces_source() {
            None
        } else {
            let json = corrected.as_ref().map_or(index.json(), |(json, _)| json);
            let file = self
                .temporary_file(index.name())
                .map_err(Problem::writing)?;
            file.as_file().write_all(json).map_err(Problem::writing)?;
            Some(file)
        };
        self.add(index.name(), file, durability)?;
        Ok(corrected.map(|(_, found)| Warning::TotalSize {
            index: index.name().to_string_lossy().into_owned(),
            found,
            total: total_size,
        }))
    }

    fn put_in_place(
        &mut self,
        index: &Index,
        durability: Durability,
    ) -> Result<Option<Warning>, Problem> {
        let place = &self.destination.place;
        if let Old::Nothing { .. } = self.destination.old {
            self.folder.put_at_new(place, durability)?;
            return Ok(None);
        }
        let replaced = self.folder.replace(place, durability)?;
        let shards = index.map().shards();
        let is_done = |entry: &Path| match &self.destination.old {
            Old::Output { entries, .. } => entries.contains(entry.as_os_str()),
            _ => entry == index.name() || shards.contains(&*entry.to_string_lossy()),
        };
        let warning = replaced.remove(|old| keep_late(old, place.path(), &is_done));
        Ok(warning.map(Warning::from))
    }
}
