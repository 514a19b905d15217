//! `completions SHELL`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::error::Error;

use super::{Outcome, Session};

pub(super) fn run(shell: Shell, session: &mut Session<'_>) -> Result<Outcome, Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "inmerge-ckpt", &mut script);
    session.print(&script)?;
    Ok(Outcome::Done)
}
