//! Replays the corpus of `fuzz/`, and inputs near it, so that what fuzzing has found stays found on machines that do not fuzz.
//!
//! A program of its own, as it needs `fuzz/`, which the published package does not hold.

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use inmerge_ckpt::splitmix::Stream;

use targets::{TARGETS, Target};

/// Changed inputs made of each seed.
const MUTATIONS: u64 = 1000;

fn corpus() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus"))
}

/// The seeds of a target, by name.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = corpus().join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut seeds: Vec<(String, Vec<u8>)> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.display().to_string(), fs::read(&path).unwrap())
        })
        .collect();
    assert!(!seeds.is_empty(), "{} is empty", folder.display());
    seeds.sort();
    seeds
}

/// Random numbers, the same each time.
struct Numbers {
    stream: Stream,
    drawn: u64,
}

impl Numbers {
    /// One below a bound, or 0.
    fn below(&mut self, bound: usize) -> usize {
        self.drawn += 1;
        (self.stream.word(self.drawn) % bound.max(1) as u64) as usize
    }
}

/// What counts in one of the formats, and numbers that are the last of their kind.
const WORDS: [&str; 24] = [
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\n",
    "0",
    "-1",
    "1e999",
    "null",
    "true",
    "\\u0000",
    "\\ud800",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775808",
    "%",
    "*",
    "\u{feff}",
    "\u{e4}",
    "\0",
];

/// Changes an input in a few places, as fuzzers do: bytes, words, cuts, repetitions, and parts of another seed.
fn mutate(input: &[u8], other: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len() + 1);
        let end = at + numbers.below((bytes.len() - at).min(16) + 1);
        match numbers.below(6) {
            0 if at < bytes.len() => bytes[at] = numbers.below(256) as u8,
            1 if at < bytes.len() => bytes[at] ^= 1 << numbers.below(8),
            2 => drop(bytes.splice(at..end, WORDS[numbers.below(WORDS.len())].bytes())),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let copied = bytes[at..end].to_vec();
                let to = numbers.below(bytes.len() + 1);
                bytes.splice(to..to, copied);
            }
            _ => {
                let from = numbers.below(other.len() + 1);
                let length = numbers.below((other.len() - from).min(64) + 1);
                bytes.splice(at..end, other[from..from + length].iter().copied());
            }
        }
    }
    bytes
}

/// Feeds an input to a target, and says which where that fails.
fn feed((name, target): Target, input: &[u8], from: &str) {
    let run = catch_unwind(AssertUnwindSafe(|| target(input)));
    assert!(
        run.is_ok(),
        "{name} fails on {from}: {:?}",
        String::from_utf8_lossy(input)
    );
}

fn replay(name: &str) {
    let target = TARGETS.into_iter().find(|(known, _)| *known == name);
    let target = target.expect("a target of this name");
    let seeds = seeds(name);
    let mut numbers = Numbers {
        stream: Stream(0),
        drawn: 0,
    };
    for (path, seed) in &seeds {
        feed(target, seed, path);
        for number in 0..MUTATIONS {
            let (_, other) = &seeds[numbers.below(seeds.len())];
            let input = mutate(seed, other, &mut numbers);
            feed(target, &input, &format!("change {number} of {path}"));
        }
    }
}

macro_rules! replays {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn every_target_is_replayed_and_has_a_corpus_and_a_program() {
            let replayed: BTreeSet<&str> = [$(stringify!($name)),*].into();
            let names: BTreeSet<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(replayed, names);
            let in_folder = |folder: &Path| -> BTreeSet<String> {
                let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
                entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
            };
            let programs = corpus().with_file_name("fuzz_targets");
            for folder in [corpus(), programs.as_path()] {
                assert!(in_folder(folder).iter().eq(&replayed), "{}", folder.display());
            }
        }
    };
}

replays!(
    header,
    torch,
    pickle,
    index,
    plan,
    settings,
    order,
    layers,
    metadata,
    journal,
    sweep,
    record,
    report_files,
    flags,
    patterns,
);
