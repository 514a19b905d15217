//! Shared libraries, opened while the program runs.

use std::ffi::{CStr, CString, OsStr, c_void};
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

/// A shared library that is open until it is dropped.
#[derive(Debug)]
pub(super) struct Shared(NonNull<c_void>);

impl Shared {
    /// Opens a library: a name without a slash is for the system's loader to find.
    ///
    /// # Errors
    ///
    /// The loader's own words.
    pub fn open(name: &OsStr) -> Result<Self, String> {
        let Ok(c_name) = CString::new(name.as_bytes()) else {
            return Err("the name holds a NUL".to_owned());
        };
        // Local, as every user looks its functions up in the library itself: none of them is to take another's place.
        // SAFETY: the name ends with a NUL. Opening runs the library's own initialisers, which is what loading it means.
        let handle = unsafe { libc::dlopen(c_name.as_ptr(), libc::RTLD_LAZY | libc::RTLD_LOCAL) };
        NonNull::new(handle).map(Self).ok_or_else(|| {
            // SAFETY: the loader's message for this thread, valid until its next call.
            let message = unsafe { libc::dlerror() };
            if message.is_null() {
                return "the loader gives no reason".to_owned();
            }
            // SAFETY: as above, it is a string that ends with a NUL.
            let message = unsafe { CStr::from_ptr(message) }.to_string_lossy();
            message.lines().next().unwrap_or_default().to_owned()
        })
    }

    /// Where a function of the library is, if it has it.
    pub fn function(&self, name: &CStr) -> Option<NonNull<c_void>> {
        // SAFETY: the handle is that of an open library and the name ends with a NUL.
        NonNull::new(unsafe { libc::dlsym(self.0.as_ptr(), name.as_ptr()) })
    }

    /// Leaves the library open for as long as the process lives.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the handle is that of an open library, and nothing that was looked up in it outlives `self`. What cannot
        // be closed stays open.
        unsafe { libc::dlclose(self.0.as_ptr()) };
    }
}

/// The file that a function was loaded from.
pub(super) fn file_of(function: NonNull<c_void>) -> Option<PathBuf> {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: it compares the address with those of the loaded libraries and fills `info`.
    let known = unsafe { libc::dladdr(function.as_ptr(), info.as_mut_ptr()) } != 0;
    // SAFETY: all of its fields may be zero.
    let info = unsafe { info.assume_init() };
    (known && !info.dli_fname.is_null()).then(|| {
        // SAFETY: the loader's name of the file, valid while the library is loaded.
        let name = unsafe { CStr::from_ptr(info.dli_fname) };
        PathBuf::from(OsStr::from_bytes(name.to_bytes()))
    })
}

/// What a file is to this program's loader, from its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Libraries like this can be loaded, as far as its first bytes tell.
    Ours,
    /// One for another CPU.
    Foreign,
    /// No ELF file, which libraries are here.
    NoLibrary,
}

/// Reads what a file is.
///
/// # Errors
///
/// Where it cannot be read.
pub(super) fn format_of(file: &Path) -> io::Result<Format> {
    // Others, such as a named pipe, may have nobody to read from for ever.
    if !file.metadata()?.is_file() {
        return Ok(Format::NoLibrary);
    }
    // The first fields of an ELF file: its magic, whether it is of 64 bits, their order; at 18 the CPU.
    let mut head = Vec::new();
    File::open(file)?.take(20).read_to_end(&mut head)?;
    if !cfg!(target_os = "linux") {
        return Ok(Format::Ours);
    }
    if head.len() < 20 || !head.starts_with(b"\x7fELF") {
        return Ok(Format::NoLibrary);
    }
    let bits = if cfg!(target_pointer_width = "64") {
        2
    } else {
        1
    };
    let order = if cfg!(target_endian = "little") { 1 } else { 2 };
    let machine = u16::from_ne_bytes([head[18], head[19]]);
    let known = match std::env::consts::ARCH {
        "x86_64" => Some(62),
        "aarch64" => Some(183),
        _ => None,
    };
    let ours = head[4] == bits && head[5] == order && known.is_none_or(|known| known == machine);
    Ok(if ours { Format::Ours } else { Format::Foreign })
}
