//! How the names of checkpoints end.

use std::ffi::OsStr;
use std::path::Path;

/// How the names of files of `torch.save` end.
pub const TORCH_ENDINGS: [&str; 4] = ["pt", "pth", "ckpt", "bin"];

/// Whether a file's name ends like this.
pub(super) fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().and_then(OsStr::to_str);
    ending.is_some_and(|ending| endings.contains(&ending))
}
