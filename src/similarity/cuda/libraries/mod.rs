//! The two libraries that a GPU takes: the driver's, which comes with it, and cuBLAS, which comes with PyTorch, with conda
//! or with a toolkit.
//!
//! cudarc opens both by their names alone and panics where there are none, or where they lack a function. So they are
//! looked for here first: what the system's loader does not know is opened by its full path, after which it is found by
//! its name, and every function is looked up before it is called.

use std::cmp::Reverse;
use std::ffi::{CStr, OsStr, c_int, c_void};
use std::fmt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::OnceLock;

use cudarc::{driver, get_lib_name_candidates};

use super::places::{self, Environment, Place};
use super::shared::{self, Format, Shared};

pub use super::places::{OVERRIDE, Source};

/// The functions of the driver without which cudarc panics where we use it.
const DRIVER_FUNCTIONS: [&CStr; 35] = [
    c"cuInit",
    c"cuDriverGetVersion",
    c"cuGetErrorName",
    c"cuGetErrorString",
    c"cuDeviceGet",
    c"cuDeviceGetCount",
    c"cuDeviceGetName",
    c"cuDeviceGetAttribute",
    c"cuDeviceTotalMem_v2",
    c"cuDevicePrimaryCtxRetain",
    c"cuDevicePrimaryCtxRelease_v2",
    c"cuCtxSetCurrent",
    c"cuCtxGetCurrent",
    c"cuMemGetInfo_v2",
    c"cuCtxSynchronize",
    c"cuDeviceGetDefaultMemPool",
    c"cuMemPoolSetAttribute",
    c"cuModuleLoadData",
    c"cuModuleUnload",
    c"cuModuleGetFunction",
    c"cuStreamCreate",
    c"cuStreamDestroy_v2",
    c"cuStreamSynchronize",
    c"cuStreamWaitEvent",
    c"cuEventCreate",
    c"cuEventDestroy_v2",
    c"cuEventRecord",
    c"cuMemAlloc_v2",
    c"cuMemAllocAsync",
    c"cuMemFree_v2",
    c"cuMemFreeAsync",
    c"cuMemcpyHtoDAsync_v2",
    c"cuMemcpyDtoHAsync_v2",
    c"cuMemsetD8Async",
    c"cuLaunchKernel",
];

/// The functions of cuBLAS that we use.
const CUBLAS_FUNCTIONS: [&CStr; 5] = [
    c"cublasCreate_v2",
    c"cublasDestroy_v2",
    c"cublasSetStream_v2",
    c"cublasGemmEx",
    c"cublasGetVersion_v2",
];

/// The oldest and the newest CUDA whose libraries we know.
const KNOWN: [u32; 2] = [12, 13];

/// A version of CUDA's or of one of its libraries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// That of CUDA.
    pub major: u32,
    /// The one after it.
    pub minor: u32,
    /// The last; `None` for drivers.
    pub patch: Option<u32>,
}

impl Version {
    /// From the driver's number: 12040 is 12.4.
    fn of_driver(number: u32) -> Self {
        Self {
            major: number / 1000,
            minor: number % 1000 / 10,
            patch: None,
        }
    }

    /// From cuBLAS's number: 120401 is 12.4.1. Those before 12 had one digit less, so 11.4.1 was 11401.
    fn of_cublas(number: u32) -> Self {
        let unit = if number < 100_000 { 1000 } else { 10_000 };
        Self {
            major: number / unit,
            minor: number % unit / 100,
            patch: Some(number % 100),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        self.patch.map_or(Ok(()), |patch| write!(f, ".{patch}"))
    }
}

/// Why a library is not usable, or a place has none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The folder, file or pattern fits nothing.
    #[error("not there")]
    NotThere,
    /// The folder is there, without the library.
    #[error("no libcublas in it")]
    Empty,
    /// A file that cannot be read.
    #[error("cannot be read ({0})")]
    Unreadable(String),
    /// A file of another kind.
    #[error("not a shared library")]
    NoLibrary,
    /// One for another kind of processor.
    #[error("for another processor than this program")]
    Foreign,
    /// The loader refuses it, in its own words.
    #[error("does not load: {0}")]
    Refused(String),
    /// It lacks a function.
    #[error("has no function {0}")]
    Lacks(String),
    /// Older than CUDA 12.
    #[error("too old: version {0}, of before CUDA 12")]
    TooOld(Version),
    /// Newer than CUDA 13.
    #[error("too new: version {0}, of after CUDA 13")]
    TooNew(Version),
    /// The driver is of an older CUDA.
    #[error("version {library} is too new for the driver, which is of CUDA {driver}")]
    BeyondDriver {
        /// Of the library.
        library: Version,
        /// Of the driver.
        driver: Version,
    },
    /// It does not tell its version.
    #[error("does not tell its version (error {0})")]
    Mute(u32),
    /// The file has the name, but the library in it does not.
    #[error("does not call itself libcublas.so.12 or libcublas.so.13")]
    Nameless,
    /// Another file of the name is found first.
    #[error("usable, but the system's loader takes {} for it, which is not: {fault}", other.display())]
    Overshadowed {
        /// The file that is taken.
        other: PathBuf,
        /// Why it is of no use.
        fault: Box<Fault>,
    },
}

/// A library that is loaded and fit for use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// What led to it.
    pub source: Source,
    /// The file whose functions are called.
    pub path: PathBuf,
    /// Of the driver, the CUDA that it is made for; of cuBLAS, its own.
    pub version: Version,
    /// The file that was chosen, where the system's loader takes another one, as good, in its place.
    pub chosen: Option<PathBuf>,
}

/// A place that was of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What led to it.
    pub source: Source,
    /// A folder, a file, a pattern, or a name for the system's loader.
    pub path: PathBuf,
    /// What was wrong.
    pub fault: Fault,
}

/// What looking for a library came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// The first one that is fit for use.
    pub found: Option<Library>,
    /// What was tried before, in order.
    pub tried: Vec<Attempt>,
}

impl Search {
    fn add(&mut self, source: Source, path: impl Into<PathBuf>, fault: Fault) {
        self.tried.push(Attempt {
            source,
            path: path.into(),
            fault,
        });
    }
}

/// Both searches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// For the driver's library.
    pub driver: Search,
    /// For cuBLAS.
    pub cublas: Search,
}

/// The libraries that a GPU takes, loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The driver's.
    pub driver: Library,
    /// cuBLAS.
    pub cublas: Library,
}

/// What a GPU takes that this machine does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// No driver.
    #[error(
        "there is no NVIDIA driver here (libcuda.so.1 {0}); install one, of 525 or later, or give the container the GPUs"
    )]
    Driver(Fault),
    /// A driver of before CUDA 12.
    #[error(
        "the NVIDIA driver is of CUDA {0}, and CUDA 12 or later is needed; install one of 525 or later"
    )]
    OldDriver(Version),
    /// No cuBLAS.
    #[error(
        "there is no cuBLAS of CUDA 12 or 13 here ({places} places were tried, see `inmerge-ckpt doctor`); install it with `pip install {package}`, or name its file in {OVERRIDE}"
    )]
    Cublas {
        /// Places tried.
        places: usize,
        /// The package that suits the driver.
        package: &'static str,
    },
    /// That which the user named is not usable.
    #[error("{OVERRIDE}={}: {fault}; name a usable libcublas.so, or its folder, or unset it", path.display())]
    Override {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
}

impl Survey {
    /// Both libraries, or what is missing first.
    ///
    /// # Errors
    ///
    /// [`Missing`], which names the remedy.
    pub fn loaded(&self) -> Result<Loaded, Missing> {
        let driver = self.driver()?.clone();
        if let Some(cublas) = self.cublas.found.clone() {
            return Ok(Loaded { driver, cublas });
        }
        let own = |attempt: &&Attempt| attempt.source == Source::Override;
        Err(match self.cublas.tried.iter().find(own) {
            Some(Attempt { path, fault, .. }) => Missing::Override {
                path: path.clone(),
                fault: fault.clone(),
            },
            None => Missing::Cublas {
                places: self.cublas.tried.len(),
                package: match driver.version.major {
                    12 => "nvidia-cublas-cu12",
                    _ => "nvidia-cublas",
                },
            },
        })
    }

    /// The driver's library, which alone tells which GPUs there are.
    ///
    /// # Errors
    ///
    /// [`Missing`], which names the remedy.
    pub fn driver(&self) -> Result<&Library, Missing> {
        self.driver.found.as_ref().ok_or_else(|| {
            match self.driver.tried.last().map(|attempt| &attempt.fault) {
                Some(&Fault::TooOld(version)) => Missing::OldDriver(version),
                Some(fault) => Missing::Driver(fault.clone()),
                None => Missing::Driver(Fault::NotThere),
            }
        })
    }
}

/// Loads both libraries, once per process.
///
/// # Errors
///
/// [`Missing`], which names the remedy; then nothing of cudarc may be called, which would panic.
pub fn load() -> Result<Loaded, Missing> {
    survey().loaded()
}

/// Looks for both libraries, once per process, and leaves those open that it found.
pub fn survey() -> &'static Survey {
    static SURVEY: OnceLock<Survey> = OnceLock::new();
    SURVEY.get_or_init(|| {
        let driver = find_driver();
        let version = driver.found.as_ref().map(|library| library.version);
        let wanted = Wanted {
            driver: version,
            by_name: &open_by_name,
        };
        let cublas = find_cublas(&Environment::of_process(), &wanted);
        Survey { driver, cublas }
    })
}

/// Looks for the driver's library, as cudarc will.
fn find_driver() -> Search {
    let mut search = Search::default();
    let (source, name) = (Source::SystemLoader, "libcuda.so.1");
    let check = |library: &Shared| {
        requires(library, &DRIVER_FUNCTIONS)?;
        let mut number: c_int = 0;
        // SAFETY: the library has the function, and needs no initialisation to run it.
        let result = unsafe { driver::sys::cuDriverGetVersion(&mut number) };
        if result != driver::sys::CUresult::CUDA_SUCCESS {
            return Err(Fault::Mute(result as u32));
        }
        let version = Version::of_driver(number.unsigned_abs());
        match version.major < KNOWN[0] {
            true => Err(Fault::TooOld(version)),
            false => Ok(version),
        }
    };
    match open_by_name("cuda") {
        Err(fault) => search.add(source, name, fault),
        Ok(library) => match check(&library) {
            Err(fault) => search.add(source, name, fault),
            Ok(version) => {
                let function = library.function(DRIVER_FUNCTIONS[0]);
                search.found = Some(Library {
                    source,
                    path: function
                        .and_then(shared::file_of)
                        .unwrap_or_else(|| name.into()),
                    version,
                    chosen: None,
                });
                library.keep();
            }
        },
    }
    search
}

/// Opens a library by the names that cudarc tries, in its order: so it is the same one.
fn open_by_name(library: &str) -> Result<Shared, Fault> {
    // The names that NVIDIA uses; the reasons of all are the same but for the name, unless one is there and broken.
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

/// What cuBLAS has to go with.
struct Wanted<'a> {
    /// The driver's version, if there is one.
    driver: Option<Version>,
    /// Opens a library as cudarc will, by its name: [`open_by_name`], but for tests.
    by_name: &'a dyn Fn(&str) -> Result<Shared, Fault>,
}

/// Looks for cuBLAS, and leaves it open.
fn find_cublas(environment: &Environment, wanted: &Wanted<'_>) -> Search {
    let mut search = Search::default();
    if let Some(path) = environment.override_path() {
        let source = Source::Override;
        let folders = if path.is_dir() {
            vec![path.clone()]
        } else {
            Vec::new()
        };
        if folders.is_empty() {
            look_at(&path, source, wanted, &mut search);
        } else {
            let place = Place {
                source,
                path,
                folders,
            };
            look_into(&place, wanted, &mut search);
        }
        return search;
    }
    let (source, name) = (Source::SystemLoader, "libcublas.so.12, libcublas.so.13");
    match (wanted.by_name)("cublas").and_then(|library| take(library, source, wanted)) {
        Ok(library) => {
            search.found = Some(library);
            return search;
        }
        Err(fault) => search.add(source, name, fault),
    }
    for place in places::places(environment) {
        if look_into(&place, wanted, &mut search) {
            break;
        }
    }
    search
}

/// Looks for a library in a place. Whether there is one.
fn look_into(place: &Place, wanted: &Wanted<'_>, search: &mut Search) -> bool {
    let files: Vec<PathBuf> = place
        .folders
        .iter()
        .flat_map(|folder| cublas_in(folder))
        .collect();
    if files.is_empty() {
        let fault = match place.path.is_dir() {
            true => Fault::Empty,
            false => Fault::NotThere,
        };
        search.add(place.source, &place.path, fault);
    }
    files
        .iter()
        .any(|file| look_at(file, place.source, wanted, search))
}

/// The files of cuBLAS in a folder, the newest version first and each once.
fn cublas_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<(Vec<u32>, PathBuf)> = places::entries(folder)
        .into_iter()
        .filter_map(|path| {
            let version = path.file_name()?.to_str()?.strip_prefix("libcublas.so")?;
            let numbers: Result<Vec<u32>, _> = version.split('.').skip(1).map(str::parse).collect();
            Some((numbers.ok()?, path))
        })
        .collect();
    // Of 13, 12.4 and 12, which are links to each other, 13 and 12.
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

/// Looks at a file. Whether it is a library that can be used.
fn look_at(path: &Path, source: Source, wanted: &Wanted<'_>, search: &mut Search) -> bool {
    match open_file(path).and_then(|library| take(library, source, wanted)) {
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

/// Opens cuBLAS by its path, and before it the part of it that it needs, which lies beside it.
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
    // Toolkits' libraries do not say that what they need is beside them. If it is not there the loader knows where it is,
    // or says what is missing.
    let beside = path.file_name().and_then(OsStr::to_str).map(|name| {
        let name = name.replacen("libcublas.", "libcublasLt.", 1);
        Shared::open(path.with_file_name(name).as_os_str())
    });
    let opened = Shared::open(path.as_os_str()).map_err(|reason| {
        let prefix = format!("{}: ", path.display());
        Fault::Refused(reason.strip_prefix(&prefix).unwrap_or(&reason).to_owned())
    });
    // From here on the library that needs it keeps it open.
    drop(beside);
    opened
}

/// Checks that a library is a cuBLAS that we can use and that cudarc will find, and leaves it open if so.
fn take(library: Shared, source: Source, wanted: &Wanted<'_>) -> Result<Library, Fault> {
    let (path, version) = check(&library, wanted.driver)?;
    // cudarc asks the system's loader for `libcublas.so` before it asks for the name of a version.
    let serving = (wanted.by_name)("cublas").map_err(|_| Fault::Nameless)?;
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
    match check(&serving, wanted.driver) {
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

/// The file and the version of a library, if it has all that we call and is of a version that we and the driver know.
fn check(library: &Shared, driver: Option<Version>) -> Result<(PathBuf, Version), Fault> {
    requires(library, &CUBLAS_FUNCTIONS)?;
    let get_version = function(library, c"cublasGetVersion_v2")?;
    Ok((file_with(library)?, usable_version(get_version, driver)?))
}

/// The file that serves a cuBLAS's first function.
fn file_with(library: &Shared) -> Result<PathBuf, Fault> {
    let create = function(library, CUBLAS_FUNCTIONS[0])?;
    shared::file_of(create).ok_or(Fault::Nameless)
}

fn function(library: &Shared, name: &CStr) -> Result<NonNull<c_void>, Fault> {
    library.function(name).ok_or_else(|| lacks(name))
}

fn requires(library: &Shared, functions: &[&CStr]) -> Result<(), Fault> {
    let missing = functions
        .iter()
        .find(|name| library.function(name).is_none());
    missing.map_or(Ok(()), |name| Err(lacks(name)))
}

fn lacks(function: &CStr) -> Fault {
    Fault::Lacks(function.to_string_lossy().into_owned())
}

/// The version that `cublasGetVersion_v2` tells, if we and the driver know it.
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
        // The libraries of a CUDA run on all drivers of it, but on none before.
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;
    use std::process::Command;

    use tempfile::TempDir;

    use super::super::places::tests::environment;
    use super::*;

    const DRIVER_12: Option<Version> = Some(Version {
        major: 12,
        minor: 2,
        patch: None,
    });

    /// A stand-in for cuBLAS: what tells one library from another.
    struct StandIn {
        soname: &'static str,
        number: u32,
        lacks: &'static str,
    }

    const GOOD: StandIn = StandIn {
        soname: "libcublas.so.12",
        number: 120_401,
        lacks: "",
    };

    /// Compiles a shared library. Without a C compiler, which Rust takes too, there is none.
    fn compile(source: &str, out: &Path, more: &[&OsStr]) -> bool {
        let c_file = out.with_extension("c");
        fs::write(&c_file, source).unwrap();
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-o"])
            .arg(out)
            .arg(&c_file)
            .args(more);
        let Ok(status) = cc.status() else {
            assert!(
                std::env::var_os("INMERGE_REQUIRE_CXX").is_none(),
                "no C compiler"
            );
            eprintln!("skipped: there is no C compiler");
            return false;
        };
        assert!(status.success(), "{cc:?}");
        fs::remove_file(c_file).unwrap();
        true
    }

    impl StandIn {
        /// Makes it and, as a library that it needs but does not know the place of, `libcublasLt`.
        fn make(&self, file: &Path) -> bool {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            let name = file.file_name().unwrap().to_str().unwrap();
            let beside = file.with_file_name(name.replacen("cublas.", "cublasLt.", 1));
            let of = |soname: &str| OsStr::new(&format!("-Wl,-soname,{soname}")).to_owned();
            let soname_beside = of(&self.soname.replacen("cublas.", "cublasLt.", 1));
            let mut source = "int from_lt(void);\n".to_owned();
            for function in CUBLAS_FUNCTIONS.iter().map(|name| name.to_str().unwrap()) {
                source += &match function {
                    _ if function == self.lacks => continue,
                    "cublasGetVersion_v2" => format!(
                        "int {function}(void *h, int *v) {{ *v = {}; return h ? 1 : from_lt(); }}\n",
                        self.number
                    ),
                    _ => format!("int {function}(void) {{ return 1; }}\n"),
                };
            }
            compile(
                "int from_lt(void) { return 0; }\n",
                &beside,
                &[&soname_beside],
            ) && compile(&source, file, &[&of(self.soname), beside.as_os_str()])
        }
    }

    /// Looks for cuBLAS where the system's loader knows none, and opens `serving` by the name once one is chosen.
    fn find(environment: &Environment, driver: Option<Version>, serving: Option<&Path>) -> Search {
        let asked = Cell::new(environment.override_path().is_some());
        let by_name = |_: &str| match serving {
            Some(serving) if asked.replace(true) => open_file(serving),
            _ => Err(Fault::NotThere),
        };
        let wanted = Wanted {
            driver,
            by_name: &by_name,
        };
        find_cublas(environment, &wanted)
    }

    fn faults(search: &Search) -> Vec<(String, Fault)> {
        let name = |attempt: &Attempt| attempt.source.to_string();
        let tried = search.tried.iter();
        tried
            .map(|attempt| (name(attempt), attempt.fault.clone()))
            .collect()
    }

    fn fault(source: &str, fault: Fault) -> (String, Fault) {
        (source.to_owned(), fault)
    }

    #[test]
    fn a_bare_machine_names_what_it_tried() {
        let root = TempDir::new().unwrap();
        let search = find(&environment(root.path(), &[]), None, None);
        assert_eq!(search.found, None);
        assert_eq!(
            faults(&search),
            [
                fault("system loader", Fault::NotThere),
                fault("CUDA toolkit", Fault::NotThere)
            ]
        );
    }

    #[test]
    fn pip_s_packages_are_found_with_what_they_need() {
        let root = TempDir::new().unwrap();
        let venv = root.path().join("venv");
        let file = venv.join("lib/python3.12/site-packages/nvidia/cublas/lib/libcublas.so.12");
        if !GOOD.make(&file) {
            return;
        }
        let set = environment(root.path(), &[("VIRTUAL_ENV", &venv)]);
        let search = find(&set, DRIVER_12, Some(&file));
        let library = search.found.as_ref().expect("a library");
        assert!(same_file(&library.path, &file), "{search:?}");
        assert_eq!(library.source, Source::Environment("VIRTUAL_ENV"));
        assert_eq!(library.version.to_string(), "12.4.1");
        assert_eq!(library.chosen, None);
        assert_eq!(search.tried.len(), 2, "{search:?}");
    }

    #[test]
    fn each_fault_is_told_and_the_search_goes_on() {
        let root = TempDir::new().unwrap();
        let local = |version: &str| root.path().join(format!("usr/local/cuda-{version}/lib64"));
        let named = |version: &str, soname: &str| local(version).join(soname);
        for version in ["12.9", "12.8", "12.7", "12.6"] {
            fs::create_dir_all(local(version)).unwrap();
        }
        fs::write(named("12.9", "libcublas.so.12"), "INPUT(elsewhere)\n").unwrap();
        let mut foreign = fs::read(std::env::current_exe().unwrap()).unwrap()[..64].to_vec();
        foreign[18] ^= 0xff;
        fs::write(named("12.8", "libcublas.so.12"), &foreign).unwrap();
        foreign[18] ^= 0xff;
        fs::write(named("12.7", "libcublas.so.12"), &foreign).unwrap();
        let old = StandIn {
            soname: "libcublas.so.11",
            number: 11_403,
            ..GOOD
        };
        let newer = StandIn {
            soname: "libcublas.so.14",
            number: 140_000,
            ..GOOD
        };
        let bare = StandIn {
            lacks: "cublasGemmEx",
            ..GOOD
        };
        let good = named("9.2", "libcublas.so.12");
        let made = old.make(&named("12.5", "libcublas.so.11"))
            && newer.make(&named("12.4", "libcublas.so.14"))
            && bare.make(&named("12.3", "libcublas.so.12"))
            && GOOD.make(&good);
        if !made {
            return;
        }
        let search = find(&environment(root.path(), &[]), None, Some(&good));
        assert!(same_file(&search.found.as_ref().unwrap().path, &good));
        let version = |major, minor, patch| Version {
            major,
            minor,
            patch: Some(patch),
        };
        let mut faults = faults(&search);
        let truncated = faults.remove(3);
        assert!(matches!(&truncated.1, Fault::Refused(reason) if !reason.is_empty()));
        let toolkit = |of| fault("CUDA toolkit", of);
        assert_eq!(
            faults,
            [
                fault("system loader", Fault::NotThere),
                toolkit(Fault::NoLibrary),
                toolkit(Fault::Foreign),
                toolkit(Fault::Empty),
                toolkit(Fault::TooOld(version(11, 4, 3))),
                toolkit(Fault::TooNew(version(14, 0, 0))),
                toolkit(Fault::Lacks("cublasGemmEx".to_owned())),
            ]
        );
    }

    #[test]
    fn a_library_goes_with_the_driver() {
        let root = TempDir::new().unwrap();
        let conda = root.path().join("conda");
        let site = conda.join("lib/python3.11/site-packages/nvidia");
        let (newer, good) = (
            conda.join("lib/libcublas.so.13"),
            site.join("cu12/lib/libcublas.so.12"),
        );
        let thirteen = StandIn {
            soname: "libcublas.so.13",
            number: 130_401,
            ..GOOD
        };
        if !(thirteen.make(&newer) && GOOD.make(&good)) {
            return;
        }
        let set = environment(root.path(), &[("CONDA_PREFIX", &conda)]);
        let search = find(&set, DRIVER_12, Some(&good));
        assert!(
            same_file(&search.found.as_ref().unwrap().path, &good),
            "{search:?}"
        );
        let too_new = &search.tried.last().unwrap().fault;
        assert!(matches!(too_new, Fault::BeyondDriver { .. }), "{too_new}");

        let search = find(&set, None, Some(&newer));
        assert!(
            same_file(&search.found.as_ref().unwrap().path, &newer),
            "{search:?}"
        );
    }

    #[test]
    fn what_the_user_names_is_the_only_place() {
        let root = TempDir::new().unwrap();
        let folder = root.path().join("usr/local/cuda/lib64");
        let file = folder.join("libcublas.so.12");
        if !GOOD.make(&file) {
            return;
        }
        for path in [&folder, &file] {
            let set = environment(root.path(), &[(OVERRIDE, path)]);
            let search = find(&set, None, Some(&file));
            assert_eq!(search.found.unwrap().source, Source::Override);
            assert_eq!(search.tried, []);
        }
        let gone = root.path().join("gone");
        let search = find(
            &environment(root.path(), &[(OVERRIDE, &gone)]),
            None,
            Some(&file),
        );
        assert_eq!(faults(&search), [fault(OVERRIDE, Fault::NotThere)]);
        let driver = Library {
            source: Source::SystemLoader,
            path: "libcuda.so.1".into(),
            version: DRIVER_12.unwrap(),
            chosen: None,
        };
        let survey = Survey {
            driver: Search {
                found: Some(driver),
                tried: Vec::new(),
            },
            cublas: search,
        };
        let missing = survey.loaded().unwrap_err().to_string();
        assert!(missing.starts_with(&format!("INMERGE_CUBLAS={}: not there;", gone.display())));
    }

    #[test]
    fn what_cudarc_would_call_is_what_counts() {
        let root = TempDir::new().unwrap();
        let (own, other, old) = (
            root.path().join("own/libcublas.so.12"),
            root.path().join("other/libcublas.so.12"),
            root.path().join("old/libcublas.so.11"),
        );
        let eleven = StandIn {
            soname: "libcublas.so.11",
            number: 11_403,
            ..GOOD
        };
        if !(GOOD.make(&own) && GOOD.make(&other) && eleven.make(&old)) {
            return;
        }
        let set = environment(root.path(), &[(OVERRIDE, &own)]);
        let found = find(&set, None, Some(&other))
            .found
            .expect("another one, as good");
        assert!(same_file(&found.path, &other));
        assert!(same_file(found.chosen.as_ref().unwrap(), &own));

        let search = find(&set, None, Some(&old));
        assert_eq!(search.found, None);
        let message = search.tried[0].fault.to_string();
        assert!(
            message.contains(&old.display().to_string()) && message.contains("too old"),
            "{message}"
        );
        assert_eq!(find(&set, None, None).tried[0].fault, Fault::Nameless);
    }

    #[test]
    fn versions_are_read_off_their_numbers() {
        assert_eq!(Version::of_driver(12_040).to_string(), "12.4");
        assert_eq!(Version::of_driver(13_000).to_string(), "13.0");
        assert_eq!(Version::of_cublas(130_401).to_string(), "13.4.1");
        assert_eq!(Version::of_cublas(120_103).to_string(), "12.1.3");
    }

    #[test]
    fn what_is_missing_names_the_remedy() {
        let driver = |version| Search {
            found: Some(Library {
                source: Source::SystemLoader,
                path: "libcuda.so.1".into(),
                version: Version::of_driver(version),
                chosen: None,
            }),
            tried: Vec::new(),
        };
        let failed = |fault| {
            let mut search = Search::default();
            search.add(Source::SystemLoader, "libcuda.so.1", fault);
            search
        };
        let message = |driver, cublas| Survey { driver, cublas }.loaded().unwrap_err().to_string();
        let none = failed(Fault::NotThere);
        assert!(message(driver(12_040), none.clone()).contains("pip install nvidia-cublas-cu12"));
        assert!(message(driver(13_000), none.clone()).contains("pip install nvidia-cublas`"));
        assert!(message(none.clone(), none.clone()).contains("install one, of 525 or later"));
        let old = failed(Fault::TooOld(Version::of_driver(11_080)));
        assert!(message(old, none).contains("is of CUDA 11.8"));
    }
}
