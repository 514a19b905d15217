//! `wait OUT`: wait until a watch has merged a checkpoint.

use serde::Serialize;

use crate::cli::Wait;
use crate::console::Console;
use crate::error::Error;
use crate::watch::{self, WaitRequest};

use super::Outcome;

/// What `wait --json` prints.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct WaitReport {
    /// The merged checkpoint, which is there.
    output: String,
    /// Time waited.
    #[cfg_attr(test, schemars(range(min = 0)))]
    seconds: f64,
}

pub(super) fn run(args: &Wait, console: &Console<'_>) -> Result<Outcome, Error> {
    let request = WaitRequest {
        output: args.output.clone(),
        source: args.source.clone(),
        timeout: args.timeout,
        poll: args.poll,
    };
    let waited = watch::wait(&request)?;
    let report = WaitReport {
        output: args.output.display().to_string(),
        seconds: waited.as_secs_f64(),
    };
    console.result(&report, |WaitReport { output, seconds }| {
        format!("{output} is there, after {seconds:.1} s\n")
    })?;
    Ok(Outcome::Done)
}
