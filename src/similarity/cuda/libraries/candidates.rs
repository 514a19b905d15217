//! Where cuBLAS may be, in the order in which it is looked for.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Names cuBLAS, as a file or as the folder that it is in; nothing else is tried then.
pub const OVERRIDE: &str = "INMERGE_CUBLAS";

/// The variables that the search reads.
const VARIABLES: [&str; 9] = [
    OVERRIDE,
    "CUDA_HOME",
    "CUDA_PATH",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "PATH",
    "HOME",
    "PYENV_ROOT",
    "PYENV_VERSION",
];

/// Folders below that of an installed toolkit that hold its libraries.
const TOOLKIT: [&str; 3] = ["lib64", "lib", "targets/x86_64-linux/lib"];

/// Folders below `site-packages` in which pip's packages leave cuBLAS: those of CUDA 12 in a folder a library, those of
/// CUDA 13 all in one.
const PACKAGES: [&str; 3] = ["nvidia/cublas/lib", "nvidia/cu13/lib", "nvidia/cu12/lib"];

/// What the search for libraries depends on.
#[derive(Clone, Debug)]
pub(super) struct Environment {
    variables: BTreeMap<&'static str, OsString>,
    /// The folder that absolute paths not taken from a variable are in: `/`, but for tests.
    root: PathBuf,
}

impl Environment {
    /// That of this process.
    pub fn of_process() -> Self {
        let read = |name| Some((name, std::env::var_os(name)?));
        Self {
            variables: VARIABLES.into_iter().filter_map(read).collect(),
            root: PathBuf::from("/"),
        }
    }

    /// A variable's value; an empty one is none.
    fn variable(&self, name: &str) -> Option<&OsStr> {
        let value = self.variables.get(name)?;
        (!value.is_empty()).then_some(value)
    }

    /// The file or folder that the user named.
    pub fn override_path(&self) -> Option<PathBuf> {
        self.variable(OVERRIDE).map(PathBuf::from)
    }
}

/// What led to a library, or to where one was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The user named it.
    Override,
    /// The system's loader: its cache, its folders, `LD_LIBRARY_PATH`.
    SystemLoader,
    /// The toolkit that a variable names.
    Toolkit(&'static str),
    /// A toolkit where its installer puts it.
    UsrLocal,
    /// The packages of the Python environment that a variable names.
    Environment(&'static str),
    /// The packages of the `python3` that is found first.
    Python,
    /// Packages that a user installed for themselves.
    UserPackages,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Override => f.write_str(OVERRIDE),
            Self::SystemLoader => f.write_str("system loader"),
            Self::Toolkit(variable) | Self::Environment(variable) => f.write_str(variable),
            Self::UsrLocal => f.write_str("CUDA toolkit"),
            Self::Python => f.write_str("python3 on PATH"),
            Self::UserPackages => f.write_str("user's packages"),
        }
    }
}

/// Where a library may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub source: Source,
    /// A folder, or a pattern that no folder fits.
    pub path: PathBuf,
    /// The folders in it that may hold libraries.
    pub folders: Vec<PathBuf>,
}

/// Everything outside the system's loader, in order, each folder once.
pub(super) fn all(environment: &Environment) -> Vec<Candidate> {
    let mut candidates = toolkits(environment);
    for variable in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
        if let Some(prefix) = environment.variable(variable).map(Path::new) {
            let source = Source::Environment(variable);
            if variable == "CONDA_PREFIX" {
                candidates.push(folder(source, prefix.join("lib")));
            }
            candidates.extend(packages(source, prefix));
        }
    }
    for prefix in python_prefixes(environment) {
        candidates.extend(packages(Source::Python, &prefix));
    }
    if let Some(home) = environment.variable("HOME") {
        candidates.extend(packages(
            Source::UserPackages,
            &Path::new(home).join(".local"),
        ));
    }
    each_once(candidates)
}

/// Installed toolkits: those that variables name, then those in `/usr/local`, the newest first.
fn toolkits(environment: &Environment) -> Vec<Candidate> {
    let toolkit = |source, path: PathBuf| Candidate {
        source,
        folders: TOOLKIT.iter().map(|folder| path.join(folder)).collect(),
        path,
    };
    let named = ["CUDA_HOME", "CUDA_PATH"]
        .into_iter()
        .filter_map(|variable| {
            let path = PathBuf::from(environment.variable(variable)?);
            Some(toolkit(Source::Toolkit(variable), path))
        });
    let usr_local = environment.root.join("usr/local");
    let mut installed: Vec<Candidate> = newest_first(&usr_local, "cuda")
        .into_iter()
        .map(|path| toolkit(Source::UsrLocal, path))
        .collect();
    if installed.is_empty() {
        installed.push(nothing(Source::UsrLocal, usr_local.join("cuda*")));
    }
    named.chain(installed).collect()
}

/// The packages of the Pythons below a prefix such as `/usr`; as a pattern if there is no Python.
fn packages(source: Source, prefix: &Path) -> Vec<Candidate> {
    // Fedora has packages with machine code in lib64; Debian calls those of the system otherwise.
    let mut sites: Vec<PathBuf> = ["lib", "lib64"]
        .iter()
        .flat_map(|lib| newest_first(&prefix.join(lib), "python3"))
        .flat_map(|python| ["site-packages", "dist-packages"].map(|site| python.join(site)))
        .filter(|site| site.is_dir())
        .collect();
    if sites.is_empty() {
        sites.push(prefix.join("lib/python3*/site-packages"));
    }
    sites
        .into_iter()
        .map(|path| Candidate {
            source,
            folders: PACKAGES.iter().map(|folder| path.join(folder)).collect(),
            path,
        })
        .collect()
}

/// Where the first `python3` on the path may have its packages. It is not run: that takes as long as a whole merge.
fn python_prefixes(environment: &Environment) -> Vec<PathBuf> {
    let path = environment.variable("PATH").unwrap_or_default();
    let python = std::env::split_paths(path)
        .map(|folder| folder.join("python3"))
        .find(|python| python.is_file());
    let Some(python) = python else {
        return Vec::new();
    };
    if let Some(prefix) = pyenv_prefix(environment, &python) {
        return vec![prefix];
    }
    let above = |file: &Path| Some(file.parent()?.parent()?.to_owned());
    let mut prefixes: Vec<PathBuf> = above(&python).into_iter().collect();
    // An environment's python3 is a link to, or a copy of, that which it was made with.
    let made_with = prefixes.first().and_then(|prefix| {
        let config = fs::read_to_string(prefix.join("pyvenv.cfg")).ok()?;
        let home = config.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == "home").then(|| value.trim().to_owned())
        })?;
        Some(Path::new(&home).parent()?.to_owned())
    });
    prefixes.extend(made_with);
    prefixes.extend(python.canonicalize().ok().and_then(|real| above(&real)));
    let usr = environment.root.join("usr");
    if prefixes.contains(&usr) {
        prefixes.push(usr.join("local"));
    }
    prefixes
}

/// The Python that pyenv's script of this name starts, if it is one: the version that is chosen for the shell, or that for
/// all. One chosen for a folder only is not looked for.
fn pyenv_prefix(environment: &Environment, python: &Path) -> Option<PathBuf> {
    let folder = python.parent()?;
    let root = match environment.variable("PYENV_ROOT") {
        Some(root) if folder == Path::new(root).join("shims") => Path::new(root),
        _ if folder.ends_with("shims") => folder.parent()?,
        _ => return None,
    };
    let chosen = match environment.variable("PYENV_VERSION") {
        Some(version) => version.to_str()?.to_owned(),
        None => fs::read_to_string(root.join("version")).ok()?,
    };
    let version = chosen.split([':', '\n']).next()?.trim();
    let prefix = root.join("versions").join(version);
    prefix.is_dir().then_some(prefix)
}

fn folder(source: Source, path: PathBuf) -> Candidate {
    Candidate {
        source,
        folders: vec![path.clone()],
        path,
    }
}

fn nothing(source: Source, path: PathBuf) -> Candidate {
    Candidate {
        source,
        path,
        folders: Vec::new(),
    }
}

/// The folders of this name and a version in a folder, the newest first; one without a version is what the user or the
/// installer has chosen, and comes before them.
fn newest_first(folder: &Path, name: &str) -> Vec<PathBuf> {
    let mut found: Vec<(Option<Vec<u32>>, PathBuf)> = entries(folder)
        .into_iter()
        .filter_map(|path| {
            let rest = path.file_name()?.to_str()?.strip_prefix(name)?;
            let version = rest.trim_start_matches(['-', '.']);
            let numbers: Option<Vec<u32>> = match version {
                "" => None,
                version => Some(
                    version
                        .split('.')
                        .map(str::parse)
                        .collect::<Result<_, _>>()
                        .ok()?,
                ),
            };
            path.is_dir().then_some((numbers, path))
        })
        .collect();
    found.sort_by_key(|(version, _)| (version.is_some(), Reverse(version.clone())));
    found.into_iter().map(|(_, path)| path).collect()
}

/// What is in a folder, by name; nothing if it cannot be listed.
pub(super) fn entries(folder: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = listed.flatten().map(|entry| entry.path()).collect();
    paths.sort_unstable();
    paths
}

/// Leaves out a folder that is another one by another name.
fn each_once(candidates: Vec<Candidate>) -> Vec<Candidate> {
    let mut seen: Vec<PathBuf> = Vec::new();
    let is_new = |candidate: &Candidate| {
        let real = candidate
            .path
            .canonicalize()
            .unwrap_or_else(|_| candidate.path.clone());
        let is_new = !seen.contains(&real);
        seen.push(real);
        is_new
    };
    candidates.into_iter().filter(is_new).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// An environment with these variables, whose root is a folder that tests make up.
    pub fn environment(root: &Path, variables: &[(&'static str, &Path)]) -> Environment {
        let own = |&(name, value): &(&'static str, &Path)| (name, value.as_os_str().to_owned());
        Environment {
            variables: variables.iter().map(own).collect(),
            root: root.to_owned(),
        }
    }

    fn folders(root: &Path, folders: &[&str]) {
        for folder in folders {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
    }

    /// The candidates by their source and their path below the root.
    fn names(root: &Path, environment: &Environment) -> Vec<String> {
        let name = |candidate: Candidate| {
            let path = candidate.path.strip_prefix(root).unwrap();
            format!("{}: {}", candidate.source, path.display())
        };
        all(environment).into_iter().map(name).collect()
    }

    #[test]
    fn a_bare_machine_has_one_candidate() {
        let root = TempDir::new().unwrap();
        let root = root.path();
        assert_eq!(
            names(root, &environment(root, &[])),
            ["CUDA toolkit: usr/local/cuda*"]
        );
    }

    #[test]
    fn an_empty_variable_is_none() {
        let root = TempDir::new().unwrap();
        let root = root.path();
        let empty = environment(
            root,
            &[(OVERRIDE, Path::new("")), ("CUDA_HOME", Path::new(""))],
        );
        assert_eq!(empty.override_path(), None);
        assert_eq!(names(root, &empty), ["CUDA toolkit: usr/local/cuda*"]);
    }

    #[test]
    fn toolkits_come_in_the_order_of_their_versions() {
        let root = TempDir::new().unwrap();
        let root = root.path();
        folders(
            root,
            &[
                "usr/local/cuda-9.2",
                "usr/local/cuda-12.4",
                "usr/local/cuda-12.10",
                "usr/local/cuda-samples",
                "opt/cuda",
            ],
        );
        let named = environment(root, &[("CUDA_HOME", &root.join("opt/cuda"))]);
        assert_eq!(
            names(root, &named),
            [
                "CUDA_HOME: opt/cuda",
                "CUDA toolkit: usr/local/cuda-12.10",
                "CUDA toolkit: usr/local/cuda-12.4",
                "CUDA toolkit: usr/local/cuda-9.2"
            ]
        );
        // What the installer's link says comes first, and once.
        symlink(
            root.join("usr/local/cuda-12.4"),
            root.join("usr/local/cuda"),
        )
        .unwrap();
        assert_eq!(
            names(root, &environment(root, &[])),
            [
                "CUDA toolkit: usr/local/cuda",
                "CUDA toolkit: usr/local/cuda-12.10",
                "CUDA toolkit: usr/local/cuda-9.2"
            ]
        );
    }

    #[test]
    fn an_environment_s_python_leads_to_that_which_it_was_made_with() {
        let root = TempDir::new().unwrap();
        let root = root.path();
        folders(
            root,
            &[
                "venv/bin",
                "venv/lib/python3.12/site-packages",
                "opt/python/bin",
                "opt/python/lib/python3.12/site-packages",
                "home/.local/lib/python3.9/site-packages",
                "home/.local/lib/python3.12/site-packages",
            ],
        );
        fs::write(root.join("opt/python/bin/python3"), "").unwrap();
        fs::write(root.join("venv/bin/python3"), "").unwrap();
        let home = format!(
            "version = 3\nhome = {}\n",
            root.join("opt/python/bin").display()
        );
        fs::write(root.join("venv/pyvenv.cfg"), home).unwrap();
        let path = std::env::join_paths([root.join("nowhere"), root.join("venv/bin")]).unwrap();
        let set = environment(
            root,
            &[("PATH", Path::new(&path)), ("HOME", &root.join("home"))],
        );
        assert_eq!(
            names(root, &set),
            [
                "CUDA toolkit: usr/local/cuda*",
                "python3 on PATH: venv/lib/python3.12/site-packages",
                "python3 on PATH: opt/python/lib/python3.12/site-packages",
                "user's packages: home/.local/lib/python3.12/site-packages",
                "user's packages: home/.local/lib/python3.9/site-packages",
            ]
        );
    }

    #[test]
    fn conda_has_libraries_of_its_own() {
        let root = TempDir::new().unwrap();
        let root = root.path();
        folders(root, &["conda/lib/python3.11/site-packages"]);
        let conda = environment(
            root,
            &[
                ("CONDA_PREFIX", &root.join("conda")),
                ("VIRTUAL_ENV", &root.join("gone")),
            ],
        );
        assert_eq!(
            names(root, &conda),
            [
                "CUDA toolkit: usr/local/cuda*",
                "VIRTUAL_ENV: gone/lib/python3*/site-packages",
                "CONDA_PREFIX: conda/lib",
                "CONDA_PREFIX: conda/lib/python3.11/site-packages",
            ]
        );
    }

    #[test]
    fn pyenv_s_script_leads_to_the_chosen_version() {
        let root = TempDir::new().unwrap();
        let root = root.path();
        folders(
            root,
            &[
                "pyenv/shims",
                "pyenv/versions/3.11.7/lib/python3.11/site-packages",
                "pyenv/versions/3.12.1/lib/python3.12/site-packages",
            ],
        );
        fs::write(root.join("pyenv/shims/python3"), "#!/bin/sh\n").unwrap();
        fs::write(root.join("pyenv/version"), "3.11.7\n3.12.1\n").unwrap();
        let shims = root.join("pyenv/shims");
        let python = |set: &Environment| names(root, set).pop().unwrap();
        let for_all = environment(root, &[("PATH", &shims)]);
        assert_eq!(
            python(&for_all),
            "python3 on PATH: pyenv/versions/3.11.7/lib/python3.11/site-packages"
        );
        let chosen = [
            ("PATH", shims.as_path()),
            ("PYENV_VERSION", Path::new("3.12.1")),
        ];
        assert_eq!(
            python(&environment(root, &chosen)),
            "python3 on PATH: pyenv/versions/3.12.1/lib/python3.12/site-packages"
        );
    }
}
