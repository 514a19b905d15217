//! The seed of each checkpoint.

use sha2::{Digest, Sha256};

/// The seed of the checkpoint with this file name, given `--seed`: the first 8 bytes, little-endian, of the SHA-256 of
/// `--seed`'s 8 bytes, little-endian, and the name's, shifted right by 11 bits. So every epoch has its own draws, which do not
/// depend on the order or number of checkpoints, and the 53 bits survive programs that read JSON numbers as float64.
pub fn seed(base: u64, name: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(base.to_le_bytes());
    hash.update(name.as_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let first = digest.first_chunk().expect("a digest has 32 bytes");
    u64::from_le_bytes(*first) >> 11
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From Python: `int.from_bytes(sha256(base.to_bytes(8, "little") + name.encode()).digest()[:8], "little") >> 11`.
    #[test]
    fn a_seed_is_the_same_on_every_machine() {
        assert_eq!(seed(0, "epoch1.safetensors"), 5_953_754_554_394_261);
        assert_eq!(seed(0, "epoch2.safetensors"), 7_249_730_678_777_347);
        assert_eq!(seed(7, "epoch1.safetensors"), 41_243_240_773_204);
        assert_eq!(seed(u64::MAX, "Ärzte.safetensors"), 2_051_584_155_224_027);
    }
}
