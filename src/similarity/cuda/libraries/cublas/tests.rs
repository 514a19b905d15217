//! Looking for stand-ins of cuBLAS that a C compiler makes.

use std::cell::Cell;
use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::super::candidates::OVERRIDE;
use super::super::candidates::tests::environment;
use super::super::search::Attempt;
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
        for function in FUNCTIONS.iter().map(|name| name.to_str().unwrap()) {
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
fn find(
    environment: &Environment,
    driver: Option<Version>,
    serving: Option<&Path>,
) -> LibrarySearch {
    let asked = Cell::new(environment.override_path().is_some());
    let by_name = |_: &str| match serving {
        Some(serving) if asked.replace(true) => open_file(serving),
        _ => Err(Fault::NotThere),
    };
    let requirements = Requirements {
        driver,
        by_name: &by_name,
    };
    super::find(environment, &requirements)
}

fn faults(search: &LibrarySearch) -> Vec<(String, Fault)> {
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
    let survey = super::super::Survey {
        driver: LibrarySearch {
            found: Some(driver),
            tried: Vec::new(),
        },
        cublas: search,
    };
    let missing = survey.check().unwrap_err().to_string();
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
