//! Parsers that have no other door, for `fuzz/` and for the test that replays its corpus.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::checkpoint::{Problem, Tensor, torch_tensors};
use crate::cli;
use crate::report::folder::Files;
use crate::sensitivity::{self, FinishedPoint, InvalidSweep, Series};
use crate::watch::{self, Entry};

/// The tensors of a file of `torch.save`, each with its momentum if it can be told.
pub fn torch(file: &[u8]) -> Result<Vec<(Tensor, Vec<Tensor>)>, Problem> {
    let (tensors, momentum) = torch_tensors(file, None)?;
    let momentum = momentum.unwrap_or_default();
    let with_momentum = tensors.into_iter().map(|tensor| {
        let momentum = momentum.of(&tensor.name).to_vec();
        (tensor, momentum)
    });
    Ok(with_momentum.collect())
}

/// The points in the text of a journal's part.
pub fn journal(text: &[u8], base: &str) -> Result<Vec<FinishedPoint>, sensitivity::Error> {
    sensitivity::parse_part(Path::new("points.jsonl"), text, base)
}

/// The outputs that the text of a watch's record says are in their places, by name.
pub fn record(text: &[u8]) -> Result<BTreeMap<String, Entry>, watch::Error> {
    let said = watch::parse_record(Path::new(watch::RECORD_NAME), text)?;
    let done = said.done().map(|entry| (entry.name.clone(), entry.clone()));
    Ok(done.collect())
}

/// The files on a report's list, and that list as it is written.
pub fn report_files(list: &[u8]) -> (BTreeSet<PathBuf>, String) {
    let files = Files::parse(list);
    (files.files().clone(), files.list())
}

/// The value of `--grid`.
pub fn grid(text: &str) -> Result<(Series, Series), InvalidSweep> {
    cli::grid(text)
}

/// The value of `--timeout`.
pub fn time_limit(text: &str) -> Result<Duration, String> {
    cli::time_limit(text)
}

/// The value of `--poll`.
pub fn seconds(text: &str) -> Result<Duration, String> {
    cli::seconds(text)
}
