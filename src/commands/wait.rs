//! `wait OUT`: wait until a watch has merged a checkpoint.

use serde_json::json;

use crate::cli::Wait;
use crate::console::Console;
use crate::error::Error;
use crate::watch::{self, WaitRequest};

use super::Outcome;

pub(super) fn run(args: &Wait, console: &Console<'_>) -> Result<Outcome, Error> {
    let request = WaitRequest {
        output: args.output.clone(),
        source: args.source.clone(),
        timeout: args.timeout,
        poll: args.poll,
    };
    let waited = watch::wait(&request)?.as_secs_f64();
    let output = args.output.display();
    let report = json!({ "output": output.to_string(), "seconds": waited });
    console.result(&report, |_| {
        format!("{output} is there, after {waited:.1} s\n")
    })?;
    Ok(Outcome::Done)
}
