//! How the names of checkpoints end.

use std::ffi::OsStr;
use std::path::Path;

/// How the names of files of `torch.save` end.
pub(crate) const TORCH_ENDINGS: [&str; 4] = ["pt", "pth", "ckpt", "bin"];

/// How the names of other libraries' weights end, which this program does not read.
pub(crate) const FOREIGN_ENDINGS: [&str; 6] = ["h5", "keras", "msgpack", "gguf", "onnx", "npz"];

/// Whether a file's name ends like this.
pub(crate) fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().and_then(OsStr::to_str);
    ending.is_some_and(|ending| endings.contains(&ending))
}
