//! Checksums of a zip archive's entries after a change in them.
//!
//! A changed entry's new checksum is composed of those of its parts: what stays as it is in the source, and what was handed in to be
//! written. So it says what the entry should hold, and reading the output back shows whether it does. The same pass over the source
//! finds out whether the entry was whole there: a new checksum would hide that it was not.

use std::ops::Range;

use crc32fast::Hasher;
use rayon::prelude::*;

use crate::checkpoint::torch::{Entry, TorchFile};
use crate::checkpoint::{Error, Problem, Shard};

use super::written::Written;

/// A checksum and where it goes.
#[derive(Debug)]
pub(super) struct Checksum {
    pub at: usize,
    pub value: u32,
}

/// The checksums of an archive that these changes of it make new ones.
///
/// # Errors
///
/// If the source cannot be read, or an entry does not match its checksum there.
pub(super) fn new_checksums(
    shard: &Shard,
    file: &TorchFile,
    written: &[&Written],
) -> Result<Vec<Checksum>, Error> {
    let mut written: Vec<&Written> = written.to_vec();
    written.sort_by_key(|written| (written.start, written.length));
    // The same bytes may have been handed in for each of several tensors that share them.
    written.dedup_by_key(|written| (written.start, written.length));
    let changed = file.archive.entries.iter().filter_map(|entry| {
        let first = written.partition_point(|written| written.start < entry.data.start);
        let after = written.partition_point(|written| written.start < entry.data.end);
        // An entry without a checksum stays without.
        (first < after && entry.crc != 0).then(|| (entry, &written[first..after]))
    });
    let changed: Vec<(&Entry, &[&Written])> = changed.collect();
    let new: Result<Vec<u32>, Error> = changed
        .par_iter()
        .map(|(entry, written)| new_checksum(shard, entry, written))
        .collect();
    let changed = changed.iter().zip(new?);
    let places = changed.flat_map(|((entry, _), value)| {
        let places = entry.crc_at.iter();
        places.map(move |&at| Checksum { at, value })
    });
    Ok(places.collect())
}

fn new_checksum(shard: &Shard, entry: &Entry, written: &[&Written]) -> Result<u32, Error> {
    let start = entry.data.start;
    let (old, new) = shard.with_bytes(entry.data.clone(), |bytes| {
        let (mut old, mut new) = (Hasher::new(), Hasher::new());
        let hash = |range: Range<usize>| {
            let mut hasher = Hasher::new();
            hasher.update(&bytes[range]);
            hasher
        };
        let mut at = 0;
        for written in written {
            let change = written.start - start..written.start - start + written.length;
            let kept = hash(at..change.start);
            old.combine(&kept);
            new.combine(&kept);
            old.combine(&hash(change.clone()));
            let length = written.length as u64;
            new.combine(&Hasher::new_with_initial_len(written.checksum, length));
            at = change.end;
        }
        let kept = hash(at..bytes.len());
        old.combine(&kept);
        new.combine(&kept);
        (old.finalize(), new.finalize())
    })?;
    let checked = entry.check(old);
    checked.map_err(|problem| Problem::from(problem).of(shard.path()))?;
    Ok(new)
}
