//! The `inmerge-ckpt` program: parse, run, print what went wrong, exit.

mod allocator;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use inmerge_ckpt::cli::Cli;
use inmerge_ckpt::commands;
use inmerge_ckpt::console::Terminal;
use inmerge_ckpt::report::{COLUMNS, printable};

#[global_allocator]
static ALLOCATOR: allocator::OrExit = allocator::OrExit;

fn main() -> ExitCode {
    allocator::exit_where_threads_find_none();
    // A file beyond `ulimit -f` is to be an error where it is written, not the end of the program. A handler that does
    // nothing has that effect; unlike a signal that is ignored, programs that this one starts do not inherit it. Where it
    // cannot be set up, all is as if there were none.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
    let cli = Cli::parse();
    if let Err(problem) = cli.check() {
        problem.exit();
    }
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let terminal = Terminal {
        bars: err.is_terminal(),
        columns: terminal_size::terminal_size_of(&out)
            .map_or(COLUMNS, |(width, _)| usize::from(width.0).max(COLUMNS)),
    };
    match commands::run(&cli, &mut out, &mut err, terminal) {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            let why = format!("error: {}\n", printable(&error.to_string()));
            allocator::say_why(&why);
            ExitCode::FAILURE
        }
    }
}
