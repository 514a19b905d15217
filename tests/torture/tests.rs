//! What is tried.

use std::fs;
use std::io::Write;
use std::path::Path;

use super::campaign::{Extent, Findings, go_through};
use super::scenario::{self, Appears, Output, Scenario};
use super::skip::skipped;
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
    // Also where the test passes: how much was tried.
    let _ = writeln!(std::io::stderr(), "{}", findings.table());
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

/// A poem to copy, and an older one that the copy replaces.
fn poems(desk: &Path) {
    fs::create_dir(desk.join("tmp")).expect("a folder can be made");
    for (name, text) in [("in", "all\nof\nit\n"), ("out", "old\n")] {
        fs::write(desk.join(name), text).expect("a file can be written");
    }
}

/// A careless program: what a shell does, line by line, so that the calls are its own.
fn careless(script: &str) -> Scenario {
    let copy = r#"while read -r line; do echo "$line"; done < in"#;
    let words = shell_words::join(["-c", &script.replace("COPY", copy)]);
    Scenario {
        name: "careless",
        make: poems,
        program: Some("sh"),
        words: String::leak(words),
        again: "",
        outputs: &[Output {
            path: "out",
            appears: Appears::Whole,
            is_extra: false,
        }],
        is_in_place: false,
        admits: None,
    }
}

#[test]
fn careless_programs_are_found_out() {
    let programs = [
        ("COPY > out; exit 0", Wrong::Lost),
        ("COPY > .$$.part && mv .$$.part out", Wrong::LeftOver),
        (
            "COPY > tmp/part && mv tmp/part out || kill -ABRT $$",
            Wrong::Exit,
        ),
        (
            "until COPY > tmp/part; do :; done; mv tmp/part out",
            Wrong::Hung,
        ),
        // The second time it starts from what the first one left.
        (
            "[ -e begun ] && exit 1; : > begun; COPY > tmp/part; mv tmp/part out; rm begun",
            Wrong::NotMended,
        ),
    ];
    for (script, wrong) in programs {
        // A good part of it: which calls lead to what a program does wrong differs between shells.
        let Some(found) = findings(&[careless(script)], Extent::OneIn(2)) else {
            return;
        };
        assert!(found.count(wrong) > 0, "{script}\n{}", found.table());
    }
}
