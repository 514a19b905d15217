//! `completions SHELL`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::console::Console;
use crate::error::Error;

use super::Outcome;

pub(super) fn run(shell: Shell, console: &Console<'_>) -> Result<Outcome, Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "inmerge-ckpt", &mut script);
    console.print(&script)?;
    Ok(Outcome::Done)
}
