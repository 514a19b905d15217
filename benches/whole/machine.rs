//! Where and with what the numbers were taken.

use std::env;
use std::fs;
use std::process::Command;
use std::thread;

use crate::contenders::Workshop;

/// The machine, the versions and the command line, as a Markdown list.
pub fn describe(workshop: &Workshop) -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let cache = workshop.cache.to_string_lossy();
    let python = workshop.python.as_ref();
    let version =
        |version: Option<&String>| version.map_or("not installed", String::as_str).to_owned();
    // cargo adds --bench.
    let arguments: Vec<String> = env::args().skip(1).filter(|a| a != "--bench").collect();
    let facts = [
        ("processor", format!("{}, {cores} cores", processor())),
        ("memory", memory()),
        ("kernel", answer("uname", &["-sr"])),
        (
            "file system",
            last_line(&answer("df", &["--output=fstype", &cache])),
        ),
        ("rustc", answer("rustc", &["--version"])),
        (
            "BLAS",
            inmerge_ckpt::blas::description().map_or_else(|error| error.to_string(), str::to_owned),
        ),
        ("python", version(python.map(|python| &python.version))),
        (
            "safetensors",
            version(python.and_then(|python| python.safetensors.as_ref())),
        ),
        (
            "numpy",
            version(python.and_then(|python| python.numpy.as_ref())),
        ),
        (
            "PyTorch",
            version(python.and_then(|python| python.torch.as_ref())),
        ),
        (
            "WeightWatcher",
            version(python.and_then(|python| python.weightwatcher.as_ref())),
        ),
        (
            "commit",
            answer("git", &["describe", "--always", "--dirty"]),
        ),
        ("date", answer("date", &["-u", "+%Y-%m-%d"])),
        (
            "command",
            format!("make bench BENCH=\"{}\"", arguments.join(" ")),
        ),
    ];
    facts
        .iter()
        .map(|(name, fact)| format!("- {name}: {fact}\n"))
        .collect()
}

fn processor() -> String {
    answer("lscpu", &[])
        .lines()
        .find_map(|line| line.strip_prefix("Model name:"))
        .map_or_else(|| "unknown".to_owned(), |model| model.trim().to_owned())
}

fn memory() -> String {
    let kibibytes = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()
    });
    kibibytes.map_or_else(
        || "unknown".to_owned(),
        |kibibytes| format!("{:.1} GiB", kibibytes / f64::from(1 << 20)),
    )
}

/// What a program says, or that it does not.
fn answer(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().to_owned()
}
