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
    if shell == Shell::Bash {
        // clap_complete takes the hyphen in the program's name for a step to a subcommand in one half of the script, and not in
        // the other, so that nothing would be completed behind a command.
        let text = String::from_utf8_lossy(&script);
        script = text
            .replace("inmerge__subcmd__ckpt", "inmerge__ckpt")
            .into_bytes();
    }
    console.print(&script)?;
    Ok(Outcome::Done)
}
