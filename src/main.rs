//! The `inmerge-ckpt` program: parse, run, print what went wrong, exit.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use inmerge_ckpt::cli::Cli;
use inmerge_ckpt::commands;
use inmerge_ckpt::report::printable;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(problem) = cli.check() {
        problem.exit();
    }
    let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr());
    let bars = err.is_terminal();
    match commands::run(&cli, &mut out, &mut err, bars) {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            let _ = writeln!(err, "error: {}", printable(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}
