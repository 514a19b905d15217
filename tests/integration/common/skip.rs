//! Tests that do not run on this machine. Every test program includes this file.

use std::io::{Write, stderr};

/// Says that a test, or a part of one, does not run here. Unlike `eprintln!`, it shows where the test passes.
pub fn skipped(why: &str) {
    let _ = writeln!(stderr(), "skipped: {why}");
}
