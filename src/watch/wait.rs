//! Waiting for what a watch merges, for a trainer that goes on from it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::atomic::or_here;
use crate::checkpoint::Checkpoint;
use crate::files::retried;
use crate::json_lines;

use super::folders::output_stamp;
use super::record::check_regular;
use super::{Error, RECORD_NAME, Status, parse_record};

/// What to wait for, and for how long.
#[derive(Clone, Debug)]
pub struct WaitRequest {
    /// The merged checkpoint: a file or a folder in the folder that a watch writes to.
    pub output: PathBuf,
    /// The checkpoint that it is made from. With it, an output of an earlier state of that checkpoint does not count.
    pub source: Option<PathBuf>,
    /// How long to wait at most.
    pub timeout: Duration,
    /// The time between two polls.
    pub poll: Duration,
}

/// Waits until a merged checkpoint is there, and returns how long that took. A watch puts its outputs in place complete.
///
/// # Errors
///
/// If it is not there in time, the source has another name, or the watch's record cannot be read.
pub fn wait(request: &WaitRequest) -> Result<Duration, Error> {
    let started = Instant::now();
    let output = &request.output;
    let source = request.source.as_deref();
    if let Some(source) = source.filter(|source| source.file_name() != output.file_name()) {
        return Err(Error::OtherName {
            from: source.to_owned(),
            output: output.clone(),
        });
    }
    loop {
        let missing = match source {
            Some(source) => missing_of_source(output, source)?,
            None => missing_of_checkpoint(output),
        };
        let waited = started.elapsed();
        let Some(missing) = missing else {
            return Ok(waited);
        };
        let left = request.timeout.saturating_sub(waited);
        if left.is_zero() {
            return Err(Error::NotThere {
                output: output.clone(),
                waited,
                missing,
            });
        }
        thread::sleep(left.min(request.poll));
    }
}

/// What is missing for the output to be a checkpoint; `None` if nothing is.
fn missing_of_checkpoint(output: &Path) -> Option<String> {
    let opened = Checkpoint::open(output);
    opened.err().map(|error| error.problem.to_string())
}

/// What is missing for the output to be that of a source as it is now, by the record beside it; `None` if nothing is.
fn missing_of_source(output: &Path, source: &Path) -> Result<Option<String>, Error> {
    let status = Status::at(source).map_err(|error| Error::Unreachable {
        file: source.to_owned(),
        error,
    })?;
    let Some(status) = status else {
        return Ok(Some(format!("there is no {}", source.display())));
    };
    let folder = or_here(output.parent());
    let path = folder.join(RECORD_NAME);
    check_regular(&path)?;
    let text = match retried(|| fs::read(&path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Some(format!(
                "no watch has written to {}",
                folder.display()
            )));
        }
        text => text.map_err(|error| Error::Record {
            file: path.clone(),
            error,
        })?,
    };
    let text = json_lines::complete(&text);
    if text.is_empty() {
        return Ok(Some("the watch has just begun".to_owned()));
    }
    let record = parse_record(&path, text)?;
    let name = output.file_name().unwrap_or_default();
    let mut done = record.done().filter(|entry| name == entry.name.as_str());
    Ok(match done.next() {
        None => Some("the watch has not merged it".to_owned()),
        Some(entry) if entry.source != status.stamp => {
            Some("what the watch has merged is another state of the source".to_owned())
        }
        Some(entry) if output_stamp(output)? != Some(entry.output) => {
            Some("what the watch wrote there was taken away or replaced".to_owned())
        }
        Some(_) => None,
    })
}
