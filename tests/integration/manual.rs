//! The manual pages.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::common::{run, skipped};

#[test]
fn every_command_has_a_manual_page() {
    let pages = run(args!["man"]).done().stdout;
    assert!(pages.is_ascii());
    let pages: BTreeMap<&str, &str> = pages
        .split(".\\\" ")
        .skip(1)
        .map(|page| page.split_once(".1\n").expect("a name first"))
        .collect();
    let commands = |words: &[&str]| -> Vec<String> {
        let help = run([words, &["--help"]].concat()).done().stdout;
        let (_, list) = help.split_once("Commands:\n").unwrap_or_default();
        let list = list.lines().take_while(|line| !line.is_empty());
        let list = list.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        let names = list.filter_map(|line| line.split_whitespace().next());
        names
            .filter(|&name| name != "help")
            .map(str::to_owned)
            .collect()
    };
    let mut expected = vec!["inmerge-ckpt".to_owned()];
    for command in commands(&[]) {
        let steps = commands(&[&command]);
        expected.push(format!("inmerge-ckpt-{command}"));
        expected.extend(
            steps
                .iter()
                .map(|step| format!("inmerge-ckpt-{command}-{step}")),
        );
    }
    expected.sort();
    assert!(expected.len() > 12, "{expected:?}");
    assert_eq!(
        pages.keys().collect::<Vec<_>>(),
        expected.iter().collect::<Vec<_>>()
    );
    for (name, page) in &pages {
        assert!(
            page.contains(".SH \"EXIT STATUS\"\n0 done; 1 failed"),
            "{name}"
        );
    }
    let merge = pages["inmerge-ckpt-merge"];
    for part in [
        "\\fB\\-\\-tau\\fR",
        ".SH NOTES\n",
        ".SH EXAMPLES\n.nf\ninmerge\\-ckpt merge ",
    ] {
        assert!(merge.contains(part), "no {part}");
    }
    let groff = |page: &str| {
        let mut groff = Command::new("groff");
        let groff = groff.args(["-man", "-Tutf8", "-ww"]).stdin(Stdio::piped());
        let mut groff = groff
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        groff.stdin.take()?.write_all(page.as_bytes()).ok()?;
        Some(String::from_utf8(groff.wait_with_output().ok()?.stderr).unwrap())
    };
    for (name, page) in pages {
        match groff(page) {
            Some(warnings) => assert_eq!(warnings, "", "{name}"),
            None => return skipped("manual pages are not rendered: no groff"),
        }
    }
}
