//! The zip archive that `torch.save` writes, as far as its bytes are needed: where each entry's data lie, and where its
//! checksum stands.
//!
//! Format: PKWARE's APPNOTE 6.3.10. PyTorch stores entries as they are, without compression, so a tensor's values can be read
//! and changed in place. A general zip library hides what a change in place needs: the places of the checksums, and whether
//! entries overlap or repeat a name.

use std::collections::HashMap;
use std::ops::Range;

use super::Problem;
use crate::checkpoint;
use crate::checkpoint::header::MAX_HEADER_BYTES;

/// Reads a range of a file, which lies within it.
pub(in crate::checkpoint) type ReadRange<'r> =
    &'r dyn Fn(Range<usize>) -> Result<Vec<u8>, checkpoint::Problem>;

/// The end record without its comment.
const END_BYTES: usize = 22;

/// The longest comment behind the end record.
const MOST_COMMENT: usize = u16::MAX as usize;

/// A directory entry and a local header without their names and extra fields.
const DIRECTORY_ENTRY_BYTES: usize = 46;
const LOCAL_HEADER_BYTES: usize = 30;

/// Flags of an entry: it is encrypted; its checksum and sizes follow the data.
const ENCRYPTED: u16 = 1;
const HAS_DESCRIPTOR: u16 = 1 << 3;

/// One file of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::checkpoint) struct Entry {
    pub name: String,
    /// Where its local header begins.
    pub header: usize,
    /// Where its data lie, in bytes from the start of the archive.
    pub data: Range<usize>,
    /// CRC-32 of the data; 0 where the writer was told to compute none (`torch.serialization.set_crc32_options(False)`).
    pub crc: u32,
    /// Where that stands: in the directory, and in the local header or behind the data.
    pub crc_at: Vec<usize>,
}

impl Entry {
    /// Checks its data by their CRC-32.
    pub fn check(&self, crc: u32) -> Result<(), Problem> {
        if self.crc == 0 || self.crc == crc {
            return Ok(());
        }
        Err(Problem::Checksum {
            name: self.name.clone(),
        })
    }
}

/// The entries of an archive, in the order of their data.
#[derive(Debug)]
pub(in crate::checkpoint) struct Archive {
    pub entries: Vec<Entry>,
    /// The folder that all entries of a `torch.save` file lie in: that of the first one listed.
    pub folder: String,
    by_name: HashMap<String, usize>,
}

impl Archive {
    /// Reads the directory of an archive of this many bytes, and the local header of each entry.
    pub fn read(read: ReadRange<'_>, size: usize) -> Result<Self, checkpoint::Problem> {
        let directory = Directory::find(read, size)?;
        let bytes = read(directory.bytes.clone())?;
        let mut rest = &bytes[..];
        let mut at = directory.bytes.start;
        let mut listed = Vec::new();
        for _ in 0..directory.entries {
            let entry = Listed::parse(rest, at)?;
            rest = &rest[entry.length..];
            at += entry.length;
            listed.push(entry);
        }
        // Such archives have compressed entries too.
        if listed
            .iter()
            .any(|entry| entry.name.ends_with("/constants.pkl"))
        {
            return Err(Problem::TorchScript.into());
        }
        let entries = listed
            .into_iter()
            .map(|entry| entry.locate(read, directory.bytes.start));
        let mut entries = entries.collect::<Result<Vec<Entry>, _>>()?;
        let folder = entries.first().and_then(|entry| entry.name.split_once('/'));
        let folder = folder.map_or_else(String::new, |(folder, _)| folder.to_owned());
        entries.sort_by_key(|entry| (entry.data.start, entry.data.end));
        let mut by_name = HashMap::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            if by_name.insert(entry.name.clone(), index).is_some() {
                let name = entry.name.clone();
                return Err(Problem::EntryTwice { name }.into());
            }
        }
        for pair in entries.windows(2) {
            if pair[1].header < pair[0].data.end {
                let (name, other) = (pair[1].name.clone(), pair[0].name.clone());
                return Err(Problem::EntriesOverlap { name, other }.into());
            }
        }
        Ok(Self {
            entries,
            folder,
            by_name,
        })
    }

    /// The index of an entry in the archive's folder.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.by_name
            .get(&format!("{}/{name}", self.folder))
            .copied()
    }
}

/// Where the directory lies and how many entries it lists.
struct Directory {
    bytes: Range<usize>,
    entries: u64,
}

impl Directory {
    fn find(read: ReadRange<'_>, size: usize) -> Result<Self, checkpoint::Problem> {
        let from = size.saturating_sub(END_BYTES + MOST_COMMENT);
        let tail = read(from..size)?;
        let is_end = |&at: &usize| {
            let record = &tail[at..];
            record.starts_with(b"PK\x05\x06")
                && record.len() == END_BYTES + usize::from(u16_at(record, 20))
        };
        let last = tail.len().checked_sub(END_BYTES);
        let Some(end) = last.and_then(|last| (0..=last).rev().find(is_end)) else {
            return Err(Problem::NoEnd.into());
        };
        let record = &tail[end..];
        let end = from + end;
        let mut directory = [
            u64::from(u16_at(record, 10)),
            u64::from(u32_at(record, 12)),
            u64::from(u32_at(record, 16)),
        ];
        // Where a number does not fit, zip64's record has it.
        if let Some(locator) = end.checked_sub(20) {
            let locator = read(locator..end)?;
            if locator.starts_with(b"PK\x06\x07") {
                let at = usize::try_from(u64_at(&locator, 8)).unwrap_or(usize::MAX);
                let bytes = at..at.saturating_add(56);
                if bytes.end > end - 20 {
                    return Err(Problem::NoEnd.into());
                }
                let record = read(bytes)?;
                if !record.starts_with(b"PK\x06\x06") {
                    return Err(Problem::NoEnd.into());
                }
                directory = [32, 40, 48].map(|at| u64_at(&record, at));
            }
        }
        let [entries, length, start] = directory;
        let bytes = start.checked_add(length).filter(|&stop| stop <= end as u64);
        let Some(stop) = bytes else {
            return Err(Problem::NoEnd.into());
        };
        // No more than this is read into memory, and so no more entries than it can hold.
        if length > MAX_HEADER_BYTES {
            return Err(Problem::DirectoryTooLong { bytes: length }.into());
        }
        Ok(Self {
            bytes: start as usize..stop as usize,
            entries,
        })
    }
}

/// An entry as the directory lists it.
struct Listed {
    name: String,
    flags: u16,
    method: u16,
    crc: u32,
    stored: u64,
    unpacked: u64,
    header: u64,
    /// Where the directory has the checksum.
    crc_at: usize,
    /// Bytes of the directory that it takes.
    length: usize,
}

impl Listed {
    /// Reads the entry at the beginning of a part of the directory, which lies `at` bytes from the archive's start.
    fn parse(directory: &[u8], at: usize) -> Result<Self, Problem> {
        let damaged = || Problem::Directory { at };
        if directory.len() < DIRECTORY_ENTRY_BYTES || !directory.starts_with(b"PK\x01\x02") {
            return Err(damaged());
        }
        let [name, extra, comment] = [28, 30, 32].map(|at| usize::from(u16_at(directory, at)));
        let length = DIRECTORY_ENTRY_BYTES + name + extra + comment;
        let Some(rest) = directory.get(DIRECTORY_ENTRY_BYTES..length) else {
            return Err(damaged());
        };
        let mut sizes = [24, 20, 42].map(|at| u64::from(u32_at(directory, at)));
        widen(&mut sizes, &rest[name..name + extra]).ok_or_else(damaged)?;
        let [unpacked, stored, header] = sizes;
        Ok(Self {
            name: String::from_utf8_lossy(&rest[..name]).into_owned(),
            flags: u16_at(directory, 8),
            method: u16_at(directory, 10),
            crc: u32_at(directory, 16),
            stored,
            unpacked,
            header,
            crc_at: at + 16,
            length,
        })
    }

    /// Finds its data and its other checksum, by its local header. All of it lies before `end`.
    fn locate(self, read: ReadRange<'_>, end: usize) -> Result<Entry, checkpoint::Problem> {
        let name = self.name;
        if self.flags & ENCRYPTED != 0 {
            return Err(Problem::Encrypted { name }.into());
        }
        if self.method != 0 || self.stored != self.unpacked {
            return Err(Problem::Compressed { name }.into());
        }
        let damaged = |name| checkpoint::Problem::from(Problem::LocalHeader { name });
        let Some(start) = usize::try_from(self.header).ok().filter(|&at| at < end) else {
            return Err(damaged(name));
        };
        if end - start < LOCAL_HEADER_BYTES {
            return Err(damaged(name));
        }
        let header = read(start..start + LOCAL_HEADER_BYTES)?;
        let [name_bytes, extra] = [26, 28].map(|at| usize::from(u16_at(&header, at)));
        let data = start + LOCAL_HEADER_BYTES + name_bytes + extra;
        let stop = usize::try_from(self.stored)
            .ok()
            .and_then(|length| data.checked_add(length))
            .filter(|&stop| stop <= end);
        let (Some(stop), true) = (stop, header.starts_with(b"PK\x03\x04")) else {
            return Err(damaged(name));
        };
        let own_name = read(start + LOCAL_HEADER_BYTES..start + LOCAL_HEADER_BYTES + name_bytes)?;
        if own_name != name.as_bytes() {
            return Err(damaged(name));
        }
        let mut crc_at = vec![self.crc_at];
        // A checksum of 0 stands for none, here or in the directory.
        if self.crc != 0 && u32_at(&header, 14) == self.crc {
            crc_at.push(start + 14);
        }
        if self.flags & HAS_DESCRIPTOR != 0 && end - stop >= 8 {
            let descriptor = read(stop..stop + 8)?;
            // The signature before it may be left out.
            let at = if descriptor.starts_with(b"PK\x07\x08") {
                4
            } else {
                0
            };
            if u32_at(&descriptor, at) == self.crc {
                crc_at.push(stop + at);
            }
        }
        Ok(Entry {
            name,
            header: start,
            data: data..stop,
            crc: self.crc,
            crc_at,
        })
    }
}

/// Replaces those of an entry's numbers that say that they do not fit by those of its zip64 field, which has these only.
fn widen(numbers: &mut [u64; 3], mut extra: &[u8]) -> Option<()> {
    const NOT_HERE: u64 = u32::MAX as u64;
    if !numbers.contains(&NOT_HERE) {
        return Some(());
    }
    while extra.len() >= 4 {
        let (id, length) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let field = extra.get(4..4 + length)?;
        if id == 1 {
            let mut wide = field.chunks_exact(8);
            for number in numbers.iter_mut().filter(|number| **number == NOT_HERE) {
                *number = u64_at(wide.next()?, 0);
            }
            return Some(());
        }
        extra = &extra[4 + length..];
    }
    None
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
