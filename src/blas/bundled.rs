//! OpenBLAS as a part of the program, in builds that run where it is not installed (`make wheel`).
//!
//! It is a shared library that is written to memory and loaded from there when it is first needed. Linked into the program it would
//! start its threads before `main`, whatever the command, and retry for ever under a memory limit that leaves no room for them.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;

use rustix::fs::{MemfdFlags, memfd_create};

/// The library; the path is given when the program is built with the feature `bundled-openblas`.
static LIBRARY: &[u8] = include_bytes!(env!("INMERGE_OPENBLAS"));

/// A file without a name that holds the library.
///
/// # Errors
///
/// If there is no memory and no disk for it.
pub(super) fn file() -> io::Result<File> {
    let named = |flags| memfd_create("openblas", MemfdFlags::CLOEXEC | flags);
    // Systems that forbid to run what is in memory allow it where that is said; those before Linux 6.3 do not know how to say it.
    let in_memory = named(MemfdFlags::EXEC).or_else(|_| named(MemfdFlags::empty()));
    let mut file = match in_memory {
        Ok(file) => File::from(file),
        Err(_) => tempfile::tempfile()?,
    };
    file.write_all(LIBRARY)?;
    Ok(file)
}

/// The path by which this process can load an open file.
pub(super) fn path(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}
