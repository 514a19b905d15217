//! The two libraries that a GPU needs: the driver's, which comes with the driver, and cuBLAS, which comes with PyTorch, conda or
//! a CUDA toolkit.
//!
//! cudarc opens both by name only, and panics if one is missing or lacks a function. So they are looked for here first: a
//! library that the system's loader does not find is opened by its full path, after which it is found by name, and every
//! function is looked up before it is called.

mod candidates;
mod cublas;
mod driver;
mod fault;
mod open;
mod search;
mod shared;
mod version;

use std::path::PathBuf;
use std::sync::OnceLock;

use candidates::Environment;
use cublas::Requirements;
use open::open_by_name;

pub use candidates::{OVERRIDE, Source};
pub use fault::Fault;
pub use search::{Attempt, Library, LibrarySearch};
pub use version::Version;

/// The searches for both libraries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The one for the driver's library.
    pub driver: LibrarySearch,
    /// The one for cuBLAS.
    pub cublas: LibrarySearch,
}

/// A library that a GPU needs is missing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// There is no driver.
    #[error(
        "there is no NVIDIA driver here (libcuda.so.1 {0}); install one, of 525 or later, or give the container the GPUs"
    )]
    Driver(Fault),
    /// A driver of before CUDA 12.
    #[error(
        "the NVIDIA driver is of CUDA {0}, and CUDA 12 or later is needed; install one of 525 or later"
    )]
    OldDriver(Version),
    /// There is no cuBLAS.
    #[error(
        "there is no cuBLAS of CUDA 12 or 13 here ({places} places were tried, see `inmerge-ckpt doctor`); install it with `pip install {package}`, or name its file in {OVERRIDE}"
    )]
    Cublas {
        /// Number of places that were tried.
        places: usize,
        /// The pip package that fits the driver.
        package: &'static str,
    },
    /// The one that the user named cannot be used.
    #[error("{OVERRIDE}={}: {fault}; name a usable libcublas.so, or its folder, or unset it", path.display())]
    Override {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
}

impl Survey {
    /// Checks that both libraries were found.
    ///
    /// # Errors
    ///
    /// [`Missing`], for the first one that was not; it names the remedy.
    pub fn check(&self) -> Result<(), Missing> {
        let driver = self.driver()?;
        if self.cublas.found.is_some() {
            return Ok(());
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

    /// The driver's library, which is enough to list the GPUs.
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
/// [`Missing`], which names the remedy; cudarc must not be called then, as it would panic.
pub fn load() -> Result<(), Missing> {
    survey().check()
}

/// Looks for both libraries, once per process, and keeps those open that it found.
pub fn survey() -> &'static Survey {
    static SURVEY: OnceLock<Survey> = OnceLock::new();
    SURVEY.get_or_init(|| {
        let driver = driver::find();
        let requirements = Requirements {
            driver: driver.found.as_ref().map(|library| library.version),
            by_name: &open_by_name,
        };
        let cublas = cublas::find(&Environment::of_process(), &requirements);
        Survey { driver, cublas }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_names_the_remedy() {
        let driver = |version| LibrarySearch {
            found: Some(Library {
                source: Source::SystemLoader,
                path: "libcuda.so.1".into(),
                version: Version::of_driver(version),
                chosen: None,
            }),
            tried: Vec::new(),
        };
        let failed = |fault| {
            let mut search = LibrarySearch::default();
            search.add(Source::SystemLoader, "libcuda.so.1", fault);
            search
        };
        let message = |driver, cublas| Survey { driver, cublas }.check().unwrap_err().to_string();
        let none = failed(Fault::NotThere);
        assert!(message(driver(12_040), none.clone()).contains("pip install nvidia-cublas-cu12"));
        assert!(message(driver(13_000), none.clone()).contains("pip install nvidia-cublas`"));
        assert!(message(none.clone(), none.clone()).contains("install one, of 525 or later"));
        let old = failed(Fault::TooOld(Version::of_driver(11_080)));
        assert!(message(old, none).contains("is of CUDA 11.8"));
    }
}
