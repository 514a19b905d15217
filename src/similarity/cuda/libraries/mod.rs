//! The two libraries that a GPU takes: the driver's, which comes with it, and cuBLAS, which comes with PyTorch, with conda
//! or with a toolkit.
//!
//! cudarc opens both by their names alone and panics where there are none, or where they lack a function. So they are
//! looked for here first: what the system's loader does not know is opened by its full path, after which it is found by
//! its name, and every function is looked up before it is called.

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

/// Both searches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// For the driver's library.
    pub driver: LibrarySearch,
    /// For cuBLAS.
    pub cublas: LibrarySearch,
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
pub fn load() -> Result<(), Missing> {
    survey().check()
}

/// Looks for both libraries, once per process, and leaves those open that it found.
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
