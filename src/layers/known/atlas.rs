//! The atlas: facts about the convolutions of public networks, made by `fixtures/atlas/make.py`.
//!
//! It holds no names of layers: a network is found by a fingerprint of the set of its module paths, and its layers are in
//! byte order of those paths. So an entry takes a few bytes per layer, and is decoded only if its fingerprint matches.

use std::io::Read;

use flate2::read::ZlibDecoder;
use sha2::{Digest, Sha256};

static ATLAS: &[u8] = include_bytes!("atlas.bin");

const MAGIC: &[u8; 8] = b"INMATLS1";
const HEADER_BYTES: usize = 16;
const RECORD_BYTES: usize = 20;
const BLOCK_BYTES: usize = 8;

/// Identifies a set of module paths, whatever their order: the sum of the paths' hashes, modulo 2¹²⁸.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Fingerprint(u128);

impl Fingerprint {
    /// Adds a path, relative to the network's root.
    pub fn add(&mut self, path: &str) {
        let digest = Sha256::digest(path.as_bytes());
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        self.0 = self.0.wrapping_add(u128::from_be_bytes(first));
    }
}

/// The kinds that the atlas distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtlasKind {
    /// An ordinary, pointwise or grouped convolution.
    Convolution,
    Depthwise,
    Transposed,
}

/// One convolution of a known network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AtlasLayer {
    /// Its index in the forward pass, from 0; `None` if the forward pass does not run it.
    pub forward_index: Option<usize>,
    pub kind: AtlasKind,
    pub groups: usize,
    /// The first two extents of the stored weight.
    pub extents: [usize; 2],
    /// Reads the network's input.
    pub at_input: bool,
    pub head: bool,
    pub gate: bool,
    /// All kernel extents are 1.
    pub point: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Library and model: `torchvision resnet50`.
    pub title: String,
    /// In byte order of their module paths.
    pub layers: Vec<AtlasLayer>,
}

/// The networks with this fingerprint; several if they have the same names but other shapes.
pub(super) fn entries(fingerprint: Fingerprint) -> Vec<Entry> {
    Atlas::new(ATLAS).map_or_else(Vec::new, |atlas| atlas.entries(fingerprint))
}

/// An atlas in its file format, which `fixtures/atlas/make.py` describes.
struct Atlas<'a> {
    records: &'a [u8],
    blocks: &'a [u8],
    streams: &'a [u8],
}

impl<'a> Atlas<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_at_checked(HEADER_BYTES)?;
        let number = |at: usize| Some(u32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?));
        if header.get(..8)? != MAGIC {
            return None;
        }
        let (records, rest) = rest.split_at_checked(number(8)? as usize * RECORD_BYTES)?;
        let (blocks, streams) = rest.split_at_checked(number(12)? as usize * BLOCK_BYTES)?;
        Some(Self {
            records,
            blocks,
            streams,
        })
    }

    fn entries(&self, fingerprint: Fingerprint) -> Vec<Entry> {
        let key = fingerprint.0.to_be_bytes();
        let (records, _) = self.records.as_chunks::<RECORD_BYTES>();
        let first = records.partition_point(|record| record[..16] < key[..]);
        let same = records[first..]
            .iter()
            .take_while(|record| record[..16] == key[..]);
        same.filter_map(|record| {
            let number = |at: usize| usize::from(u16::from_le_bytes([record[at], record[at + 1]]));
            nth(&self.block(number(16))?, number(18))
        })
        .collect()
    }

    fn block(&self, index: usize) -> Option<String> {
        let (blocks, _) = self.blocks.as_chunks::<BLOCK_BYTES>();
        let lengths = |block: &[u8; BLOCK_BYTES]| {
            let [a, b, c, d, e, f, g, h] = *block;
            (
                u32::from_le_bytes([a, b, c, d]) as usize,
                u32::from_le_bytes([e, f, g, h]) as usize,
            )
        };
        let start: usize = blocks
            .get(..index)?
            .iter()
            .map(|block| lengths(block).0)
            .sum();
        let (compressed, raw) = lengths(blocks.get(index)?);
        let stream = self.streams.get(start..start + compressed)?;
        let mut text = String::with_capacity(raw);
        ZlibDecoder::new(stream).read_to_string(&mut text).ok()?;
        Some(text)
    }
}

/// The entry of this index in a block.
fn nth(block: &str, number: usize) -> Option<Entry> {
    let mut lines = block.lines();
    for _ in 0..number {
        let (_, count) = title(lines.next()?)?;
        lines.nth(count.checked_sub(1)?)?;
    }
    let (title, count) = title(lines.next()?)?;
    let layers: Vec<AtlasLayer> = lines.take(count).map_while(layer).collect();
    (layers.len() == count).then(|| Entry {
        title: title.to_owned(),
        layers,
    })
}

fn title(line: &str) -> Option<(&str, usize)> {
    let (title, count) = line.rsplit_once('\t')?;
    Some((title, count.parse().ok()?))
}

fn layer(line: &str) -> Option<AtlasLayer> {
    let mut fields = line.split('\t');
    let forward_index = fields.next()?;
    let kind = match fields.next()? {
        "c" => AtlasKind::Convolution,
        "d" => AtlasKind::Depthwise,
        "t" => AtlasKind::Transposed,
        _ => return None,
    };
    let mut number = || fields.next()?.parse().ok();
    let (groups, out, reads) = (number()?, number()?, number()?);
    let flags = fields.next().unwrap_or_default();
    Some(AtlasLayer {
        forward_index: forward_index.parse().ok(),
        kind,
        groups,
        extents: [out, reads],
        at_input: flags.contains('i'),
        head: flags.contains('h'),
        gate: flags.contains('g'),
        point: flags.contains('p'),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_reads() {
        let atlas = Atlas::new(ATLAS).unwrap();
        let (records, _) = atlas.records.as_chunks::<RECORD_BYTES>();
        assert!(records.is_sorted_by(|a, b| a[..16] <= b[..16]));
        for record in records {
            let mut key = [0; 16];
            key.copy_from_slice(&record[..16]);
            let found = atlas.entries(Fingerprint(u128::from_be_bytes(key)));
            let same = records.iter().filter(|other| other[..16] == record[..16]);
            assert_eq!(found.len(), same.count());
            for entry in found {
                let mut indices: Vec<usize> = entry
                    .layers
                    .iter()
                    .filter_map(|layer| layer.forward_index)
                    .collect();
                indices.sort_unstable();
                assert!(
                    indices.iter().copied().eq(0..indices.len()),
                    "{}",
                    entry.title
                );
            }
        }
    }

    #[test]
    fn a_fingerprint_knows_no_order() {
        let of = |paths: &[&str]| {
            let mut fingerprint = Fingerprint::default();
            paths.iter().for_each(|path| fingerprint.add(path));
            fingerprint
        };
        assert_eq!(of(&["conv1", "conv2"]), of(&["conv2", "conv1"]));
        assert_ne!(of(&["conv1", "conv2"]), of(&["conv1", "conv3"]));
    }

    #[test]
    fn damage_is_no_entry() {
        for length in 0..ATLAS.len().min(64) {
            if let Some(atlas) = Atlas::new(&ATLAS[..length]) {
                assert!(atlas.entries(Fingerprint::default()).is_empty());
            }
        }
        assert_eq!(nth("a\t2\n0\tc\t1\t1\t1\t", 0), None);
        assert_eq!(nth("a\t99999999999999999999", 0), None);
    }
}
