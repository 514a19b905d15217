//! cuBLAS, wherever it was installed.

use std::cmp::Reverse;
use std::ffi::{CStr, OsStr, c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

use super::candidates::{self, Candidate, Environment, Source};
use super::fault::Fault;
use super::open::{function, requires};
use super::search::{Library, LibrarySearch};
use super::shared::{self, Format, Shared};
use super::version::{KNOWN, Version};

#[cfg(test)]
mod tests;

/// The functions of cuBLAS that we use.
const FUNCTIONS: [&CStr; 6] = [
    c"cublasCreate_v2",
    c"cublasDestroy_v2",
    c"cublasSetStream_v2",
    c"cublasGemmEx",
    c"cublasGemmStridedBatchedEx",
    c"cublasGetVersion_v2",
];

/// What a cuBLAS must be compatible with.
pub(super) struct Requirements<'a> {
    /// The driver's version, if there is one.
    pub driver: Option<Version>,
    /// Opens a library by name as cudarc will; tests replace it.
    pub by_name: &'a dyn Fn(&str) -> Result<Shared, Fault>,
}

/// Looks for cuBLAS, and keeps it open.
pub(super) fn find(environment: &Environment, requirements: &Requirements<'_>) -> LibrarySearch {
    let mut search = LibrarySearch::default();
    if let Some(path) = environment.override_path() {
        let source = Source::Override;
        let folders = if path.is_dir() {
            vec![path.clone()]
        } else {
            Vec::new()
        };
        if folders.is_empty() {
            look_at(&path, source, requirements, &mut search);
        } else {
            let candidate = Candidate {
                source,
                path,
                folders,
            };
            look_into(&candidate, requirements, &mut search);
        }
        return search;
    }
    let (source, name) = (Source::SystemLoader, "libcublas.so.12, libcublas.so.13");
    match (requirements.by_name)("cublas").and_then(|library| take(library, source, requirements)) {
        Ok(library) => {
            search.found = Some(library);
            return search;
        }
        Err(fault) => search.add(source, name, fault),
    }
    for candidate in candidates::all(environment) {
        if look_into(&candidate, requirements, &mut search) {
            break;
        }
    }
    search
}

/// Looks for a library in a candidate; returns whether there is one.
fn look_into(
    candidate: &Candidate,
    requirements: &Requirements<'_>,
    search: &mut LibrarySearch,
) -> bool {
    let files: Vec<PathBuf> = candidate
        .folders
        .iter()
        .flat_map(|folder| cublas_in(folder))
        .collect();
    if files.is_empty() {
        let fault = if candidate.path.is_dir() {
            Fault::Empty
        } else {
            Fault::NotThere
        };
        search.add(candidate.source, &candidate.path, fault);
    }
    files
        .iter()
        .any(|file| look_at(file, candidate.source, requirements, search))
}

/// The files of cuBLAS in a folder, the newest version first and each file once.
fn cublas_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<(Vec<u32>, PathBuf)> = candidates::entries(folder)
        .into_iter()
        .filter_map(|path| {
            let version = path.file_name()?.to_str()?.strip_prefix("libcublas.so")?;
            let numbers: Result<Vec<u32>, _> = version.split('.').skip(1).map(str::parse).collect();
            Some((numbers.ok()?, path))
        })
        .collect();
    // The shortest name of each major version comes first: the longer ones are links to the same file.
    files.sort_by_key(|(version, _)| (Reverse(version.first().copied()), version.len()));
    let mut seen = Vec::new();
    files.retain(|(_, path)| {
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        let is_new = !seen.contains(&real);
        seen.push(real);
        is_new
    });
    files.into_iter().map(|(_, path)| path).collect()
}

/// Looks at a file; returns whether it is a library that can be used.
fn look_at(
    path: &Path,
    source: Source,
    requirements: &Requirements<'_>,
    search: &mut LibrarySearch,
) -> bool {
    match open_file(path).and_then(|library| take(library, source, requirements)) {
        Ok(library) => {
            search.found = Some(library);
            true
        }
        Err(fault) => {
            search.add(source, path, fault);
            false
        }
    }
}

/// Opens cuBLAS by its path, after libcublasLt, which it needs and which lies beside it.
fn open_file(path: &Path) -> Result<Shared, Fault> {
    if !path.exists() {
        return Err(Fault::NotThere);
    }
    match shared::format_of(path) {
        Err(error) => return Err(Fault::Unreadable(error.to_string())),
        Ok(Format::NoLibrary) => return Err(Fault::NoLibrary),
        Ok(Format::Foreign) => return Err(Fault::Foreign),
        Ok(Format::Ours) => {}
    }
    // A path without a slash would be searched for.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    // The libraries of a toolkit do not say that libcublasLt is beside them. If it is not, the loader finds it elsewhere or says
    // what is missing.
    let beside = path.file_name().and_then(OsStr::to_str).map(|name| {
        let name = name.replacen("libcublas.", "libcublasLt.", 1);
        Shared::open(path.with_file_name(name).as_os_str())
    });
    let opened = Shared::open(path.as_os_str()).map_err(|reason| {
        let prefix = format!("{}: ", path.display());
        Fault::Refused(reason.strip_prefix(&prefix).unwrap_or(&reason).to_owned())
    });
    // cuBLAS keeps it open from here on.
    drop(beside);
    opened
}

/// Checks that a library is a cuBLAS that can be used and that cudarc will find, and keeps it open if so.
fn take(
    library: Shared,
    source: Source,
    requirements: &Requirements<'_>,
) -> Result<Library, Fault> {
    let (path, version) = check(&library, requirements.driver)?;
    // cudarc asks the system's loader for `libcublas.so` before it asks for the name of a version.
    let serving = (requirements.by_name)("cublas").map_err(|_| Fault::Nameless)?;
    let other = file_with(&serving)?;
    if same_file(&path, &other) {
        library.keep();
        return Ok(Library {
            source,
            path,
            version,
            chosen: None,
        });
    }
    match check(&serving, requirements.driver) {
        Err(fault) => Err(Fault::Overshadowed {
            other,
            fault: Box::new(fault),
        }),
        Ok((_, version)) => {
            serving.keep();
            Ok(Library {
                source,
                path: other,
                version,
                chosen: Some(path),
            })
        }
    }
}

/// The file and the version of a library, if it has all functions that are called and both this program and the driver support
/// its version.
fn check(library: &Shared, driver: Option<Version>) -> Result<(PathBuf, Version), Fault> {
    requires(library, &FUNCTIONS)?;
    let get_version = function(library, c"cublasGetVersion_v2")?;
    Ok((file_with(library)?, usable_version(get_version, driver)?))
}

/// The file from which a cuBLAS was loaded.
fn file_with(library: &Shared) -> Result<PathBuf, Fault> {
    let create = function(library, FUNCTIONS[0])?;
    shared::file_of(create).ok_or(Fault::Nameless)
}

/// The version that `cublasGetVersion_v2` returns, if this program and the driver support it.
fn usable_version(function: NonNull<c_void>, driver: Option<Version>) -> Result<Version, Fault> {
    type GetVersion = unsafe extern "C" fn(*mut c_void, *mut c_int) -> u32;
    // SAFETY: in cuBLAS this is `cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int*)`.
    let get_version: GetVersion = unsafe { std::mem::transmute(function.as_ptr()) };
    let mut number: c_int = 0;
    // SAFETY: it fills the number; it does not use the handle, which needs a GPU.
    let status = unsafe { get_version(std::ptr::null_mut(), &mut number) };
    if status != 0 {
        return Err(Fault::Mute(status));
    }
    let version = Version::of_cublas(number.unsigned_abs());
    match driver {
        _ if version.major < KNOWN[0] => Err(Fault::TooOld(version)),
        _ if version.major > KNOWN[1] => Err(Fault::TooNew(version)),
        // A library runs on every driver of its own major version of CUDA or a later one.
        Some(driver) if version.major > driver.major => Err(Fault::BeyondDriver {
            library: version,
            driver,
        }),
        _ => Ok(version),
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}
