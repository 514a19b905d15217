//! What `analyze` takes, beside scripts that compute some of the same numbers and draw nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::checkpoints::Checkpoint;
use crate::contenders::{Workshop, ours, quiet};
use crate::measure;
use crate::table::{Times, mebibytes, table};

/// The checkpoints: networks, as reports are made of those.
const CHECKPOINTS: [&str; 3] = ["resnet18", "resnet50", "vgg19"];

/// Who makes a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Maker {
    /// This program: threads, and flags.
    Ours(u8, &'static [&'static str]),
    /// A script of `benches/peers`, and the package that it needs.
    Script(&'static str, &'static str),
}

const MAKERS: [Maker; 6] = [
    Maker::Ours(2, &[]),
    Maker::Ours(1, &[]),
    Maker::Ours(2, &["--png=all"]),
    Maker::Ours(2, &["--png=none", "--no-spectrum"]),
    Maker::Script("analyze_numpy.py", "numpy"),
    Maker::Script("analyze_weightwatcher.py", "weightwatcher"),
];

impl Maker {
    fn label(self) -> String {
        match self {
            Self::Ours(threads, flags) => {
                let plural = if threads == 1 { "" } else { "s" };
                let words = ["analyze"].iter().chain(flags).copied();
                let words: Vec<&str> = words.collect();
                format!("{}, {threads} thread{plural}", words.join(" "))
            }
            Self::Script(_, package) => format!("{package} script"),
        }
    }

    /// How it is started; `None` if it is not installed.
    fn command(self, workshop: &Workshop, input: &Path, output: &Path) -> Option<Command> {
        let mut command = match self {
            Self::Ours(threads, flags) => {
                let mut command = ours();
                command.arg("analyze").arg(input);
                command
                    .arg("--report")
                    .arg(output)
                    .args(["-q", "--threads"]);
                command.arg(threads.to_string()).args(flags);
                command
            }
            Self::Script(script, package) => {
                let mut command = workshop.script(script, package)?;
                command.args([input, output]);
                command
            }
        };
        quiet(&mut command);
        Some(command)
    }
}

/// What the runs of one maker on one checkpoint took.
#[derive(Default)]
struct Measured {
    times: Times,
    peak_bytes: u64,
    /// Of what it writes.
    bytes: u64,
    files: usize,
}

/// Times everyone in turn, `rounds` times; the tables.
pub fn run(workshop: &Workshop, rounds: u32) -> Result<String> {
    let mut results: BTreeMap<(&str, Maker), Measured> = BTreeMap::new();
    for name in CHECKPOINTS {
        workshop.prepare(&Checkpoint::named(name).ok_or("no checkpoint of this name")?)?;
    }
    for round in 0..=rounds {
        eprintln!("round {round} of {rounds}");
        for name in CHECKPOINTS {
            let input = workshop.cache.join(format!("{name}.safetensors"));
            for maker in MAKERS {
                let output = workshop.scratch("report");
                let Some(mut command) = maker.command(workshop, &input, &output) else {
                    continue;
                };
                let run = measure::timed(&mut command)?;
                let measured = results.entry((name, maker)).or_default();
                // The first warms caches up.
                if round > 0 {
                    measured.times.push(run.seconds);
                    measured.peak_bytes = measured.peak_bytes.max(run.peak_bytes);
                }
                (measured.bytes, measured.files) = size(&output)?;
                match output.is_dir() {
                    true => fs::remove_dir_all(output)?,
                    false => fs::remove_file(output)?,
                }
            }
        }
    }
    let rows = |cell: &dyn Fn(&Measured) -> String| {
        let rows = MAKERS.iter().map(|&maker| {
            let cells = CHECKPOINTS.iter().map(|name| {
                let measured = results.get(&(name, maker));
                measured.map_or_else(|| "not installed".to_owned(), cell)
            });
            [maker.label()].into_iter().chain(cells).collect()
        });
        let header = [""].iter().chain(&CHECKPOINTS);
        table(
            header.map(|&name| name.to_owned()).collect(),
            rows.collect(),
        )
    };
    Ok(format!(
        "Seconds from start to exit: median (least–most).\n\n{}\nPeak memory, MiB.\n\n{}\nWritten: MB / files.\n\n{}",
        rows(&|measured| measured.times.to_string()),
        rows(&|measured| mebibytes(measured.peak_bytes)),
        rows(&|measured| format!("{:.1} / {}", measured.bytes as f64 / 1e6, measured.files)),
    ))
}

/// Bytes and number of the files that a path is, or that are below it.
fn size(path: &Path) -> Result<(u64, usize)> {
    if !path.is_dir() {
        return Ok((fs::metadata(path)?.len(), 1));
    }
    let mut sum = (0, 0);
    for entry in fs::read_dir(path)? {
        let (bytes, files) = size(&entry?.path())?;
        sum = (sum.0 + bytes, sum.1 + files);
    }
    Ok(sum)
}
