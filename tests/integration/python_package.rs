//! The Python package (`python/tests`) with the program of this build. Tests whose packages `python3` does not have are skipped;
//! `make test-python` has them all.

use crate::common::skipped;
use crate::examples::{has, python_command};

#[test]
fn the_python_package_passes_its_tests() {
    if !has("typing, sys; assert sys.version_info >= (3, 10)") {
        return;
    }
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/python/tests");
    let done = python_command()
        .args(["-m", "unittest", "discover", "--verbose"])
        .current_dir(tests)
        .output()
        .expect("python3 starts");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    let skips: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("skipped"))
        .collect();
    let all = std::env::var_os("INMERGE_REQUIRE_PYTHON").is_some();
    assert!(!all || skips.is_empty(), "{skips:#?}");
    for line in skips {
        skipped(line);
    }
}
