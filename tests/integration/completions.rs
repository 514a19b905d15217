//! Completion, driven in the shells themselves. Skipped, with a word, where one is not installed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{program, run, skipped};
use tempfile::TempDir;

/// Lines, and what a shell is to offer behind each, of commands and words.
const WORDS: [(&str, &[&str]); 11] = [
    ("me", &["merge"]),
    ("merge --pr", &["--prob"]),
    ("merge --partner ", &["eligible", "nearest", "random"]),
    ("merge --screen f", &["f32"]),
    ("merge --momentum ", &["keep", "merge"]),
    ("inspect --kinds p", &["pointwise"]),
    ("--json --backend c", &["cpu", "cuda"]),
    ("--threads 2 mer", &["merge"]),
    ("sensitivity ru", &["run"]),
    ("sensitivity run --sh", &["--shard"]),
    ("completions b", &["bash"]),
];

/// The same of files in a folder with `a.safetensors`, `notes.txt` and the folder `sub`.
const FILES: [(&str, &[&str]); 6] = [
    ("merge ", &["a.safetensors", "notes.txt", "sub"]),
    ("merge a.safetensors n", &["notes.txt"]),
    ("merge --config n", &["notes.txt"]),
    ("watch --out ", &["sub"]),
    ("sensitivity a", &["a.safetensors"]),
    ("merge --tau ", &[]),
];

/// A folder to complete in.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    for file in ["a.safetensors", "notes.txt"] {
        fs::write(folder.path().join(file), "").unwrap();
    }
    fs::create_dir(folder.path().join("sub")).unwrap();
    folder
}

/// Writes a shell's script to a folder under a name.
fn write_script(shell: &str, folder: &TempDir, name: &str) {
    let script = run(args!["completions", shell]).done().stdout;
    fs::write(folder.path().join(name), script).unwrap();
}

fn is_installed(shell: &str) -> bool {
    let found = Command::new(shell)
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok();
    if !found {
        skipped(&format!("completion in {shell}, which is not installed"));
    }
    found
}

/// Checks what is offered behind lines.
fn check(offered: impl Fn(&str) -> BTreeSet<String>) {
    for (line, expected) in WORDS.iter().chain(&FILES) {
        let expected: BTreeSet<String> = expected.iter().map(|&word| word.to_owned()).collect();
        assert_eq!(offered(&format!("inmerge-ckpt {line}")), expected, "{line}");
    }
    let steps = offered("inmerge-ckpt sensitivity ");
    for word in ["plan", "run", "collect", "a.safetensors"] {
        assert!(steps.contains(word), "{steps:?}");
    }
    let flags = offered("inmerge-ckpt sensitivity a.safetensors --va");
    assert_eq!(flags.into_iter().collect::<Vec<_>>(), ["--vary"]);
    assert!(!offered("inmerge-ckpt ").contains("man"));
}

#[test]
fn fish_completes() {
    if !is_installed("fish") {
        return;
    }
    let (scripts, folder) = (TempDir::new().unwrap(), folder());
    write_script("fish", &scripts, "inmerge-ckpt.fish");
    check(|line| {
        let mut fish = Command::new("fish");
        let script = scripts.path().join("inmerge-ckpt.fish");
        let words = "source $argv[1]; complete -C $argv[2]";
        fish.args(["--no-config", "-c", words])
            .arg(script)
            .arg(line);
        fish.current_dir(&folder).env("HOME", scripts.path());
        let output = fish.output().unwrap();
        let offers = String::from_utf8(output.stdout).unwrap();
        let offers = offers.lines().filter_map(|line| line.split('\t').next());
        offers
            .map(|word| word.trim_end_matches('/').to_owned())
            .collect()
    });
}

/// Types a line into an interactive zsh, completes it, and notes in `offered` what matched.
const TYPE_INTO_ZSH: &str = r#"
    zmodload zsh/zpty
    export scripts=$1 line=$2
    zpty shell zsh -f -i
    # A list would be shown page by page.
    zpty -w shell 'unsetopt auto_list auto_menu; fpath=($scripts $fpath); autoload -Uz compinit; compinit -u -D'
    zpty -w shell 'compadd() {
        if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return; fi
        local -a hits; builtin compadd -A hits "$@"; print -rl -- $hits >>$scripts/offered; builtin compadd "$@"
    }'
    zpty -w shell 'probe() { BUFFER=$line CURSOR=$#line; zle complete-word; exit }; zle -N probe; bindkey "^T" probe'
    zpty -w -n shell $'\x14'
    while zpty -r shell output; do :; done"#;

#[test]
fn zsh_completes() {
    if !is_installed("zsh") {
        return;
    }
    let (scripts, folder) = (TempDir::new().unwrap(), folder());
    write_script("zsh", &scripts, "_inmerge-ckpt");
    let offered = scripts.path().join("offered");
    let program = program();
    let bin = Path::new(&program).parent().unwrap();
    let path = std::env::join_paths([bin, Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
    check(|line| {
        fs::write(&offered, "").unwrap();
        let mut zsh = Command::new("zsh");
        zsh.args(["-f", "-c", TYPE_INTO_ZSH, "zsh"])
            .arg(scripts.path())
            .arg(line);
        zsh.current_dir(&folder)
            .env("PATH", &path)
            .env("HOME", scripts.path());
        zsh.stdin(Stdio::null()).output().unwrap();
        let offers = fs::read_to_string(&offered).unwrap();
        let offers = offers.lines().filter(|line| !line.is_empty());
        offers
            .map(|word| word.trim_end_matches('/').to_owned())
            .collect()
    });
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(args!["completions", shell]).done().stdout;
        for word in ["merge", "inspect", "skip-shallow"] {
            assert!(script.contains(word), "{shell} does not complete {word}");
        }
        assert!(
            !script.contains("manual pages"),
            "{shell} completes what is hidden"
        );
    }
}

#[test]
fn bash_completes_behind_a_command() {
    let desk = TempDir::new().unwrap();
    let script = desk.path().join("completions");
    fs::write(&script, run(args!["completions", "bash"]).done().stdout).unwrap();
    let complete = |line: &str| {
        let words = r#"
            source "$1"; shift
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
            function=$(complete -p inmerge-ckpt | sed 's/.*-F \([^ ]*\).*/\1/')
            "$function" inmerge-ckpt "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
            printf '%s\n' "${COMPREPLY[@]}""#;
        let mut command = Command::new("bash");
        let command = command.args(["--norc", "-c", words, "bash"]).arg(&script);
        let output = command.args(line.split(' ')).output().unwrap();
        let replies = String::from_utf8(output.stdout).unwrap();
        replies.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete("inmerge-ckpt me"), ["merge"]);
    assert_eq!(complete("inmerge-ckpt merge --pr"), ["--prob"]);
    assert_eq!(complete("inmerge-ckpt sensitivity r"), ["run"]);
    assert_eq!(complete("inmerge-ckpt sensitivity run --sh"), ["--shard"]);
}
