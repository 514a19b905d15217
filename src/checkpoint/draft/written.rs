//! What was written to an output.

/// A range that was changed, and the checksum of what it must hold.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub shard: usize,
    pub start: usize,
    pub length: usize,
    pub checksum: u32,
}
