//! Opening a library, and looking up the functions that are called in it.

use std::ffi::{CStr, OsStr, c_void};
use std::ptr::NonNull;

use cudarc::get_lib_name_candidates;

use super::fault::Fault;
use super::shared::Shared;

/// Opens a library by the names that cudarc tries, in the same order, so that it is the same file.
pub(super) fn open_by_name(library: &str) -> Result<Shared, Fault> {
    // The reasons differ only by the name, unless one of the files is there and broken.
    let mut reasons: Vec<String> = Vec::new();
    for name in get_lib_name_candidates(library) {
        match Shared::open(OsStr::new(&name)) {
            Ok(library) => return Ok(library),
            Err(reason) => {
                let prefix = format!("{name}: ");
                let reason = reason.strip_prefix(&prefix).unwrap_or(&reason).to_owned();
                if !reasons.contains(&reason) {
                    reasons.push(reason);
                }
            }
        }
    }
    Err(Fault::Refused(reasons.join("; ")))
}

/// Where a function of a library is.
pub(super) fn function(library: &Shared, name: &CStr) -> Result<NonNull<c_void>, Fault> {
    library.function(name).ok_or_else(|| lacks(name))
}

/// Checks that a library has all of these functions.
pub(super) fn requires(library: &Shared, functions: &[&CStr]) -> Result<(), Fault> {
    let missing = functions
        .iter()
        .find(|name| library.function(name).is_none());
    missing.map_or(Ok(()), |name| Err(lacks(name)))
}

fn lacks(function: &CStr) -> Fault {
    Fault::Lacks(function.to_string_lossy().into_owned())
}
