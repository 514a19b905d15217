//! What is tried.

use std::fs;
use std::io::Write;
use std::path::Path;

use super::campaign::{Extent, Findings, go_through};
use super::common::skipped;
use super::scenario::{self, Appears, Output, Scenario};
use super::verdict::Wrong;

/// Goes through scenarios, where that can be done here.
fn findings(scenarios: &[Scenario], extent: Extent) -> Option<Findings> {
    match go_through(scenarios, extent) {
        Ok(findings) => Some(findings),
        Err(why) => {
            skipped(&why);
            None
        }
    }
}

/// Says what was found, and fails where anything was.
fn nothing_is_wrong(extent: Extent) {
    let Some(findings) = findings(scenario::ALL, extent) else {
        return;
    };
    let mut out = std::io::stderr().lock();
    for (wrong, line) in &findings.violations {
        let _ = writeln!(out, "{}: {line}", wrong.name());
    }
    let _ = writeln!(out, "{}", findings.table());
    drop(out);
    assert!(
        findings.violations.is_empty(),
        "INMERGE_TORTURE=… make torture repeats one: the words before its first blank"
    );
}

#[test]
fn nothing_is_lost() {
    nothing_is_wrong(Extent::OneIn(61));
}

/// `make torture`.
#[test]
#[ignore = "takes half an hour; make torture"]
fn everything() {
    nothing_is_wrong(Extent::Everything);
}

const COPY: &str = "while read -r line; do echo \"$line\"; done";

fn poem(desk: &Path) {
    fs::create_dir(desk.join("tmp")).unwrap();
    fs::write(desk.join("in"), "all\nof\nit\n").unwrap();
    fs::write(desk.join("out"), "old\n").unwrap();
}

/// A scenario of a shell's.
fn shell(name: &'static str, words: &'static str) -> Scenario {
    Scenario {
        name,
        make: poem,
        program: Some("sh"),
        words,
        again: "",
        outputs: &[Output {
            path: "out",
            appears: Appears::Whole,
        }],
        is_in_place: false,
    }
}

#[test]
fn programs_that_lose_something_are_found_out() {
    let copy_in_place = format!("-c '{COPY} < in > out; exit 0'");
    let leave = format!("-c '{COPY} < in > .$$.part && mv .$$.part out; exit 0'");
    let crash = format!("-c '{COPY} < in > tmp/x && mv tmp/x out || kill -ABRT $$'");
    let spin = format!("-c '{COPY} < in > tmp/x && mv tmp/x out; while ! [ -e out ]; do :; done'");
    let fakes = [
        (copy_in_place, Wrong::Lost),
        (leave, Wrong::LeftOver),
        (crash, Wrong::Exit),
        (spin, Wrong::Hung),
    ];
    for (words, wrong) in fakes {
        let fake = shell("fake", String::leak(words));
        let Some(found) = findings(&[fake], Extent::Everything) else {
            return;
        };
        assert!(found.count(wrong) > 0, "{}\n{wrong:?}", found.table());
    }
}
