//! A folder in the making, complete before it appears.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::atomic::{
    self, Durability, Entry, Inventory, Keeper, TemporaryFile, TemporaryFolder, take_over,
};
use crate::checkpoint::index::Index;
use crate::checkpoint::warning::Warning;
use crate::checkpoint::{Problem, Shard};
use crate::files::{self, Version, retried};

use super::output::Old;
use super::{OutputFolder, SourceFolder};

/// The output of a checkpoint that is a folder, in a temporary folder beside its destination. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub(in crate::checkpoint) struct FolderDraft<'a> {
    destination: &'a OutputFolder,
    folder: TemporaryFolder,
    /// The entries of the replaced folder that it accounts for.
    inventory: Inventory,
}

impl<'a> FolderDraft<'a> {
    /// Begins one, and removes the leftovers of killed runs.
    pub fn begin(destination: &'a OutputFolder) -> io::Result<Self> {
        Ok(Self {
            destination,
            folder: TemporaryFolder::create(&destination.place)?,
            inventory: Inventory::default(),
        })
    }

    /// A new file of this name, with the mode of the file of the same name in the replaced folder, or else of the source's.
    pub fn create_file(&self, name: &OsStr, source: &File) -> io::Result<TemporaryFile> {
        let file = TemporaryFile::create_at(&self.folder.path().join(name))?;
        let replaced = files::target(&self.destination.folder().join(name))?;
        let model = match replaced.filter(Metadata::is_file) {
            Some(replaced) => replaced,
            None => files::status(source)?,
        };
        file.as_file().set_permissions(model.permissions())?;
        Ok(file)
    }

    /// Whether an unchanged file of the source can be taken over, because the source is replaced.
    pub fn replaces_source(&self) -> bool {
        self.destination.is_input()
    }

    /// Adds a shard: the file that was written, or the source's own if there is none.
    pub fn add_shard(
        &mut self,
        shard: &Shard,
        file: Option<TemporaryFile>,
        durability: Durability,
    ) -> Result<(), Problem> {
        match file {
            Some(file) => {
                let replaced = shard.version().map_err(Problem::Unreadable)?;
                self.add(shard.name(), file, replaced, durability)
            }
            None => self.keep(shard.name(), durability, |path| shard.is_at(path)),
        }
    }

    /// Keeps a new file in the folder, in place of this version of the source's file of the same name.
    fn add(
        &mut self,
        name: &OsStr,
        file: TemporaryFile,
        source: Version,
        durability: Durability,
    ) -> Result<(), Problem> {
        durability.sync(file.as_file())?;
        file.keep().map_err(Problem::writing)?;
        if self.replaces_source() {
            // Of a link to the source's file, the link is what is replaced.
            let there = files::entry(&self.destination.folder().join(name));
            let link = there
                .map_err(Problem::writing)?
                .filter(Metadata::is_symlink);
            let replaced = link.as_ref().map_or(source, Version::of);
            self.inventory
                .add(name.into(), Entry::ReplacedVersion(replaced));
        }
        Ok(())
    }

    /// Takes a file over from the source, which is replaced; `is_source` tells whether a path leads to the file that was read.
    fn keep(
        &mut self,
        name: &OsStr,
        durability: Durability,
        is_source: impl Fn(&Path) -> bool,
    ) -> Result<(), Problem> {
        self.keeper(durability)?.keep(Path::new(name))?;
        match self.inventory.get(Path::new(name)) {
            Some(Entry::Copied { .. }) => Ok(()),
            Some(_) if is_source(&self.folder.path().join(name)) => Ok(()),
            // Another program has just replaced or removed the file.
            _ => Err(Problem::ChangedMeanwhile),
        }
    }

    fn keeper(&mut self, durability: Durability) -> Result<Keeper<'_>, atomic::Problem> {
        Keeper::new(
            self.destination.folder(),
            self.folder.path(),
            durability,
            &mut self.inventory,
        )
    }

    /// Adds the index, if there is one, with this sum of the tensors' bytes if one is given, and everything else that belongs
    /// in the folder; then puts it in place in one step. Returns warnings for the user.
    pub fn publish(
        mut self,
        source: &SourceFolder,
        total_size: Option<u64>,
        durability: Durability,
    ) -> Result<Vec<Warning>, Problem> {
        let mut warnings: Vec<Warning> = Vec::new();
        if let Some(index) = source.index() {
            warnings.extend(self.add_index(index, total_size, durability)?);
        }
        match &self.destination.old {
            Old::Input => self.keeper(durability)?.keep_all()?,
            Old::Nothing { companions } | Old::Output { companions, .. } => {
                companions.copy_to(self.folder.path(), durability)?;
                warnings.extend(companions.warning());
            }
        }
        let left = self.folder.warnings(&self.destination.place);
        warnings.extend(left.into_iter().map(Warning::from));
        if matches!(self.destination.old, Old::Nothing { .. }) {
            // As private as the source, and writable for its owner: a folder from a cache may not be.
            let status = retried(|| fs::metadata(source.path())).map_err(Problem::reading)?;
            let mode = Permissions::from_mode(status.permissions().mode() | 0o700);
            let set = self.folder.as_file().set_permissions(mode);
            set.map_err(Problem::writing)?;
        } else {
            let old = retried(|| fs::metadata(self.destination.folder()));
            take_over(self.folder.as_file(), &old.map_err(Problem::writing)?)
                .map_err(Problem::writing)?;
        }
        durability.sync(self.folder.as_file())?;
        warnings.extend(self.put_in_place(durability)?);
        Ok(warnings)
    }

    fn add_index(
        &mut self,
        index: &Index,
        total_size: Option<u64>,
        durability: Durability,
    ) -> Result<Option<Warning>, Problem> {
        let corrected = total_size.and_then(|total| Some((total, index.with_total_size(total)?)));
        if corrected.is_none() && self.replaces_source() {
            self.keep(index.name(), durability, |path| index.is_at(path))?;
            return Ok(None);
        }
        let json = corrected
            .as_ref()
            .map_or(index.json(), |(_, (json, _))| json);
        let file = self.create_file(index.name(), index.file());
        let file = file.map_err(Problem::writing)?;
        file.as_file().write_all(json).map_err(Problem::writing)?;
        let replaced = index.version().map_err(Problem::Unreadable)?;
        self.add(index.name(), file, replaced, durability)?;
        Ok(corrected.map(|(total, (_, found))| Warning::TotalSize {
            index: index.name().to_string_lossy().into_owned(),
            found,
            total,
        }))
    }

    fn put_in_place(&mut self, durability: Durability) -> Result<Option<Warning>, Problem> {
        let place = &self.destination.place;
        match &self.destination.old {
            Old::Nothing { .. } => {
                self.folder.put_at_new(place, durability)?;
                return Ok(None);
            }
            Old::Output { entries, .. } => {
                for name in entries {
                    let there = files::entry(&place.path().join(name)).map_err(Problem::writing)?;
                    if let Some(there) = there {
                        let replaced = Entry::ReplacedVersion(Version::of(&there));
                        self.inventory.add(name.into(), replaced);
                    }
                }
            }
            Old::Input => {}
        }
        let inventory = std::mem::take(&mut self.inventory);
        let replaced = self.folder.replace(place, inventory, durability)?;
        Ok(replaced.remove(place).map(Warning::from))
    }
}
