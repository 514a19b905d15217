//! `completions SHELL`.

use clap::{Arg, Command, CommandFactory, ValueHint};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::console::Console;
use crate::error::Error;

use super::Outcome;

/// What the program is called.
const NAME: &str = "inmerge-ckpt";

/// A step of `sensitivity` that stands for any other word, and so for a checkpoint.
const OTHER: &str = "OTHER";

pub(super) fn run(shell: Shell, console: &Console<'_>) -> Result<Outcome, Error> {
    let mut program = completed();
    if shell == Shell::Zsh {
        program = program.mut_subcommand("sensitivity", with_another_step);
    }
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, NAME, &mut script);
    let script = String::from_utf8_lossy(&script);
    let script = match shell {
        // clap_complete takes the hyphen in the program's name for a step to a subcommand in one half of the script, and not in
        // the other, so that nothing would be completed behind a command.
        Shell::Bash => script.replace("inmerge__subcmd__ckpt", "inmerge__ckpt"),
        Shell::Zsh => with_any_step(&script),
        Shell::Fish => with_global_values(&script) + &words_of_arguments(&program),
        _ => script.into_owned(),
    };
    console.print(script.as_bytes())?;
    Ok(Outcome::Done)
}

/// The command line without what is hidden. Files are completed only where a path is asked for.
fn completed() -> Command {
    let program = Cli::command();
    let commands = program.get_subcommands().filter(|c| !c.is_hide_set());
    let shown = Command::new(NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .args(program.get_arguments().cloned())
        .subcommands(commands.cloned())
        // Beside these, a GPU's number can be given.
        .mut_arg("backend", |arg| arg.value_parser(["auto", "cpu", "cuda"]));
    with_hints(shown)
}

fn with_hints(command: Command) -> Command {
    let hinted = |arg: Arg| match arg.get_value_hint() {
        ValueHint::Unknown if arg.get_action().takes_values() => arg.value_hint(ValueHint::Other),
        _ => arg,
    };
    command.mut_args(hinted).mut_subcommands(with_hints)
}

/// `sensitivity` for zsh, for which clap_complete expects a step only behind a checkpoint: without the checkpoint, and with a step
/// that takes the same flags in its place.
fn with_another_step(command: Command) -> Command {
    let flags = command.get_arguments().filter(|arg| !arg.is_positional());
    let flags: Vec<Arg> = flags.cloned().collect();
    Command::new("sensitivity")
        .about(command.get_about().cloned().unwrap_or_default())
        .args(&flags)
        .subcommands(command.get_subcommands().cloned())
        .subcommand(Command::new(OTHER).args(&flags))
        .disable_help_subcommand(true)
}

/// The script for zsh, in which the other step is any word, completed as a file.
fn with_any_step(script: &str) -> String {
    let steps = "_inmerge-ckpt__subcmd__sensitivity_commands";
    script
        .replace(&format!("({OTHER})\n"), "(*)\n")
        .replace(&format!("'{OTHER}:' \\\n"), "")
        .replace(
            &format!("\":: :{steps}\""),
            &format!("\":: :{{ {steps}; _files }}\""),
        )
}

/// The script for fish, in which a command is still to come where the last flag before it lacks its value, so that this is
/// completed.
fn with_global_values(script: &str) -> String {
    script.replace(
        "2>/dev/null\n    or return\n",
        "2>/dev/null\n    or return 0\n",
    )
}

/// What fish offers for arguments that are one of some words, which clap_complete leaves out.
fn words_of_arguments(program: &Command) -> String {
    let commands = program.get_subcommands();
    let lines = commands.flat_map(|command| {
        let condition = format!(
            "__fish_inmerge_ckpt_using_subcommand {}",
            command.get_name()
        );
        let words = command.get_positionals().map(|arg| {
            let values = arg.get_possible_values();
            let names = values.iter().map(|value| value.get_name());
            names.collect::<Vec<_>>().join(" ")
        });
        let words = words.filter(|words| !words.is_empty());
        words.map(move |words| format!("complete -c {NAME} -n \"{condition}\" -f -a \"{words}\"\n"))
    });
    lines.collect()
}
