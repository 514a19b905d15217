//! An output in the making: the source with some kernels' bytes changed, complete before it appears.

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use rayon::prelude::*;

use crate::files::{self, CopyError, retried};
use crate::meter::Meter;
use crate::place::{Durability, FileDestination, TemporaryFile};

use super::copy::Copier;
use super::folder::NewFolder;
use super::writer::{Fill, Sink, Written, write_while};
use super::{Checkpoint, Destination, Error, Problem, Tensor, Warning};

/// Bytes that are copied before a change among them is written.
const COPIED_BEFORE_A_CHANGE: usize = 8 << 20;

/// Bytes read back at once.
const READ_BACK_BYTES: usize = 256 << 10;

/// A range of one of a checkpoint's files, in bytes from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The file, from 0.
    pub shard: usize,
    /// The bytes.
    pub bytes: Range<usize>,
}

impl Piece {
    /// The bytes of a tensor.
    pub fn of(tensor: &Tensor) -> Self {
        Self {
            shard: tensor.shard,
            bytes: tensor.bytes.clone(),
        }
    }
}

/// An output in the making, in temporary files where the destination is.
///
/// Dropped before [`Draft::publish`], it leaves nothing behind.
#[derive(Debug)]
pub struct Draft<'a> {
    source: &'a Checkpoint,
    destination: &'a Destination,
    // Closed before their folder is removed: NFS keeps what is still open.
    files: Vec<DraftFile>,
    place: Place<'a>,
    written: Vec<Written>,
}

/// Where the files go once they are complete.
#[derive(Debug)]
enum Place<'a> {
    File(&'a FileDestination),
    Folder(NewFolder<'a>),
}

/// The counterpart of one of the source's files.
#[derive(Debug)]
enum DraftFile {
    New {
        file: TemporaryFile,
        /// Whether it shares the source's blocks on the disk, so that only changes need writing.
        is_clone: bool,
    },
    /// The source's own, which nothing changes in.
    Kept,
}

impl DraftFile {
    fn new(file: TemporaryFile) -> Self {
        Self::New {
            file,
            is_clone: false,
        }
    }

    /// Makes room for the source's own.
    fn become_kept(&mut self) -> io::Result<()> {
        match std::mem::replace(self, Self::Kept) {
            Self::New { file, .. } => file.remove(),
            Self::Kept => Ok(()),
        }
    }

    /// Whether it holds the source's bytes without being written.
    fn holds_source(&self) -> bool {
        match self {
            Self::New { is_clone, .. } => *is_clone,
            Self::Kept => true,
        }
    }
}

impl<'a> Draft<'a> {
    /// Begins an output.
    ///
    /// # Errors
    ///
    /// Where the folder cannot be written to.
    pub fn begin(source: &'a Checkpoint, destination: &'a Destination) -> Result<Self, Error> {
        let failed = |error| Problem::writing(error).of(destination.path());
        let place = match destination {
            Destination::File(file) => Place::File(file),
            Destination::Folder(folder) => Place::Folder(NewFolder::begin(folder).map_err(failed)?),
        };
        let files = source.shards().iter().map(|shard| {
            let file = match &place {
                Place::File(destination) => destination.temporary_file()?,
                Place::Folder(folder) => folder.create_file(shard.name())?,
            };
            Ok(DraftFile::new(file))
        });
        let files: io::Result<_> = files.collect();
        Ok(Self {
            source,
            destination,
            files: files.map_err(failed)?,
            place,
            written: Vec::new(),
        })
    }

    /// Runs `work` on some of the source's tensors, which hands what becomes of them to the [`Sink`], while another thread
    /// writes that and copies the rest of the source; `fill` says what the rest is. `meter` is told of the bytes copied.
    ///
    /// Before that, each file becomes a clone of the source's that takes no space where the file system can share blocks
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
        self.prepare(tensors).map_err(|e| self.failed(e))?;
        // Of a clone nothing else needs writing.
        let fill = if self.files.iter().all(DraftFile::holds_source) {
            Fill::First
        } else {
            fill
        };
        let mut copied = match fill {
            Fill::First => self.source.in_pieces(COPIED_BEFORE_A_CHANGE),
            Fill::Between => self.source.all_but(tensors),
        };
        copied.retain(|piece| {
            let is_kept = matches!(self.files[piece.shard], DraftFile::Kept);
            if is_kept {
                meter.copied(piece.bytes.len() as u64);
            }
            !is_kept
        });
        let target = Target { draft: self, meter };
        let (result, written) = write_while(&target, fill, copied, |sink| {
            let result = work(sink);
            if result.is_err() {
                sink.give_up();
            }
            result
        })?;
        self.written.extend(written);
        result
    }

    /// What the system says of its files once all is written to them. Their sizes and the times of their last change are still
    /// these when they are in their places.
    ///
    /// # Errors
    ///
    /// Where the system cannot tell.
    pub fn metadata(&self) -> Result<Vec<Metadata>, Error> {
        let new = self.files.iter().filter_map(|file| match file {
            DraftFile::New { file, .. } => Some(file.as_file()),
            DraftFile::Kept => None,
        });
        let metadata: io::Result<_> = new.map(files::status).collect();
        metadata.map_err(|error| self.failed(error))
    }

    /// Has each file be a clone of the source's, or be of its size; changes are in these tensors only.
    fn prepare(&mut self, tensors: &[&Tensor]) -> io::Result<()> {
        let keeps = self.place.replaces_source();
        for (number, draft) in self.files.iter_mut().enumerate() {
            let shard = &self.source.shards()[number];
            if keeps && tensors.iter().all(|tensor| tensor.shard != number) {
                draft.become_kept()?;
            }
            if let DraftFile::New { file, is_clone } = draft {
                *is_clone = files::share_blocks(shard.file(), file.as_file());
                if !*is_clone {
                    allocate(file.as_file(), shard.size())?;
                }
            }
        }
        Ok(())
    }

    /// Reads the changes back, makes the output durable if asked to, and puts it in its place in one step. What the user
    /// should know of it.
    ///
    /// # Errors
    ///
    /// Where it does not read back as written, the source was changed meanwhile, or the disk fails. Whatever stood at
    /// the destination before is then still whole.
    pub fn publish(mut self, durability: Durability) -> Result<Vec<Warning>, Error> {
        self.verify()?;
        self.source.check_unchanged()?;
        if self.place.replaces_source() {
            self.source.check_in_place()?;
            for (number, file) in self.files.iter_mut().enumerate() {
                if self.written.iter().all(|written| written.shard != number) {
                    let kept = file.become_kept();
                    kept.map_err(|e| Problem::writing(e).of(self.destination.path()))?;
                }
            }
        }
        let path = self.destination.path();
        self.try_publish(durability)
            .map_err(|problem| problem.of(path))
    }

    fn try_publish(self, durability: Durability) -> Result<Vec<Warning>, Problem> {
        let files = self.source.shards().iter().zip(self.files);
        let mut files = files.map(|(shard, draft)| match draft {
            DraftFile::New { file, .. } => (shard, Some(file)),
            DraftFile::Kept => (shard, None),
        });
        match (self.place, self.source.index()) {
            (Place::Folder(mut folder), Some(index)) => {
                files.try_for_each(|(shard, file)| folder.add_shard(shard, file, durability))?;
                let total_size = self.source.tensors().iter();
                let total_size = total_size.map(|tensor| tensor.bytes.len() as u64).sum();
                folder.publish(index, total_size, durability)
            }
            (Place::File(destination), _) => {
                for file in files.filter_map(|(_, file)| file) {
                    destination.put_in_place(file, durability)?;
                }
                Ok(Vec::new())
            }
            (Place::Folder(_), None) => unreachable!("a folder is for a sharded checkpoint"),
        }
    }

    /// Opens the files again and checks their sizes, their headers and every range that was changed.
    fn verify(&self) -> Result<(), Error> {
        let differs = |at| Problem::ReadBackDiffers { at }.of(self.destination.path());
        for (number, draft) in self.files.iter().enumerate() {
            let DraftFile::New { file, .. } = draft else {
                continue;
            };
            let shard = &self.source.shards()[number];
            let file = file.reopen().map_err(|e| self.failed(e))?;
            let size = files::status(&file).map_err(|e| self.failed(e))?.len();
            if size != shard.size() {
                return Err(differs(size));
            }
            let expected = shard.bytes_before_data();
            let mut header = vec![0; expected.len()];
            file.read_exact_at(&mut header, 0)
                .map_err(|e| self.failed(e))?;
            if let Some(at) = (0..header.len()).find(|&at| header[at] != expected[at]) {
                return Err(differs(at as u64));
            }
            let written = self
                .written
                .iter()
                .filter(|written| written.shard == number);
            let written: Vec<&Written> = written.collect();
            written.par_iter().try_for_each_init(
                || vec![0; READ_BACK_BYTES],
                |buffer, written| {
                    let checksum = read_back(&file, written, buffer).map_err(|e| self.failed(e))?;
                    if checksum == written.checksum {
                        Ok(())
                    } else {
                        Err(differs(written.start as u64))
                    }
                },
            )?;
        }
        Ok(())
    }

    fn failed(&self, error: io::Error) -> Error {
        Problem::writing(error).of(self.destination.path())
    }
}

impl Place<'_> {
    /// Whether a file of the source that nothing changes in may be taken over as it is, for the source goes away.
    fn replaces_source(&self) -> bool {
        matches!(self, Self::Folder(folder) if folder.replaces_source())
    }
}

/// The checksum of a range as it is in the file now.
fn read_back(file: &File, written: &Written, buffer: &mut [u8]) -> io::Result<u32> {
    let mut hasher = crc32fast::Hasher::new();
    let end = written.start + written.length;
    let mut at = written.start;
    while at < end {
        let part = &mut buffer[..(end - at).min(READ_BACK_BYTES)];
        file.read_exact_at(part, at as u64)?;
        hasher.update(part);
        at += part.len();
    }
    Ok(hasher.finalize())
}

/// A draft as its writer sees it.
pub(super) struct Target<'t, 'a> {
    draft: &'t Draft<'a>,
    meter: &'t dyn Meter,
}

impl Target<'_, '_> {
    /// Copies a little from the beginning of a piece of the source, if it is not there already; how many bytes.
    pub fn copy_some(&self, copier: &mut Copier, piece: &Piece) -> Result<usize, Error> {
        let copied = match &self.draft.files[piece.shard] {
            DraftFile::New {
                file,
                is_clone: false,
            } => {
                let shard = &self.draft.source.shards()[piece.shard];
                copier
                    .copy_some(shard.file(), file.as_file(), &piece.bytes)
                    .map_err(|error| match error {
                        CopyError::Reading(error) => Problem::reading_on(error).of(shard.path()),
                        CopyError::Writing(error) => self.draft.failed(error),
                    })?
            }
            DraftFile::New { is_clone: true, .. } | DraftFile::Kept => piece.bytes.len(),
        };
        self.meter.copied(copied as u64);
        Ok(copied)
    }

    /// The error where no thread can be started to write.
    pub fn not_begun(&self, error: io::Error) -> Error {
        Problem::NoWriter(error).of(self.draft.destination.path())
    }

    /// Writes bytes at their place.
    pub fn write(&self, shard: usize, start: usize, bytes: &[u8]) -> Result<(), Error> {
        let DraftFile::New { file, .. } = &self.draft.files[shard] else {
            unreachable!("a file is kept only where nothing changes in it");
        };
        file.as_file()
            .write_all_at(bytes, start as u64)
            .map_err(|e| self.draft.failed(e))
    }
}

/// Gives a file its size, and the space for it where the file system can set it aside: a full disk is then found out at
/// once, and writing takes half the time (ext4 on Linux 6.18: 9 GB/s against 5).
fn allocate(file: &File, size: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        let allocated = retried(|| Ok(fallocate(file, FallocateFlags::empty(), 0, size)?));
        match allocated {
            // What file systems and kernels that cannot do it answer (fallocate(2)).
            Err(error)
                if files::is_one_of(&error, &[Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL]) => {}
            allocated => return allocated,
        }
    }
    retried(|| file.set_len(size))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;
    use crate::checkpoint::PIECE_BYTES;

    fn source(folder: &Path) -> Checkpoint {
        source_of(folder, &[&[1, 2, 3, 4]])
    }

    /// A checkpoint of tensors with these bytes.
    fn source_of(folder: &Path, tensors: &[&[u8]]) -> Checkpoint {
        let mut end = 0;
        let entries = tensors.iter().zip('a'..).map(|(bytes, name)| {
            let (begin, length) = (end, bytes.len());
            end += length;
            format!(
                r#""{name}":{{"dtype":"I8","shape":[{length}],"data_offsets":[{begin},{end}]}}"#
            )
        });
        let json = format!("{{{}}}", entries.collect::<Vec<_>>().join(","));
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(json.as_bytes());
        bytes.extend(tensors.concat());
        let path = folder.join("in.safetensors");
        fs::write(&path, bytes).unwrap();
        Checkpoint::open(&path).unwrap()
    }

    /// A draft of the source with these bytes in the place of its values' from `at` on.
    fn changed<'a>(
        source: &'a Checkpoint,
        destination: &'a Destination,
        at: usize,
        bytes: &[u8],
    ) -> Draft<'a> {
        let mut draft = Draft::begin(source, destination).unwrap();
        let tensor = &source.tensors()[0];
        let work = |sink: &Sink<'_>| {
            let mut buffer = sink.buffer();
            buffer.extend_from_slice(bytes);
            sink.write([(0, tensor.bytes.start + at)], buffer);
            Ok::<_, Error>(())
        };
        draft
            .write_while(Fill::First, &[tensor], &(), work)
            .unwrap();
        draft
    }

    #[test]
    fn a_draft_that_is_dropped_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path());
        let out = Destination::check(&source, &folder.path().join("out"), false).unwrap();
        drop(changed(&source, &out, 1, &[9]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_published_draft_differs_in_the_changed_bytes_only() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path());
        let out = Destination::check(&source, &folder.path().join("out"), false).unwrap();
        let at = source.tensors()[0].bytes.start + 1;
        let draft = changed(&source, &out, 1, &[9]);
        draft.publish(Durability::Synced).unwrap();
        let mut expected = fs::read(folder.path().join("in.safetensors")).unwrap();
        expected[at] = 9;
        assert_eq!(fs::read(out.path()).unwrap(), expected);
    }

    #[test]
    fn changes_stay_whether_copying_is_ahead_of_them_or_behind() {
        let folder = tempfile::tempdir().unwrap();
        let noise: Vec<u8> = (0..11u32 << 20)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let source = source_of(
            folder.path(),
            &[&noise[..9 << 20], &noise, &[5; 17], &noise],
        );
        let file = fs::read(source.path()).unwrap();
        // Across two of the pieces in which the file is copied, then from the last to the first, and across three of them.
        let changes = [
            (3 * COPIED_BEFORE_A_CHANGE - 1000, 2000),
            (file.len() - 3, 3),
            (COPIED_BEFORE_A_CHANGE - 1, COPIED_BEFORE_A_CHANGE + 2),
            (source.tensors()[0].bytes.start, PIECE_BYTES),
        ];
        for fill in [Fill::First, Fill::Between] {
            let out = Destination::check(&source, &folder.path().join("out"), true).unwrap();
            let mut draft = Draft::begin(&source, &out).unwrap();
            // Where layers are written as a whole, these tensors are all that is written.
            let tensors: Vec<&Tensor> = match fill {
                Fill::First => source.tensors().iter().collect(),
                Fill::Between => vec![&source.tensors()[1], &source.tensors()[3]],
            };
            let mut expected = file.clone();
            let work = |sink: &Sink<'_>| {
                let mut write = |start: usize, length: usize| {
                    let mut buffer = sink.buffer();
                    let range = start..start + length;
                    expected[range.clone()].fill(77);
                    buffer.extend_from_slice(&expected[range]);
                    sink.write([(0, start)], buffer);
                };
                match fill {
                    Fill::First => changes
                        .iter()
                        .for_each(|&(start, length)| write(start, length)),
                    Fill::Between => {
                        let last = &tensors[1].bytes;
                        for start in last.clone().step_by(PIECE_BYTES) {
                            write(start, PIECE_BYTES.min(last.end - start));
                        }
                        sink.copy(Piece::of(tensors[0]));
                    }
                }
                Ok::<_, Error>(())
            };
            draft.write_while(fill, &tensors, &(), work).unwrap();
            draft.publish(Durability::Unsynced).unwrap();
            assert!(fs::read(out.path()).unwrap() == expected, "{fill:?}");
        }
    }

    #[test]
    fn the_same_bytes_may_go_to_several_places() {
        let folder = tempfile::tempdir().unwrap();
        let source = source_of(folder.path(), &[&[1; 9], &[2; 9], &[3; 9]]);
        let starts = source.tensors().iter().map(|tensor| tensor.bytes.start);
        let places: Vec<usize> = starts.map(|start| start + 4).collect();
        let mut expected = fs::read(source.path()).unwrap();
        for place in [places[0], places[2]] {
            expected[place..place + 2].fill(8);
        }
        for (number, fill) in [Fill::First, Fill::Between].into_iter().enumerate() {
            let out = folder.path().join(number.to_string());
            let out = Destination::check(&source, &out, false).unwrap();
            let draft = |lost: Option<usize>| {
                let mut draft = Draft::begin(&source, &out).unwrap();
                let work = |sink: &Sink<'_>| {
                    let mut buffer = sink.buffer();
                    buffer.extend_from_slice(&[8, 8]);
                    sink.write([(0, places[0]), (0, places[2])], buffer);
                    Ok::<_, Error>(())
                };
                draft.write_while(fill, &[], &(), work).unwrap();
                let DraftFile::New { file, .. } = &draft.files[0] else {
                    panic!("a file that is written is a new one");
                };
                if let Some(lost) = lost {
                    file.as_file().write_all_at(&[7], lost as u64).unwrap();
                }
                draft.publish(Durability::Unsynced)
            };
            for lost in [places[0], places[2]] {
                let error = draft(Some(lost)).unwrap_err();
                assert!(matches!(*error.problem, Problem::ReadBackDiffers { .. }));
            }
            draft(None).unwrap();
            assert_eq!(fs::read(out.path()).unwrap(), expected, "{fill:?}");
        }
    }

    #[test]
    fn bytes_lost_between_writing_and_reading_back_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path());
        let out = Destination::check(&source, &folder.path().join("out"), false).unwrap();
        let at = source.tensors()[0].bytes.start as u64;
        let draft = changed(&source, &out, 0, &[9, 9]);
        let DraftFile::New { file, .. } = &draft.files[0] else {
            panic!("a file that is written is a new one");
        };
        file.as_file().write_all_at(&[7], at).unwrap();
        let error = draft.publish(Durability::Unsynced).unwrap_err();
        assert!(matches!(*error.problem, Problem::ReadBackDiffers { at: found } if found == at));
        assert!(!out.path().exists());
    }

    #[test]
    fn a_source_that_changes_meanwhile_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path());
        let out = Destination::check(&source, &folder.path().join("out"), false).unwrap();
        let draft = changed(&source, &out, 0, &[]);
        let writer = File::options().append(true).open(source.path()).unwrap();
        writer.set_len(source.size() + 1).unwrap();
        let error = draft.publish(Durability::Unsynced).unwrap_err();
        assert!(matches!(*error.problem, Problem::ChangedMeanwhile));
        assert!(!out.path().exists());
    }

    #[test]
    fn a_source_that_is_cut_short_meanwhile_is_noticed_however_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let source = source_of(folder.path(), &[&[1; 50_000], &[2; 50_000]]);
        let tensor = &source.tensors()[1];
        let mut seen = 0;
        let values = source.with_values(tensor, |values| seen = values.len());
        values.unwrap();
        assert_eq!(seen, 50_000);
        let writer = File::options().write(true).open(source.path()).unwrap();
        writer.set_len(20_000).unwrap();
        // Mapped values read as zeros where they are missing, and are worth nothing then.
        let values = source.with_values(tensor, |values| values.iter().map(|&v| v as u64).sum());
        let short: Result<u64, Error> = values;
        let out = Destination::check(&source, &folder.path().join("out"), false).unwrap();
        let mut draft = Draft::begin(&source, &out).unwrap();
        let copied = draft.write_while(Fill::First, &[], &(), |_| Ok::<_, Error>(()));
        for error in [
            short.unwrap_err(),
            source.first_values(tensor, 10).unwrap_err(),
            copied.unwrap_err(),
        ] {
            assert!(
                matches!(*error.problem, Problem::ChangedMeanwhile),
                "{error}"
            );
            assert_eq!(error.file, source.path());
        }
        drop(draft);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn files_of_a_folder_that_are_replaced_meanwhile_are_noticed() {
        for name in ["in.safetensors", "x.safetensors.index.json"] {
            let folder = tempfile::tempdir().unwrap();
            let sharded = folder.path().join("sharded");
            fs::create_dir(&sharded).unwrap();
            drop(source(&sharded));
            let index = r#"{"weight_map": {"a": "in.safetensors"}}"#;
            fs::write(sharded.join("x.safetensors.index.json"), index).unwrap();
            let source = Checkpoint::open(&sharded).unwrap();
            let out = Destination::check(&source, &sharded, true).unwrap();
            let draft = changed(&source, &out, 0, &[9]);
            let fresh = folder.path().join("fresh");
            fs::copy(sharded.join(name), &fresh).unwrap();
            fs::rename(fresh, sharded.join(name)).unwrap();
            let error = draft.publish(Durability::Unsynced).unwrap_err();
            assert!(matches!(*error.problem, Problem::ChangedMeanwhile));
            assert_eq!(error.file, sharded.join(name));
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn modes_follow_the_umask_or_the_replaced_file() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path());
        let reference = folder.path().join("reference");
        fs::write(&reference, "").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;

        let out = folder.path().join("out");
        let fresh = Destination::check(&source, &out, false).unwrap();
        changed(&source, &fresh, 0, &[])
            .publish(Durability::Unsynced)
            .unwrap();
        assert_eq!(mode(&out), mode(&reference));

        fs::set_permissions(&out, Permissions::from_mode(0o640)).unwrap();
        let again = Destination::check(&source, &out, true).unwrap();
        changed(&source, &again, 0, &[])
            .publish(Durability::Unsynced)
            .unwrap();
        assert_eq!(mode(&out), 0o640);
    }
}
