//! Copying a whole file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{retried, share_blocks, status};

/// The mode of a copy until it gets that of its source.
const MODE: u32 = 0o600;

/// Bytes that are copied at once.
const PIECE_BYTES: usize = 1 << 20;

/// Which side of a copy failed.
#[derive(Debug)]
pub(crate) enum CopyError {
    Reading(io::Error),
    Writing(io::Error),
}

/// Copies a file, with its permissions, to a free path, sharing blocks if the file system can; returns the copy.
pub(crate) fn copy_to_new(mut source: &File, to: &Path) -> Result<File, CopyError> {
    let permissions = status(source).map_err(CopyError::Reading)?.permissions();
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(MODE);
    let mut copy = options.open(to).map_err(CopyError::Writing)?;
    if !share_blocks(source, &copy) {
        // Not by `io::copy`, which does not tell which side failed.
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let count = retried(|| source.read(&mut buffer)).map_err(CopyError::Reading)?;
            if count == 0 {
                break;
            }
            let written = copy.write_all(&buffer[..count]);
            written.map_err(CopyError::Writing)?;
        }
    }
    let permitted = copy.set_permissions(permissions);
    permitted.map_err(CopyError::Writing)?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_copy_has_bytes_and_mode_and_never_takes_the_place_of_a_file() {
        let desk = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| desk.path().join(name));
        let bytes = vec![7; 2 * PIECE_BYTES + 5];
        fs::write(&from, &bytes).unwrap();
        fs::set_permissions(&from, Permissions::from_mode(0o640)).unwrap();
        let source = File::open(&from).unwrap();
        copy_to_new(&source, &to).unwrap();
        assert!(fs::read(&to).unwrap() == bytes);
        assert_eq!(
            fs::metadata(&to).unwrap().permissions().mode() & 0o777,
            0o640
        );

        // Nor that of its own source, which would be emptied.
        for taken in [&from, &to] {
            let refused = copy_to_new(&source, taken);
            assert!(
                matches!(&refused, Err(CopyError::Writing(error)) if error.kind() == io::ErrorKind::AlreadyExists),
                "{refused:?}"
            );
            assert!(fs::read(taken).unwrap() == bytes);
        }
    }
}
