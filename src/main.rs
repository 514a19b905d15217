//! The `inmerge-ckpt` program: parse, run, print what went wrong, exit.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use inmerge_ckpt::cli::Cli;
use inmerge_ckpt::commands;
use inmerge_ckpt::error::Error;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr());
    let bars = err.is_terminal();
    let result = commands::run(&cli, &mut out, &mut err, bars).and_then(|outcome| {
        out.flush()?;
        Ok(outcome)
    });
    match result {
        Ok(outcome) => outcome.into(),
        // A reader such as `head` has seen enough.
        Err(Error::Print(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(err, "error: {error}");
            ExitCode::FAILURE
        }
    }
}
