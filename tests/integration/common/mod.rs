//! What the modules share. Files that other test programs include too (`#[path]`) hold nothing that those do not use.

mod checkpoint;
pub mod fake_cuda;
mod json;
mod mounted;
mod program;
mod schema;
mod skip;
mod tensors;

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

pub use checkpoint::{Place, kernel_of, places, read_tensors};
pub use json::{json_difference, read_json};
pub use mounted::Mounted;
pub use program::{Run, finish, program, run_with};
pub use schema::parsed;
pub use skip::skipped;
pub use tensors::{Tensor, write_tensors};

/// A path below `fixtures/`: of the folder that the tests were built in, or of `INMERGE_PROJECT` where they were carried to
/// another machine (tests/gpu/check.sh).
pub fn fixture(path: &str) -> PathBuf {
    let project = env::var_os("INMERGE_PROJECT");
    let project = project.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&project).join("fixtures").join(path)
}

/// Runs the program to its end.
pub fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Run {
    run_with(args, |_| ())
}

/// A command line, from words and paths.
macro_rules! args {
    ($($arg:expr),* $(,)?) => {
        vec![$(std::ffi::OsString::from($arg)),*]
    };
}

/// Everything in a folder, so that "nothing happened here" can be said as an equality.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("the folder can be listed");
    entries
        .map(|entry| {
            let path = entry.expect("the folder can be listed").path();
            // A folder or a dangling link has no bytes; that it is there is all there is to compare.
            let bytes = fs::read(&path).unwrap_or_default();
            (path, bytes)
        })
        .collect()
}
