//! An output in the making: the source with some kernels' bytes changed, complete before it appears.

mod copy;
mod files;
mod seal;
#[cfg(test)]
mod tests;
mod writer;
mod written;

use std::fs::Metadata;

use crate::atomic::{Durability, FileDestination};
use crate::meter::Meter;

use super::folder::FolderDraft;
use super::{Checkpoint, Destination, Error, Piece, Problem, Tensor, Warning};

use files::{DraftFile, DraftFiles};
use writer::write_while;
use written::Written;

pub use writer::{Fill, Sink};

/// Bytes that are copied before a change among them is written.
const COPIED_BEFORE_A_CHANGE: usize = 8 << 20;

/// An output in the making, in temporary files where the destination is.
///
/// Dropped before [`Draft::publish`], it leaves nothing behind.
#[derive(Debug)]
pub struct Draft<'a> {
    source: &'a Checkpoint,
    destination: &'a Destination,
    // Closed before their folder is removed: NFS keeps what is still open.
    files: DraftFiles<'a>,
    container: Container<'a>,
    /// Whether the files hold all that stays as it is in the source.
    is_filled: bool,
    written: Vec<Written>,
    /// The checksums that go with it.
    sealed: Vec<Written>,
}

/// Where the files go once they are complete.
#[derive(Debug)]
enum Container<'a> {
    File(&'a FileDestination),
    Folder(FolderDraft<'a>),
}

impl<'a> Draft<'a> {
    /// Begins an output.
    ///
    /// # Errors
    ///
    /// Where the folder cannot be written to.
    pub fn begin(source: &'a Checkpoint, destination: &'a Destination) -> Result<Self, Error> {
        let failed = |error| Problem::writing(error).of(destination.path());
        let container = match destination {
            Destination::File(file) => Container::File(file),
            Destination::Folder(folder) => {
                Container::Folder(FolderDraft::begin(folder).map_err(failed)?)
            }
        };
        let files = DraftFiles::create(source, destination, |shard| match &container {
            Container::File(destination) => destination.temporary_file(),
            Container::Folder(folder) => folder.create_file(shard.name(), shard.file()),
        });
        Ok(Self {
            source,
            destination,
            files: files.map_err(failed)?,
            container,
            is_filled: false,
            written: Vec::new(),
            sealed: Vec::new(),
        })
    }

    /// Runs `work` (once), which hands changes of some of the source's tensors to the [`Sink`], while another thread writes them and
    /// copies the rest of the source; `fill` says what the rest is. `meter` is told of the bytes copied. Called again, for
    /// changes of other tensors, it copies nothing, as with [`Fill::First`].
    ///
    /// Before the first, each file becomes a clone of the source's that takes no space where the file system can share blocks
    /// (Btrfs, XFS and others), or else space for it is set aside.
    ///
    /// # Errors
    ///
    /// Where the disk fails or has too little space, and those of `work`.
    pub fn write_while<R, E: From<Error>>(
        &mut self,
        fill: Fill,
        tensors: &[&Tensor],
        meter: &dyn Meter,
        work: impl FnOnce(&Sink<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let (fill, copied) = match self.is_filled {
            true => (Fill::First, Vec::new()),
            false => self.prepare(fill, tensors, meter)?,
        };
        let (result, written) = write_while(&self.files, meter, fill, copied, |sink| {
            let result = work(sink);
            if result.is_err() {
                sink.give_up();
            }
            result
        })?;
        let result = result?;
        self.written.extend(written);
        self.sealed = self.files.seal(&self.written)?;
        self.is_filled = true;
        Ok(result)
    }

    /// Makes the files ready to be written, and says how they are filled and what is copied for it.
    fn prepare(
        &mut self,
        fill: Fill,
        tensors: &[&Tensor],
        meter: &dyn Meter,
    ) -> Result<(Fill, Vec<Piece>), Error> {
        let prepared = self
            .files
            .prepare(tensors, self.container.replaces_source());
        prepared.map_err(|e| self.files.failed(e))?;
        // In clones nothing but the changes needs writing.
        let fill = if self.files.files.iter().all(DraftFile::holds_source) {
            Fill::First
        } else {
            fill
        };
        let mut copied = match fill {
            Fill::First => self.source.in_pieces(COPIED_BEFORE_A_CHANGE),
            Fill::Between => self.source.all_but(tensors),
        };
        copied.retain(|piece| {
            let is_kept = matches!(self.files.files[piece.shard], DraftFile::Kept);
            if is_kept {
                meter.copied(piece.bytes.len() as u64);
            }
            !is_kept
        });
        Ok((fill, copied))
    }

    /// What the system says of its new files once all is written to them. Their sizes and the times of their last change are
    /// still these when they are put in place.
    ///
    /// # Errors
    ///
    /// Where the system cannot tell.
    pub fn metadata(&self) -> Result<Vec<Metadata>, Error> {
        self.files.metadata()
    }

    /// Reads the changes back, makes the output durable if asked to, and puts it in its place in one step. Returns what the user
    /// should know of it.
    ///
    /// # Errors
    ///
    /// Where it does not read back as written, the source was changed meanwhile, or the disk fails. Whatever stood at
    /// the destination before is then still whole.
    pub fn publish(mut self, durability: Durability) -> Result<Vec<Warning>, Error> {
        self.written.append(&mut self.sealed);
        self.files.verify(&self.written)?;
        self.source.check_unchanged()?;
        if self.container.replaces_source() {
            self.source.check_in_place()?;
            let kept = self.files.keep_unchanged(&self.written);
            kept.map_err(|e| self.files.failed(e))?;
        }
        let path = self.destination.path();
        self.try_publish(durability)
            .map_err(|problem| problem.of(path))
    }

    fn try_publish(self, durability: Durability) -> Result<Vec<Warning>, Problem> {
        let files = self.source.shards().iter().zip(self.files.files);
        let mut files = files.map(|(shard, draft)| match draft {
            DraftFile::New { file, .. } => (shard, Some(file)),
            DraftFile::Kept => (shard, None),
        });
        match (self.container, self.source.folder()) {
            (Container::Folder(mut folder), Some(source)) => {
                files.try_for_each(|(shard, file)| folder.add_shard(shard, file, durability))?;
                // What tensors of PyTorch files share is counted once there, and none of it changes.
                let total_size = (!self.source.is_torch()).then(|| {
                    let tensors = self.source.tensors().iter();
                    tensors.map(|tensor| tensor.bytes.len() as u64).sum()
                });
                folder.publish(source, total_size, durability)
            }
            (Container::File(destination), _) => {
                for file in files.filter_map(|(_, file)| file) {
                    destination.put_in_place(file, durability)?;
                }
                Ok(Vec::new())
            }
            (Container::Folder(_), None) => {
                unreachable!("a folder is for a checkpoint that is one")
            }
        }
    }
}

impl Container<'_> {
    /// Whether a file of the source in which nothing changes may be taken over as it is, for the source goes away.
    fn replaces_source(&self) -> bool {
        matches!(self, Self::Folder(folder) if folder.replaces_source())
    }
}
